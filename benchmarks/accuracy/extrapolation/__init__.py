"""Tasks whose larger cases are solved by more updates."""
