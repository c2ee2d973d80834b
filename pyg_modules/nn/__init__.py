"""The layers that users put into models."""

from pyg_modules.nn.origin import Origin
from pyg_modules.nn.synchronous_graph import SynchronousGraph, check_layer

__all__ = ["Origin", "SynchronousGraph", "check_layer"]
