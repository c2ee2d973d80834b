"""Problems made of independent sub-tasks, so that the right modules are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from sklearn.metrics import r2_score
from torch import Tensor
from torch.nn import functional as F

from pyg_modules._checks import as_int, check_choice

NUM_UNINFORMATIVE = 2


@dataclass(frozen=True)
class PlantedProblem:
    """Independent sub-tasks on disjoint inputs, one output each.

    Args:
        train_x (Tensor): Training inputs, float32, ``[num_train, I]``.
        train_y (Tensor): Targets, float32, ``[num_train, M]``, one column per sub-task.
        test_x (Tensor): Test inputs, ``[num_test, I]``.
        test_y (Tensor): Their targets, ``[num_test, M]``.
        input_owner (LongTensor): Sub-task of every input, ``[I]``, −1 for those that inform none.
        output_owner (LongTensor): Sub-task of every output, ``[M]``.
        is_regression (bool): Whether targets are real numbers; else they are 0 or 1.
    """

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor
    input_owner: Tensor
    output_owner: Tensor
    is_regression: bool

    @property
    def num_inputs(self) -> int:
        """Number of inputs :math:`I`."""
        return self.train_x.size(1)

    @property
    def num_outputs(self) -> int:
        """Number of outputs, one per sub-task."""
        return self.train_y.size(1)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """What is trained on: the mean squared error, or the cross-entropy of logits."""
        if self.is_regression:
            return F.mse_loss(outputs, targets)
        return F.binary_cross_entropy_with_logits(outputs, targets)

    def score(self, outputs: Tensor, targets: Tensor) -> float:
        """Share of right answers over all sub-tasks; for regression the mean :math:`R^2`.

        As scikit-learn defines it, :math:`R^2` of constant targets is 1 where they are met, else 0.
        """
        if self.is_regression:
            return float(r2_score(targets.cpu().numpy(), outputs.cpu().numpy()))
        return float(((outputs > 0) == (targets > 0.5)).double().mean())

    def owners(self, num_hidden: int) -> Tensor:
        """The sub-task of every unit of a graph with so many hidden units, ``[I + H + M]``.

        −1 for hidden units, whose sub-task is not known, and for inputs that inform none.
        """
        num_hidden = as_int("num_hidden", num_hidden, smallest=0)
        return torch.cat(
            [self.input_owner, self.input_owner.new_full((num_hidden,), -1), self.output_owner]
        )


def planted_problem(
    num_tasks: int = 4,
    kind: str = "parity-majority",
    *,
    sizes: Sequence[int] | None = None,
    num_noise: int = 0,
    num_train: int = 6000,
    num_test: int = 2000,
    seed: int = 0,
) -> PlantedProblem:
    r"""Several sub-tasks on disjoint inputs, in one data set.

    A sub-task of size r has, besides two uninformative inputs,

    * ``"parity-majority"``: :math:`4 + 2 r` inputs :math:`\pm 1`; the target is the parity of the
      first three, XOR the majority of the others;
    * ``"linear-threshold"``: :math:`6 r - 1` inputs :math:`\pm 1`; the target is whether a random
      linear function of them is positive;
    * ``"product"``: :math:`4 r` normal inputs; the target is the sum of the products of pairs, of
      variance 1.

    Inputs are shuffled, so that their order says nothing about the sub-tasks.

    Args:
        num_tasks (int, optional): Number of sub-tasks M. (default: 4)
        kind (str, optional): See above. (default: ``"parity-majority"``)
        sizes (sequence of int, optional): Size of every sub-task. (default: 1 each)
        num_noise (int, optional): Further inputs that inform no sub-task. (default: 0)
        num_train (int, optional): Training samples. (default: 6000)
        num_test (int, optional): Test samples. (default: 2000)
        seed (int, optional): Of samples, functions and order. (default: 0)

    Raises:
        TypeError: If a number is not an integer.
        ValueError: If a number is out of range, or ``kind`` unknown.
    """
    num_tasks = as_int("num_tasks", num_tasks, smallest=1)
    num_noise = as_int("num_noise", num_noise, smallest=0)
    num_train = as_int("num_train", num_train, smallest=1)
    num_test = as_int("num_test", num_test, smallest=1)
    check_choice("kind", kind, _KINDS)
    if sizes is None:
        sizes = [1] * num_tasks
    if len(sizes) != num_tasks:
        raise ValueError(
            f"Expected one size per sub-task, {num_tasks} (got {len(sizes)})."
            " Give one for each, or leave sizes out."
        )
    sizes = [as_int(f"sizes[{task}]", size, smallest=1) for task, size in enumerate(sizes)]

    generator = torch.Generator("cpu").manual_seed(as_int("seed", seed, smallest=0))
    num_samples = num_train + num_test
    inputs, targets, owners = [], [], []
    for task, size in enumerate(sizes):
        informative, target = _KINDS[kind](num_samples, size, generator)
        inputs += [informative, _like(kind, num_samples, NUM_UNINFORMATIVE, generator)]
        owners += [task] * informative.size(1) + [-1] * NUM_UNINFORMATIVE
        targets.append(target)
    inputs.append(_like(kind, num_samples, num_noise, generator))
    owners += [-1] * num_noise
    order = torch.randperm(len(owners), generator=generator, device="cpu")
    x, y = torch.cat(inputs, dim=1)[:, order], torch.stack(targets, dim=1)
    return PlantedProblem(
        x[:num_train],
        y[:num_train],
        x[num_train:],
        y[num_train:],
        input_owner=torch.tensor(owners, device="cpu")[order],
        output_owner=torch.arange(num_tasks, device="cpu"),
        is_regression=kind == "product",
    )


def _signs(num_samples: int, width: int, generator: torch.Generator) -> Tensor:
    return torch.randint(2, (num_samples, width), generator=generator, device="cpu").float() * 2 - 1


def _normal(num_samples: int, width: int, generator: torch.Generator) -> Tensor:
    shape = num_samples, width
    return torch.randn(shape, generator=generator, device="cpu", dtype=torch.float32)


def _like(kind: str, num_samples: int, width: int, generator: torch.Generator) -> Tensor:
    """Inputs that inform no sub-task."""
    if kind == "product":
        return _normal(num_samples, width, generator)
    return _signs(num_samples, width, generator)


def _parity_majority(
    num_samples: int, size: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    x = _signs(num_samples, 4 + 2 * size, generator)
    is_odd = x[:, :3].prod(dim=1) > 0
    return x, (is_odd ^ (x[:, 3:].sum(dim=1) > 0)).float()


def _linear_threshold(
    num_samples: int, size: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    # An odd number of weights with magnitudes in [0.5, 1): the others of any one, paired in order
    # of magnitude and subtracted in turn, add up to less than 0.5, so that every input can decide.
    width = 6 * size - 1
    x = _signs(num_samples, width, generator)
    weight = _signs(1, width, generator)[0] * (
        0.5 + torch.rand(width, generator=generator, device="cpu", dtype=torch.float32) / 2
    )
    return x, (x @ weight > 0).float()


def _product(num_samples: int, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    x = _normal(num_samples, 4 * size, generator)
    return x, (x[:, 0::2] * x[:, 1::2]).sum(dim=1) / (2 * size) ** 0.5


_KINDS: dict[str, Callable[[int, int, torch.Generator], tuple[Tensor, Tensor]]] = {
    "parity-majority": _parity_majority,
    "linear-threshold": _linear_threshold,
    "product": _product,
}
