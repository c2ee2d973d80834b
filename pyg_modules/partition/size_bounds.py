"""How many units a module may have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy
from numpy.typing import NDArray

from pyg_modules._checks import as_coefficient, as_int

_ROUNDING = 1e-9


class SizeBounds(NamedTuple):
    """The least and the greatest number of units of every module, ``[K]`` each."""

    smallest: NDArray[numpy.int64]
    largest: NDArray[numpy.int64]

    @classmethod
    def of(
        cls,
        num_units: int,
        num_modules: int,
        capacities: Sequence[int] | None = None,
        tolerance: float = 0.0,
    ) -> SizeBounds:
        """The bounds of ``num_modules`` modules among ``num_units`` units.

        Args:
            num_units (int): Number of units that are partitioned.
            num_modules (int): Number of modules.
            capacities (sequence of int, optional): Size of every module. (default: equal, to one
                unit)
            tolerance (float, optional): By which share of it a size may differ. (default: 0.0)

        Raises:
            TypeError: If an argument has the wrong type.
            ValueError: If there are fewer than two modules or more than units, or the capacities do
                not add up to the number of units.
        """
        num_modules = as_int("num_modules", num_modules, smallest=2)
        if num_units < 2:
            raise ValueError(f"Expected at least 2 units to partition (got {num_units}).")
        if num_modules > num_units:
            raise ValueError(
                f"Expected num_modules from 2 to {num_units}, the number of units that are"
                f" partitioned (got {num_modules})."
            )
        tolerance = as_coefficient("tolerance", tolerance)
        if capacities is None:
            wanted = numpy.full(num_modules, num_units / num_modules)
        else:
            wanted = _checked(capacities, num_units, num_modules)
        # Else a size on the bound would be lost to rounding: 1.15 * 100 is 114.999...
        least = numpy.ceil((1 - tolerance) * wanted - _ROUNDING)
        most = numpy.floor((1 + tolerance) * wanted + _ROUNDING)
        smallest = numpy.maximum(1, numpy.minimum(numpy.floor(wanted), least))
        # The others have a unit each at least.
        possible = num_units - num_modules + 1
        largest = numpy.minimum(possible, numpy.maximum(numpy.ceil(wanted), most))
        return cls(smallest.astype(numpy.int64), largest.astype(numpy.int64))


def _checked(capacities: Sequence[int], num_units: int, num_modules: int) -> NDArray[numpy.float64]:
    if not hasattr(capacities, "__iter__"):
        raise TypeError(
            f"Expected capacities to be a sequence of {num_modules} integers, the size of every"
            f" module (got {type(capacities).__name__}: {capacities!r})."
        )
    sizes = [as_int(f"capacities[{k}]", size, smallest=1) for k, size in enumerate(capacities)]
    if len(sizes) != num_modules:
        raise ValueError(
            f"Expected one capacity per module, {num_modules} (got {len(sizes)}: {sizes})."
        )
    if sum(sizes) != num_units:
        raise ValueError(
            f"Expected capacities that add up to {num_units}, the number of units that are"
            f" partitioned (got {sum(sizes)}: {sizes})."
        )
    return numpy.array(sizes, dtype=numpy.float64)
