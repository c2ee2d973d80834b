"""Edges that change: the same layer on other ones."""

from pyg_modules.structure.rewire import rewire

__all__ = ["rewire"]
