"""Who holds what: the fold of every movement that was told."""
