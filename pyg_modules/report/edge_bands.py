from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pyg_modules._arrays import Floats
from pyg_modules.report.palette import CATEGORIES, GUIDE, NEGATIVE
from pyg_modules.structure.edge_record import EdgeRecord


class EdgeBand(NamedTuple):
    """Some of the edges of a layer, as a band over the epochs; those that went are below 0.

    Args:
        name (str): Which edges.
        color (str): Their colour.
        low (numpy.ndarray): Where the band begins in every epoch.
        high (numpy.ndarray): Where it ends; the difference is their number.
    """

    name: str
    color: str
    low: Floats
    high: Floats


def edge_bands(history: Sequence[EdgeRecord]) -> tuple[Floats, list[EdgeBand]]:
    """What became of edges, epoch by epoch, as bands above each other.

    Args:
        history (sequence of EdgeRecord): A record at least.

    Returns:
        tuple: The borders between epochs, counted from 1, ``[records + 1]``, and the bands.
    """
    epoch, number, stayed, grown, pruned, left = np.array(history, dtype=float).T
    zero = np.zeros_like(number)
    bands = [
        EdgeBand("there from the first", GUIDE, zero, stayed),
        EdgeBand("grown before", CATEGORIES[4], stayed, number - grown),
        EdgeBand("grown now, there still", CATEGORIES[0], number - grown, number - grown + left),
        EdgeBand("grown now, gone since", CATEGORIES[3], number - grown + left, number),
        EdgeBand("pruned now", NEGATIVE, -pruned, zero),
    ]
    return np.append(epoch, epoch[-1] + 1) + 0.5, bands
