"""How sure a mean of several seeds is."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from math import sqrt
from statistics import mean, stdev

from scipy.stats import t as student


def half_interval(values: Sequence[float], overlap: float = 0.0) -> float:
    """Half of the 95 % interval of the mean, by Student's t.

    Where training sets overlap, runs are not independent, and the variance is larger: ``overlap``
    is the ratio of test to training samples (Nadeau & Bengio, Inference for the Generalization
    Error, Machine Learning 2003).
    """
    error = stdev(values) * sqrt(1 / len(values) + overlap)
    return float(student.ppf(0.975, len(values) - 1)) * error


def half_interval_of_searches(searches: Sequence[Sequence[float]], overlap: float = 0.0) -> float:
    """Half of the 95 % interval of the mean of all values, which are grouped by search.

    Where there are several, it is at least that of their means: which recipe is found is chance,
    too.
    """
    of_values = half_interval(list(chain(*searches)), overlap)
    if len(searches) == 1:
        return of_values
    return max(of_values, half_interval([mean(values) for values in searches]))


def p_value(values: Sequence[float], overlap: float = 0.0) -> float:
    """How likely a mean so far from 0 is if it is 0, by Student's t, as :func:`half_interval`."""
    error = stdev(values) * sqrt(1 / len(values) + overlap)
    if error == 0:
        return float(mean(values) == 0)
    return 2 * float(student.sf(abs(mean(values)) / error, len(values) - 1))


def p_value_of_searches(searches: Sequence[Sequence[float]], overlap: float = 0.0) -> float:
    """The same of values that are grouped by search, as :func:`half_interval_of_searches`."""
    of_values = p_value(list(chain(*searches)), overlap)
    if len(searches) == 1:
        return of_values
    return max(of_values, p_value([mean(values) for values in searches]))


def holm(p_values: Sequence[float], level: float = 0.05) -> list[bool]:
    """Which of several hypotheses are rejected so that all rejections are right with 95 %.

    Holm, A simple sequentially rejective multiple test procedure, Scand. J. Statist. 1979.
    """
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    rejected = [False] * len(p_values)
    for rank, number in enumerate(order):
        if p_values[number] > level / (len(p_values) - rank):
            break
        rejected[number] = True
    return rejected


def mean_difference(values: Sequence[float], others: Sequence[float]) -> str:
    """The mean of the differences, seed by seed, and half of its interval."""
    differences = [one - other for one, other in zip(values, others, strict=True)]
    return f"{mean(differences):+.2f} ± {half_interval(differences):.2f}"
