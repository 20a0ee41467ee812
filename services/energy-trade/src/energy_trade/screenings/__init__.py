"""Screenings: which projects their county found eligible to use province-stored quota (art. 5)."""
