"""Topologies of a space, tried one after the other, and what was found."""
