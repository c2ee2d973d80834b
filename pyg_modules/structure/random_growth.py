from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pyg_modules.structure.growing import Growing, take_best
from pyg_modules.structure.missing_edges import MissingEdges


def edges_at_random(asked: Growing) -> Tensor:
    """Missing edges, of which every one is as likely, ``[2, n]``."""
    rng = np.random.default_rng(asked.seed)
    edges, room = asked.graph.edge_index, asked.room.copy()
    last = asked.graph.num_edges + asked.number
    while edges.size(1) < last:
        missing = MissingEdges(asked.possible, edges, room > 0)
        if not missing.count:
            break
        number = min(missing.count, last - edges.size(1))
        drawn = missing.at(rng.choice(missing.count, number, replace=False))
        target = drawn[1].numpy()
        taken = take_best(np.zeros(number), target, room, number)
        room -= np.bincount(target[taken], minlength=room.size)
        edges = torch.cat([edges, drawn[:, torch.from_numpy(taken)]], dim=1)
    return edges[:, asked.graph.num_edges :]
