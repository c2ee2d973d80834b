from __future__ import annotations

from typing import Any

import numpy
from numpy.typing import NDArray
from scipy.sparse import csr_array


def has_links(affinity: csr_array[Any]) -> NDArray[numpy.bool_]:
    """Which units have an affinity to another unit, ``[n]``."""
    others = numpy.diff(affinity.indptr) - (affinity.diagonal() != 0)
    linked: NDArray[numpy.bool_] = others > 0
    return linked
