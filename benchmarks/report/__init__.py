"""Size of the report of a large run, and the time until a browser has drawn it."""
