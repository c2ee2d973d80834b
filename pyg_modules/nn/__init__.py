"""The layers that users put into models."""

from pyg_modules.nn.synchronous_graph import SynchronousGraph

__all__ = ["SynchronousGraph"]
