"""Partitions in which every module lives, and as few units as possible are dead."""
