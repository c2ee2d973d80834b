from __future__ import annotations

from typing import NamedTuple


class Work(NamedTuple):
    """What the time of an update is made of.

    Args:
        cells (int): Number of products a backend computes per sample: edges, or cells of its
            matrices.
        units (int): Number of units updated.
        batch (int): Number of samples.
    """

    cells: int
    units: int
    batch: int

    def terms(self) -> dict[str, float]:
        """The terms of the cost model, by the names of their coefficients."""
        return {
            "call": 1.0,
            "cell": float(self.cells),
            "cell_sample": float(self.cells * self.batch),
            "unit_sample": float(self.units * self.batch),
        }
