"""The layers that users put into models."""

from pyg_modules.nn.synchronous_graph import SynchronousGraph, check_layer

__all__ = ["SynchronousGraph", "check_layer"]
