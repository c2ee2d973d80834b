"""How fast it is, against every other way to compute the same function."""
