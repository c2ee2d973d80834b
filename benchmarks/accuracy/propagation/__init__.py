"""Tasks on graphs where what counts is far away."""
