"""One door for people and county systems: commands forwarded, the board shown."""
