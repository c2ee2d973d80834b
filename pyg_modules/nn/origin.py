from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Origin(NamedTuple):
    """Which units and edges of a cut layer a part of it has.

    Args:
        module (int): The module that the part is.
        unit_ids (LongTensor): Ids of the units of the part in the whole layer, ``[N_part]``.
        labels (LongTensor): Their modules there, −1 for units that all modules share,
            ``[N_part]``.
        edge_ids (LongTensor): Positions of the edges of the part in the whole layer, ``[E_part]``.
    """

    module: int
    unit_ids: Tensor
    labels: Tensor
    edge_ids: Tensor
