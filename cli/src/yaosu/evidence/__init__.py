"""Evidence: what was told, signed and decided, in one file that anyone can check offline."""
