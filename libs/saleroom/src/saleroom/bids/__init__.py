"""Bids: sealed, replaced, withdrawn, and nothing known of them before the opening."""
