"""Allocations: whose the money on the escrow account is, and what of it goes back."""
