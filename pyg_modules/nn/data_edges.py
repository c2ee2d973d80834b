from __future__ import annotations

from math import inf, isfinite, nan
from typing import Any, NamedTuple

import numpy
import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.typing import SparseTensor
from torch_geometric.utils import is_torch_sparse_tensor, scatter, to_edge_index

from pyg_modules.ops.tracing import is_compiling, is_tracing

#: How the weights of the edges into a node are made to fit each other.
NORMALIZATIONS = (True, False, "mean")

# A power iteration that goes on more slowly than this is at its end.
_MAX_ITERATIONS, _LEAST_GAIN = 100, 1e-4


class DataEdges(NamedTuple):
    r"""The edges of a data graph, with the weights :math:`a` by which neighbours are added up.

    Args:
        edge_index (LongTensor): Sources and targets, ``[2, m]``.
        weight (Tensor): :math:`a`, ``[m]``.
    """

    edge_index: Tensor
    weight: Tensor

    @classmethod
    def read(
        cls, edge_index: object, edge_weight: Tensor | None, num_nodes: int, stored: Tensor
    ) -> DataEdges:
        """The edges as PyG has them, in any of its forms; weights are 1 by default.

        Args:
            edge_index (Tensor): ``[2, m]``, an ``EdgeIndex``, or the transposed adjacency matrix,
                a ``SparseTensor`` or a sparse tensor of torch, ``[V, V]``.
            edge_weight (Tensor, optional): ``[m]``.
            num_nodes (int): Number of nodes V.
            stored (Tensor): Has the dtype and the device of the layer.

        Raises:
            TypeError: If something is of another type.
            ValueError: If the edges do not fit the nodes, or the weights the edges.
        """
        if isinstance(edge_index, SparseTensor) or is_torch_sparse_tensor(edge_index):
            edge_index, edge_weight = _of_matrix(edge_index, edge_weight, num_nodes)
        edges = _checked_edge_index(edge_index, num_nodes, stored)
        if edge_weight is None:
            return cls(edges, stored.detach().new_ones(edges.size(1)))
        _check_edge_weight(edge_weight, edges.size(1), stored)
        # Not rounded before they are normalized; in half precision they might be infinite or 0.
        return cls(edges, edge_weight.to(torch.promote_types(edge_weight.dtype, stored.dtype)))

    def normalized(self, num_nodes: int, normalize: bool | str, add_self_loops: bool) -> DataEdges:
        """With weights whose sums are bounded.

        Args:
            num_nodes (int): Number of nodes V.
            normalize (bool or str): Whether as in a ``GCNConv``; or ``"mean"``.
            add_self_loops (bool): Whether nodes without a self-loop get one, of weight 1.

        Raises:
            ValueError: If a weight is negative. Where a compiler traces this, which knows no
                weights, these are NaN then, and so are the sums.
        """
        if normalize is False:
            return self
        edge_index, weight = self
        if is_tracing() or weight.is_meta:
            weight = weight.where(weight >= 0, nan)
        elif bool((weight < 0).any()):
            raise ValueError(
                f"Expected edge_weight >= 0 to be normalized (got {float(weight.min()):g}): sums of"
                f" others are no degrees. Use edge_weight.abs(), or normalize=False and weights as"
                f" small as they have to be."
            )
        if add_self_loops:
            edge_index, weight = _with_self_loops(edge_index, weight, num_nodes)
        source, target = edge_index
        # Degrees of half precision would soon be infinite, or grow no more.
        wide = weight.to(torch.promote_types(weight.dtype, torch.float32))
        degree = scatter(wide, target, dim=0, dim_size=num_nodes, reduce="sum")
        # A node without a degree has no neighbours, and as in a GCNConv is none.
        has_degree = degree > 0
        degree = degree.where(has_degree, 1.0)
        if normalize == "mean":
            return DataEdges(edge_index, (wide / degree[target]).to(weight.dtype))
        scale = degree.rsqrt() * has_degree
        normalized = scale[source] * wide * scale[target]
        return DataEdges(edge_index, normalized.to(weight.dtype))

    def check_contraction(self, num_nodes: int, contraction: float) -> None:
        """Raise unless updates contract on these edges with weights as they are.

        Args:
            num_nodes (int): Number of nodes V.
            contraction (float): By what they contract where no neighbour adds more than it has.

        Raises:
            RuntimeError: If a compiler traces this, which knows no weights.
            ValueError: If they might not.
        """
        if is_tracing():
            raise RuntimeError(
                "Expected normalize=True or 'mean' for an Equilibrium with contraction under"
                " torch.compile, torch.export or torch.func (got normalize=False): whether weights"
                " are small enough cannot be looked at there."
                " Use one of them, or a solver without contraction."
            )
        bound = self.norm_bound(num_nodes)
        if not isfinite(bound):
            raise ValueError(
                "Expected a finite edge_weight for an Equilibrium with contraction (got NaN or"
                " infinity, or numbers whose sums are). Take these edges out."
            )
        if bound * contraction >= 1:
            raise ValueError(
                f"Expected an adjacency matrix with a norm of at most 1 for an Equilibrium with"
                f" contraction={contraction:g} (got up to {bound:.4g}): its updates might not"
                f" contract. Use normalize=True, divide edge_weight by {bound:.4g}, or go without"
                f" contraction."
            )

    def norm_bound(self, num_nodes: int) -> float:
        r"""A number that the norm of the adjacency matrix does not exceed.

        The norm is :math:`\max_v \lVert h_v \rVert / p_v` for positive numbers p, with those among
        some vectors of a power iteration with magnitudes for which the bound is least (`Collatz
        <https://doi.org/10.1007/BF01180013>`_ and Wielandt).

        Args:
            num_nodes (int): Number of nodes V.
        """
        (source, target), weight = self.edge_index, self.weight.detach().abs().unsqueeze(-1)
        weight = weight.to(torch.promote_types(weight.dtype, torch.float32))
        count = torch.bincount(target, minlength=num_nodes).clamp(min=1).to(weight)
        # These are the vectors that stay as they are where weights are means, or as in a GCNConv.
        vectors = torch.stack([torch.ones_like(count), count.sqrt()], dim=1)
        least = inf if num_nodes else 0.0
        for _ in range(_MAX_ITERATIONS if num_nodes else 0):
            images = torch.zeros_like(vectors).index_add(0, target, weight * vectors[source])
            bounds = (images / vectors).amax(dim=0)
            before, least = least, min(least, float(bounds.min()))
            if not least < before * (1 - _LEAST_GAIN):
                break
            # A part of the vectors themselves keeps them positive.
            vectors = images + bounds * vectors
            vectors = vectors / vectors.amax(dim=0)
        return least


