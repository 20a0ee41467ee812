"""The board: sales, holdings and announcements, as the services' events tell them."""
