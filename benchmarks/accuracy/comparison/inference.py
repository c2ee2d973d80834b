from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median


def microseconds(run: Callable[[], object], num_samples: int) -> float:
    """Inference, in time of the processor, of one of all samples that ``run`` computes together."""
    seconds = []
    for _ in range(10):
        start = time.process_time()
        run()
        seconds.append(time.process_time() - start)
    return 1e6 * median(seconds[1:]) / num_samples
