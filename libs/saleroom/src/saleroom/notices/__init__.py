"""Notices: a sale is drafted, announced with its key and held supply, suspended, archived."""
