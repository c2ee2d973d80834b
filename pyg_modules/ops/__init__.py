"""How one synchronous update is computed: backends behind one interface, and their choice."""

from pyg_modules.ops.activation import (
    ACTIVATIONS,
    Activation,
    RowActivation,
    activation_of,
    check_activation,
)
from pyg_modules.ops.block import BlockOperator
from pyg_modules.ops.convolution_operator import ConvolutionOperator
from pyg_modules.ops.dense import DenseOperator
from pyg_modules.ops.differentiable import (
    Differentiable,
    refuse_second_derivative,
    refuse_transformation,
)
from pyg_modules.ops.dispatch import (
    BackendReport,
    Choice,
    check_available,
    check_backend,
    choose,
    is_available,
)
from pyg_modules.ops.edge_set import EdgeSet
from pyg_modules.ops.edge_sum import bind
from pyg_modules.ops.neighbour_operator import NeighbourOperator
from pyg_modules.ops.neighbours import Neighbours
from pyg_modules.ops.numba.numba_operator import NumbaOperator
from pyg_modules.ops.operator import BACKENDS, EdgeOperator, Piece
from pyg_modules.ops.scatter import ScatterOperator
from pyg_modules.ops.sparse import SparseOperator
from pyg_modules.ops.spectral_norm import spectral_norm
from pyg_modules.ops.tracing import is_compiling, is_tracing, is_transforming
from pyg_modules.ops.triton.triton_block_operator import TritonBlockOperator
from pyg_modules.ops.triton.triton_operator import TritonOperator
from pyg_modules.ops.update import Update
from pyg_modules.ops.work import Work

__all__ = [
    "ACTIVATIONS",
    "BACKENDS",
    "Activation",
    "BackendReport",
    "BlockOperator",
    "Choice",
    "ConvolutionOperator",
    "DenseOperator",
    "Differentiable",
    "EdgeOperator",
    "EdgeSet",
    "NeighbourOperator",
    "Neighbours",
    "NumbaOperator",
    "Piece",
    "RowActivation",
    "ScatterOperator",
    "SparseOperator",
    "TritonBlockOperator",
    "TritonOperator",
    "Update",
    "Work",
    "activation_of",
    "bind",
    "check_activation",
    "check_available",
    "check_backend",
    "choose",
    "is_available",
    "is_compiling",
    "is_tracing",
    "is_transforming",
    "refuse_second_derivative",
    "refuse_transformation",
    "spectral_norm",
]
