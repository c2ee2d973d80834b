"""How one synchronous update is computed: backends behind one interface, and their choice."""

from pyg_modules.ops.dispatch import BACKENDS, check_backend, resolve_backend
from pyg_modules.ops.edge_block import EdgeBlock
from pyg_modules.ops.operator import EdgeOperator
from pyg_modules.ops.scatter import ScatterOperator
from pyg_modules.ops.sparse import SparseOperator

__all__ = [
    "BACKENDS",
    "EdgeBlock",
    "EdgeOperator",
    "ScatterOperator",
    "SparseOperator",
    "check_backend",
    "resolve_backend",
]
