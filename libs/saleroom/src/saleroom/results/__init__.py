"""Results: an opened sale is cleared, and anyone may read what came of it."""
