"""Unit graphs and modules against tuned baselines of equal size and budget."""
