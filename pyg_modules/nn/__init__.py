"""The layers that users put into models."""

from pyg_modules.nn.origin import Origin
from pyg_modules.nn.synchronous_conv2d import SynchronousConv2d
from pyg_modules.nn.synchronous_graph import SynchronousGraph
from pyg_modules.nn.unit_layer import check_layer

__all__ = ["Origin", "SynchronousConv2d", "SynchronousGraph", "check_layer"]
