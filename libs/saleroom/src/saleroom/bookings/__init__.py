"""Bookings of the bank on the escrow account, and the money that must go back."""
