"""Settlements: confirmation, contract, payment, delivery or default, one participant at a time."""
