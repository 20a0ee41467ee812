"""Refunds: the list of what the bank is to pay back, to whom and by when."""
