"""Land indicators: advances, stock linkage, state quota, standard land (arts. 9-13)."""
