"""Whether the partition finds the structure that is there."""
