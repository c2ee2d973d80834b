"""Do modules take to rules? The measures of Mittal et al., arXiv 2206.02713."""

from __future__ import annotations

from itertools import permutations
from math import log

import torch
from torch import Tensor


def activity(answers: Tensor, rule: Tensor) -> Tensor:
    r"""The share of every module in the answers by a rule, :math:`p(m | r)`, ``[R, K]``.

    There is no routing here, whose probabilities the paper takes: a share is that of the variance.

    Args:
        answers (Tensor): What each module adds to the output, ``[n, K]``.
        rule (LongTensor): Of every sample, ``[n]``.
    """
    rules = range(int(rule.max()) + 1)
    variances = torch.stack([answers[rule == one].var(dim=0) for one in rules])
    return variances / variances.sum(dim=1, keepdim=True)


def collapse(shares: Tensor) -> float:
    r"""Whether some modules answer little: :math:`1 - M \min_m p(m)`, 0 where all do alike."""
    return float(1 - shares.size(1) * shares.mean(dim=0).min())


def misalignment(shares: Tensor) -> float:
    """The distance to a module for each rule, of the nearest such: 0 where each has its own."""
    distances = [
        (shares - torch.eye(len(shares))[list(order)]).abs().sum() / (2 * len(shares))
        for order in permutations(range(len(shares)))
    ]
    return float(min(distances))


def inverse_information(shares: Tensor) -> float:
    r"""What modules do not tell of rules: :math:`1 - I(m, r) / \log R`, 1 if nothing."""
    of_modules, of_both = shares.mean(dim=0), shares / len(shares)
    entropy_of_both = -torch.xlogy(of_both, of_both).sum()
    information = log(len(shares)) - torch.xlogy(of_modules, of_modules).sum() - entropy_of_both
    return float(1 - information / log(len(shares)))


def maladaptation(shares: Tensor, seed: int = 0) -> float:
    r"""Whether modules follow the frequencies of rules: 0 if their activity is as uneven.

    :math:`\frac{1}{2} \, \mathbb{E}_{p} \lVert \mathrm{sort}(p) -
    \mathrm{sort}(\sum_r p_r \, p(m | r)) \rVert_1` over 1,000 frequencies from a flat Dirichlet
    distribution.
    """
    generator = torch.Generator().manual_seed(seed)
    frequencies = torch.empty(1000, len(shares)).exponential_(generator=generator)
    frequencies = frequencies / frequencies.sum(dim=1, keepdim=True)
    followed = (frequencies @ shares).sort(dim=1).values
    return float((frequencies.sort(dim=1).values - followed).abs().sum(dim=1).mean() / 2)
