"""Coal stocks: how many days power plants can go on with the coal they have (art. 7)."""
