"""A mixture of rules, as of Mittal et al., arXiv 2206.02713."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.accuracy.additive.tasks import teacher

NUM_RULES, NUM_FEATURES, NUM_TEST = 4, 3, 1000


#: Training samples, by the name of the task.
TASKS = {f"{number:,} samples": number for number in (400, 1600, 6400)}


class Mixture(NamedTuple):
    """Features and the rule as one of four inputs, ``[n, 7]``, and what the rule answers.

    ``rule`` has that of every test sample.
    """

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor
    rule: Tensor


def mixture(num_train: int, seed: int) -> Mixture:
    """Rules are random networks of the same three features, of variance 1, all as frequent."""
    generator = torch.Generator().manual_seed(seed)
    num_samples = num_train + NUM_TEST
    features = torch.rand(num_samples, NUM_FEATURES, generator=generator) * 2 - 1
    features = features * 3**0.5
    rule = torch.randint(NUM_RULES, (num_samples,), generator=generator)
    answers = torch.stack([teacher(features, generator) for _ in range(NUM_RULES)], dim=1)
    answers = (answers - answers.mean(dim=0)) / answers.std(dim=0)
    x = torch.cat([features, F.one_hot(rule, NUM_RULES).float()], dim=1)
    y = answers.gather(1, rule.unsqueeze(1))
    train, test = slice(num_train), slice(num_train, None)
    return Mixture(x[train], y[train], x[test], y[test], rule[test])
