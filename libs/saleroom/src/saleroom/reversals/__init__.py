"""Reversals: a deposit or payment recorded wrongly is taken back by two people."""
