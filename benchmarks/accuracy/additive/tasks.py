"""Tasks of one output, whose right modules are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import product

import torch
from sklearn.metrics import r2_score
from torch import Tensor
from torch.nn import functional as F

from benchmarks.accuracy.kinds import Owners

_NUM_TEST = 1000
_NUM_TERMS, _NUM_INPUTS = 4, 3


@dataclass(frozen=True)
class Task:
    """Samples to train on, and others.

    Args:
        train_x (Tensor): ``[n, I]``.
        train_y (Tensor): ``[n, 1]``, real numbers, or 0 and 1.
        test_x (Tensor): Others.
        test_y (Tensor): Theirs.
        owner (LongTensor): The term of every input, ``[I]``.
        is_regression (bool): Whether targets are real numbers.
    """

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor
    owner: Tensor
    is_regression: bool

    @property
    def owners(self) -> Owners:
        """Terms have inputs of their own, and share the output."""
        return Owners(self.owner, torch.tensor([-1]), int(self.owner.max()) + 1)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """What is trained on."""
        if self.is_regression:
            return F.mse_loss(outputs, targets)
        return F.binary_cross_entropy_with_logits(outputs, targets)

    def score(self, outputs: Tensor) -> float:
        """R² or the share of right answers, of test samples."""
        if self.is_regression:
            return float(r2_score(self.test_y.numpy(), outputs.numpy()))
        return float(((outputs > 0) == (self.test_y > 0.5)).double().mean())


def _retina(is_both: bool, num_train: int, seed: int) -> Task:
    """Is there an object on the left and (or) on the right? Kashtan & Alon, PNAS 2005.

    On a side of two columns, there is if three pixels or more are black, or one or two in the outer
    column and none in the inner one. Each side decides alone, so that a logit that is a sum of both
    will do. Of the 256 patterns, those that are not trained on are tested.
    """
    x = torch.tensor(list(product([0.0, 1.0], repeat=8)))
    sides = [
        (half.sum(dim=1) >= 3)
        | ((half[:, outer].sum(dim=1) > 0) & (half[:, inner].sum(dim=1) == 0))
        for half, outer, inner in (
            (x[:, :4], slice(0, 2), slice(2, 4)),
            (x[:, 4:], slice(2, 4), slice(0, 2)),
        )
    ]
    y = (sides[0] & sides[1] if is_both else sides[0] | sides[1]).float().unsqueeze(1)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    x, y = 2 * x[order] - 1, y[order]
    owner = torch.tensor([0, 1]).repeat_interleave(4)
    return Task(x[:num_train], y[:num_train], x[num_train:], y[num_train:], owner, False)


def _sum(term: Callable[[Tensor, torch.Generator], Tensor], num_train: int, seed: int) -> Task:
    """Functions of three uniform inputs each, of variance 1, added up."""
    generator = torch.Generator().manual_seed(seed)
    num_samples = num_train + _NUM_TEST
    x = torch.rand(num_samples, _NUM_TERMS * _NUM_INPUTS, generator=generator) * 2 - 1
    x = x * 3**0.5
    terms = [term(part, generator) for part in x.chunk(_NUM_TERMS, dim=1)]
    y = torch.stack([(one - one.mean()) / one.std() for one in terms]).sum(dim=0).unsqueeze(1)
    y = y / _NUM_TERMS**0.5
    owner = torch.arange(_NUM_TERMS).repeat_interleave(_NUM_INPUTS)
    return Task(x[:num_train], y[:num_train], x[num_train:], y[num_train:], owner, True)


def _sine(x: Tensor, generator: torch.Generator) -> Tensor:
    """Of a projection, as in Boopathy et al., arXiv 2409.05780."""
    direction = torch.randn(_NUM_INPUTS, generator=generator)
    return torch.sin(2 * x @ direction / direction.norm())


def teacher(x: Tensor, generator: torch.Generator) -> Tensor:
    """A random network of eight hidden units."""
    weight, bias, last = (
        torch.randn(*shape, generator=generator) for shape in ((x.size(1), 8), (8,), (8,))
    )
    return torch.tanh(1.5 * x @ weight + bias) @ last


_KINDS: dict[str, tuple[Callable[[int, int], Task], tuple[int, ...]]] = {
    "retina, and": (partial(_retina, True), (64, 128, 192)),
    "retina, or": (partial(_retina, False), (64, 128, 192)),
    "sines": (partial(_sum, _sine), (400, 1600, 6400)),
    "teachers": (partial(_sum, teacher), (400, 1600, 6400)),
}
#: By name: makes one of a seed.
TASKS: dict[str, Callable[[int], Task]] = {
    f"{name}, {number:,} samples": partial(make, number)
    for name, (make, numbers) in _KINDS.items()
    for number in numbers
}
#: Of every kind the one with the fewest samples.
FEWEST = [f"{name}, {numbers[0]:,} samples" for name, (_, numbers) in _KINDS.items()]
