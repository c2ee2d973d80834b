"""Conversions between unit graphs, PyG ``Data`` and networkx."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from pyg_modules._brief import brief

if TYPE_CHECKING:
    import networkx

ROLES = ("input", "hidden", "output")


def parts_to_data(edge_index: Tensor, num_units: int, num_inputs: int, num_outputs: int) -> Data:
    """A PyG ``Data`` that holds the graph of these arguments of ``UnitGraph``."""
    counts = {"num_nodes": num_units, "num_inputs": num_inputs, "num_outputs": num_outputs}
    return Data(edge_index=edge_index.clone(), **counts)


def data_to_parts(data: Data) -> tuple[Tensor, int, int, int]:
    """The arguments of ``UnitGraph`` in a PyG ``Data``."""
    missing = [key for key in ("edge_index", "num_inputs", "num_outputs") if key not in data]
    if missing:
        raise ValueError(
            f"Expected a Data with edge_index, num_inputs and num_outputs (got none of"
            f" {', '.join(missing)}). Set them, e.g. data.num_inputs = 64."
        )
    num_nodes: Any = data.num_nodes
    return data["edge_index"], num_nodes, data["num_inputs"], data["num_outputs"]


def parts_to_nx(
    edge_index: Tensor, num_units: int, num_inputs: int, num_outputs: int
) -> networkx.DiGraph:
    """A :class:`networkx.DiGraph` that holds the graph of these arguments of ``UnitGraph``."""
    import networkx

    result = networkx.DiGraph()
    sizes = (num_inputs, num_units - num_inputs - num_outputs, num_outputs)
    roles = [role for role, size in zip(ROLES, sizes, strict=True) for _ in range(size)]
    result.add_nodes_from((unit, {"role": role}) for unit, role in enumerate(roles))
    result.add_edges_from(edge_index.T.tolist())
    return result


def nx_to_parts(graph: networkx.DiGraph) -> tuple[Tensor, int, int, int]:
    """The arguments of ``UnitGraph`` in a :class:`networkx.DiGraph`."""
    import networkx

    if not isinstance(graph, networkx.Graph):
        raise TypeError(
            f"Expected a networkx.DiGraph (got {type(graph).__name__})."
            " Make one, e.g. networkx.DiGraph(edges)."
        )
    if not graph.is_directed():
        raise TypeError(
            f"Expected a networkx.DiGraph (got {type(graph).__name__}). Use graph.to_directed()"
            f" and remove the edges into inputs."
        )
    by_role: dict[str, list[Any]] = {role: [] for role in ROLES}
    for node, role in graph.nodes(data="role"):
        if not isinstance(role, str) or role not in by_role:
            raise ValueError(
                f"Expected role 'input', 'hidden' or 'output' on every node (got {brief(role)} on"
                f" node {node!r}). Set it, e.g. graph.nodes[{node!r}]['role'] = 'hidden'."
            )
        by_role[role].append(node)
    ids = {node: unit for unit, node in enumerate(chain(*by_role.values()))}
    edges = [(ids[source], ids[target]) for source, target in graph.edges()]
    edge_index = torch.tensor(edges, dtype=torch.long, device="cpu").reshape(-1, 2).T
    return edge_index, len(ids), len(by_role["input"]), len(by_role["output"])
