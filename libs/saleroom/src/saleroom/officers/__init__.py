"""Key officers: they register their keys, and prove before each announcement that they can use them."""
