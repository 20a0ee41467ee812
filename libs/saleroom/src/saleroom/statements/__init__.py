"""Statements of the bank: files of its bookings, a verdict for each line."""
