"""Loops over edges, compiled by numba; an extra."""