def _with_self_loops(edge_index: Tensor, weight: Tensor, num_nodes: int) -> tuple[Tensor, Tensor]:
    """A self-loop more for every node, of weight 1, or 0 where there was one.

    So their number does not depend on the data, as compilers want it.
    """
    source, target = edge_index
    nodes = torch.arange(num_nodes, device=edge_index.device)
    is_loop = (source == target).to(weight.dtype)
    has_loop = torch.zeros_like(nodes, dtype=weight.dtype).index_add(0, target, is_loop) > 0
    return (
        torch.cat([edge_index, nodes.expand(2, -1)], dim=1),
        torch.cat([weight, (~has_loop).to(weight.dtype)]),
    )


def _of_matrix(
    matrix: Any, edge_weight: Tensor | None, num_nodes: int
) -> tuple[Tensor, Tensor | None]:
    """The edges and weights of a transposed adjacency matrix."""
    if is_compiling():
        raise RuntimeError(
            f"Expected edge_index of shape [2, m] under torch.compile or torch.export (got a"
            f" {type(matrix).__name__} with a sparse layout, which they do not trace). Use"
            f" torch_geometric.utils.to_edge_index(adj_t) outside of what is compiled, and turn its"
            f" rows around: edge_index.flip(0)."
        )
    if edge_weight is not None:
        raise ValueError(
            "Expected no edge_weight beside an adjacency matrix (got both): its values are the"
            " weights. Use adj_t.set_value(edge_weight), or edge_index and edge_weight."
        )
    sizes = [matrix.size(0), matrix.size(1)]
    if sizes != [num_nodes, num_nodes]:
        raise ValueError(
            f"Expected an adjacency matrix of shape [{num_nodes}, {num_nodes}], the number of nodes"
            f" of x (got {sizes})."
            " Give that of all nodes, or the features of its nodes."
        )
    has_values = not isinstance(matrix, SparseTensor) or matrix.has_value()
    if not isinstance(matrix, SparseTensor) and matrix.layout == torch.sparse_coo:
        # PyG would take it for coalesced, and call it so in place.
        matrix = matrix.coalesce()
        (target, source), values = matrix.indices(), matrix.values()
    else:
        (target, source), values = to_edge_index(matrix)
    if has_values and not (values.is_floating_point() or values.is_complex()):
        values = values.float()  # Of 0 and 1, or other whole numbers.
    return torch.stack([source, target]), values if has_values else None


