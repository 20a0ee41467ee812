"""What changed on the board, as it changes."""
