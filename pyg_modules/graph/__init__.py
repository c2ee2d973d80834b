"""What is wired to what: unit graphs, their generators and conversions."""

from pyg_modules.graph.unit_graph import UnitGraph

__all__ = ["UnitGraph"]