def _checked_edge_index(edge_index: object, num_nodes: int, stored: Tensor) -> Tensor:
    if not isinstance(edge_index, Tensor):
        remedy = "Pass the edges of the data, conv(data.x, data.edge_index)."
        if isinstance(edge_index, list | tuple | numpy.ndarray):
            remedy = "Use torch.as_tensor."
        raise TypeError(
            f"Expected edge_index to be a Tensor or an adjacency matrix (got"
            f" {type(edge_index).__name__}). {remedy}"
        )
    edges: Tensor = edge_index
    if isinstance(edge_index, EdgeIndex):
        edges = edge_index.as_tensor()
    if edges.dim() != 2 or edges.size(0) != 2:
        is_matrix = edges.shape == (num_nodes, num_nodes)
        remedy = "Of pairs, use edge_index.t()."
        if is_matrix:
            remedy = "Of a matrix, use adjacency.nonzero().t()."
        raise ValueError(
            f"Expected edge_index of shape [2, m], sources and targets (got"
            f" {list(edges.shape)}). {remedy}"
        )
    if edges.is_floating_point() or edges.dtype in (torch.bool, torch.uint8):
        raise TypeError(
            f"Expected edge_index of dtype torch.int64 (got {edges.dtype}). Use"
            f" edge_index.long(), or edge_index.nonzero().t() of a dense matrix."
        )
    if edges.device != stored.device:
        raise ValueError(
            f"Expected edge_index on device {stored.device}, that of the layer (got"
            f" {edges.device}). Use edge_index.to({str(stored.device)!r})."
        )
    edges = edges.long()
    if is_tracing() or edges.is_meta or edges.numel() == 0:
        return edges
    smallest, largest = map(int, edges.aminmax())
    if smallest < 0 or largest >= num_nodes:
        raise ValueError(
            f"Expected node ids between 0 and {num_nodes - 1} in edge_index, as x has {num_nodes}"
            f" nodes (got {smallest if smallest < 0 else largest}). Of a part of a graph, relabel"
            f" them: torch_geometric.utils.subgraph(..., relabel_nodes=True)."
        )
    return edges


def _check_edge_weight(edge_weight: object, num_edges: int, stored: Tensor) -> None:
    if not isinstance(edge_weight, Tensor) or not edge_weight.is_floating_point():
        found = edge_weight.dtype if isinstance(edge_weight, Tensor) else type(edge_weight).__name__
        raise TypeError(
            f"Expected edge_weight to be a Tensor of a floating dtype (got {found}). Use"
            f" torch.as_tensor(edge_weight).to({stored.dtype}); of a mini-batch, no batch vector is"
            f" needed."
        )
    if edge_weight.shape != (num_edges,):
        is_column = edge_weight.shape == (num_edges, 1)
        remedy = "Use edge_weight.squeeze(-1)." if is_column else "Give every edge one number."
        raise ValueError(
            f"Expected edge_weight of shape [{num_edges}], one per edge (got"
            f" {list(edge_weight.shape)}). {remedy}"
        )
    if edge_weight.device != stored.device:
        raise ValueError(
            f"Expected edge_weight on device {stored.device}, that of the layer (got"
            f" {edge_weight.device}). Use edge_weight.to({str(stored.device)!r})."
        )
