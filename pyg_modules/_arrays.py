"""Types of the arrays of NumPy that the search and the figures compute with."""

from __future__ import annotations

import numpy
from numpy.typing import NDArray

Ints = NDArray[numpy.int64]
Floats = NDArray[numpy.float64]
Bools = NDArray[numpy.bool_]
