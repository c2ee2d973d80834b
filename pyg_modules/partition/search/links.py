from __future__ import annotations

from typing import Any

import numpy
from scipy.sparse import csr_array

from pyg_modules._arrays import Bools, Floats, Ints


def has_links(affinity: csr_array[Any]) -> Bools:
    """Which units have an affinity to another unit, ``[n]``."""
    others = numpy.diff(affinity.indptr) - (affinity.diagonal() != 0)
    linked: Bools = others > 0
    return linked


def affinity_to_modules(affinity: csr_array[Any], labels: Ints, num_modules: int) -> Floats:
    """The affinity of every unit to each of ``num_modules`` modules, ``[n, K]``."""
    ones, everyone = numpy.ones(len(labels)), numpy.arange(len(labels))
    members = csr_array((ones, (everyone, labels)), shape=(len(labels), num_modules))
    to_modules: Floats = (affinity @ members).toarray()
    return to_modules
