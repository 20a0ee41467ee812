"""Endings without a deal: a sale cancelled by two people, or not opened in time."""
