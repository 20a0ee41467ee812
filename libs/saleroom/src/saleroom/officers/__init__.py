"""Key officers register their keys, and prove before each announcement that they can use them."""
