from __future__ import annotations

from typing import Any

import numpy
from scipy.sparse import csr_array

from pyg_modules._arrays import Bools


def has_links(affinity: csr_array[Any]) -> Bools:
    """Which units have an affinity to another unit, ``[n]``."""
    others = numpy.diff(affinity.indptr) - (affinity.diagonal() != 0)
    linked: Bools = others > 0
    return linked
