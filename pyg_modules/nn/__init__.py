"""The layers that users put into models."""

from pyg_modules.nn.origin import Origin
from pyg_modules.nn.synchronous_conv import SynchronousConv
from pyg_modules.nn.synchronous_conv2d import SynchronousConv2d
from pyg_modules.nn.synchronous_graph import SynchronousGraph
from pyg_modules.nn.unit_layer import UnitLayer, check_layer

__all__ = [
    "Origin",
    "SynchronousConv",
    "SynchronousConv2d",
    "SynchronousGraph",
    "UnitLayer",
    "check_layer",
]
