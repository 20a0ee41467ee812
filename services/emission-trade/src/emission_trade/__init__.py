"""Emission rights: registry, price, trade, replacement, reduction advances (arts. 20-24)."""
