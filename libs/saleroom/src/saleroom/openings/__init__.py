"""Openings: two people ask, three officers give their shares, all bids are told and cleared."""
