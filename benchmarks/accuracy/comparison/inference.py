from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median


def microseconds(run: Callable[[], object], num_samples: int) -> float:
    """Inference of one of all samples that ``run`` computes together, the median of nine."""
    seconds = []
    for _ in range(10):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return 1e6 * median(seconds[1:]) / num_samples
