"""Tasks side by side, of inputs and outputs of their own, whose rules change in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from sklearn.metrics import r2_score
from torch import Tensor
from torch.nn import functional as F

from benchmarks.accuracy.additive.tasks import teacher
from benchmarks.accuracy.kinds import Owners
from pyg_modules.datasets import load_dataset

_NUM_TEST, _NUM_TASKS = 1000, 4


class Samples(NamedTuple):
    """Inputs ``[n, I]`` and targets ``[n, M]``, a column per task, to train on and to test."""

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor


@dataclass(frozen=True)
class Problem:
    """Tasks of one network. The one that changes next is the first of those that did not yet.

    Args:
        stages (list of Samples): At first, and after every change.
        input_owner (LongTensor): The task of every input, ``[I]``.
        num_outputs (int): Of every task.
        kind (str): ``"classes"``, ``"yes or no"`` or ``"numbers"``.
    """

    stages: list[Samples]
    input_owner: Tensor
    num_outputs: int
    kind: str

    @property
    def tasks(self) -> range:
        """All of them, by number."""
        return range(len(self.stages) - 1)

    @property
    def owners(self) -> Owners:
        """Tasks have inputs and outputs of their own."""
        outputs = torch.tensor(self.tasks).repeat_interleave(self.num_outputs)
        return Owners(self.input_owner, outputs, len(self.tasks))

    def loss(self, tasks: Iterable[int]) -> Callable[[Tensor, Tensor], Tensor]:
        """What is trained on for some of the tasks: the mean of theirs."""

        def mean_loss(outputs: Tensor, targets: Tensor) -> Tensor:
            losses = [
                _LOSSES[self.kind](self._of(outputs, task), targets[:, task]) for task in tasks
            ]
            return torch.stack(losses).mean()

        return mean_loss

    def scores(self, outputs: Tensor, stage: int) -> list[float]:
        """Of every task the share of right answers, or R², of test samples."""
        targets = self.stages[stage].test_y
        return [_score(self.kind, self._of(outputs, task), targets[:, task]) for task in self.tasks]

    def _of(self, outputs: Tensor, task: int) -> Tensor:
        """The outputs of one task, ``[B, C]`` for classes and ``[B]`` else."""
        own = outputs[:, task * self.num_outputs : (task + 1) * self.num_outputs]
        return own if self.kind == "classes" else own.squeeze(1)


_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "classes": lambda outputs, targets: F.cross_entropy(outputs, targets.long()),
    "yes or no": F.binary_cross_entropy_with_logits,
    "numbers": F.mse_loss,
}


def _score(kind: str, outputs: Tensor, targets: Tensor) -> float:
    if kind == "numbers":
        return float(r2_score(targets.numpy(), outputs.numpy()))
    found = outputs.argmax(dim=1) if kind == "classes" else outputs > 0
    return float((found == targets).double().mean())


def _parity(x: Tensor, generator: torch.Generator) -> Tensor:
    """The parity of two signs, which it chooses, XOR the majority of the other three."""
    order = torch.randperm(5, generator=generator)
    signed = x * (torch.randint(2, (5,), generator=generator) * 2 - 1)
    is_odd = signed[:, order[:2]].prod(dim=1) > 0
    return (is_odd ^ (signed[:, order[2:]].sum(dim=1) > 0)).float()


def _teacher(x: Tensor, generator: torch.Generator) -> Tensor:
    """A random network, of variance 1."""
    y = teacher(x, generator)
    return (y - y.mean()) / y.std()


def _functions(
    function: Callable[[Tensor, torch.Generator], Tensor],
    width: int,
    kind: str,
    num_train: int,
    seed: int,
) -> Problem:
    """Functions of inputs of variance 1, signs or uniform; a change is another function of them."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(num_train + _NUM_TEST, _NUM_TASKS * width, generator=generator) * 2 - 1
    x = x * 3**0.5 if kind == "numbers" else x.sign()
    targets = [[function(part, generator) for part in x.chunk(_NUM_TASKS, dim=1)] for _ in range(2)]
    stages = []
    for stage in range(_NUM_TASKS + 1):
        y = torch.stack([*targets[1][:stage], *targets[0][stage:]], dim=1)
        stages.append(Samples(x[:num_train], y[:num_train], x[num_train:], y[num_train:]))
    owner = torch.arange(_NUM_TASKS).repeat_interleave(width)
    return Problem(stages, owner, num_outputs=1, kind=kind)


def _digits(num_train: int, seed: int) -> Problem:
    """Two digits side by side, each with its class; a change shuffles the pixels of one."""
    digits = load_dataset("digits")
    generator = torch.Generator().manual_seed(seed)
    train = [torch.randperm(len(digits.train_y), generator=generator)[:num_train] for _ in range(2)]
    test = [torch.randperm(len(digits.test_y), generator=generator) for _ in range(2)]
    pixels = [torch.randperm(digits.train_x.size(1), generator=generator) for _ in range(2)]

    def sides(x: Tensor, rows: list[Tensor], stage: int) -> Tensor:
        images = [
            x[chosen][:, order] if side < stage else x[chosen]
            for side, (chosen, order) in enumerate(zip(rows, pixels, strict=True))
        ]
        return torch.cat(images, dim=1)

    def classes(y: Tensor, rows: list[Tensor]) -> Tensor:
        return torch.stack([y[chosen] for chosen in rows], dim=1)

    stages = [
        Samples(
            sides(digits.train_x, train, stage),
            classes(digits.train_y, train),
            sides(digits.test_x, test, stage),
            classes(digits.test_y, test),
        )
        for stage in range(3)
    ]
    owner = torch.tensor([0, 1]).repeat_interleave(digits.train_x.size(1))
    return Problem(stages, owner, num_outputs=10, kind="classes")


_KINDS: dict[str, tuple[Callable[[int, int], Problem], tuple[int, ...]]] = {
    "two digits": (_digits, (300, 1437)),
    "parities": (partial(_functions, _parity, 5, "yes or no"), (400, 1600)),
    "teachers": (partial(_functions, _teacher, 3, "numbers"), (400, 1600)),
}
#: By name: makes one of a seed.
PROBLEMS: dict[str, Callable[[int], Problem]] = {
    f"{name}, {number:,} samples": partial(make, number)
    for name, (make, numbers) in _KINDS.items()
    for number in numbers
}
#: Of every kind the one with the fewest samples.
FEWEST = [f"{name}, {numbers[0]:,} samples" for name, (_, numbers) in _KINDS.items()]
