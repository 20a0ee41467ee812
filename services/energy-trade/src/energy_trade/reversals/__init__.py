"""Reversals 冲正 of issues."""
