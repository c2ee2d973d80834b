from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal, TypeVar, cast

import numpy
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor, nn

from pyg_modules._arrays import Ints
from pyg_modules._checks import (
    as_coefficient,
    as_int,
    as_learning_rate,
    as_num_modules,
    check_device,
)
from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.modules.cut import cut
from pyg_modules.modules.split import split
from pyg_modules.nn.synchronous_graph import SynchronousGraph
from pyg_modules.ops.autocast import without_autocast
from pyg_modules.partition.verdict import Verdict
from pyg_modules.solve.unrolled import Unrolled
from pyg_modules.train.organise import organise

Estimator = TypeVar("Estimator", bound="ModularEstimator")


class ModularEstimator(BaseEstimator):
    """What :class:`ModularClassifier` and :class:`ModularRegressor` have in common."""

    network_: SynchronousGraph
    labels_: Ints
    verdict_: Verdict

    def __init__(
        self,
        num_modules: int | Literal["auto"] = 4,
        *,
        num_hidden: int = 128,
        steps: int = 6,
        activation: str = "relu",
        scope: str = "hidden",
        epochs: int = 40,
        finetune_epochs: int | None = 40,
        ncut: float = 1.0,
        balance: float = 3.0,
        tolerance: float = 0.0,
        learning_rate: float = 3e-3,
        weight_decay: float = 0.1,
        batch_size: int = 64,
        random_state: int | numpy.random.RandomState | None = None,
        device: str = "cpu",
    ) -> None:
        self.num_modules = num_modules
        self.num_hidden = num_hidden
        self.steps = steps
        self.activation = activation
        self.scope = scope
        self.epochs = epochs
        self.finetune_epochs = finetune_epochs
        self.ncut = ncut
        self.balance = balance
        self.tolerance = tolerance
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.random_state = random_state
        self.device = device

    @property
    def modules_(self) -> nn.ModuleList:
        """The modules of the cut network, as :func:`split` takes them apart; copies.

        Raises:
            AttributeError: If the network is not cut.
        """
        if not hasattr(self, "network_") or self.network_.labels is None:
            raise AttributeError(
                "Expected a cut network to take apart (got one that is not fitted or not cut). Call"
                " fit, and cut where finetune_epochs is None."
            )
        return split(self.network_)

    def cut(self: Estimator) -> Estimator:
        """Make :attr:`network_` the layer without edges between modules, if they are there.

        Only needed after a fit with ``finetune_epochs=None``; any other has done it.

        Returns:
            ModularEstimator: The estimator itself.

        Raises:
            sklearn.exceptions.NotFittedError: If it is not fitted.
        """
        check_is_fitted(self, "network_")
        if self.network_.labels is None:
            self.network_ = cut(self.network_, torch.from_numpy(self.labels_))
        return self

    def _start_fit(self) -> None:
        """Check the parameters, then forget the fit before: it may be of other data."""
        self._check_parameters()
        for name in ("network_", "labels_", "verdict_"):
            self.__dict__.pop(name, None)

    def _train(
        self,
        inputs: NDArray[numpy.floating],
        targets: NDArray[numpy.generic],
        num_outputs: int,
        loss: Callable[[Tensor, Tensor], Tensor],
    ) -> None:
        """Set :attr:`network_`, :attr:`labels_` and :attr:`verdict_`."""
        x = torch.tensor(numpy.ascontiguousarray(inputs), device=self.device)
        y = torch.tensor(numpy.ascontiguousarray(targets), device=self.device)
        generator = check_random_state(self.random_state)
        seed = int(generator.randint(numpy.iinfo(numpy.int32).max))
        layer = SynchronousGraph(
            UnitGraph.complete(x.size(1), self.num_hidden, num_outputs),
            Unrolled(self.steps),
            self.activation,
            device=self.device,
            dtype=x.dtype,
            generator=torch.Generator(self.device).manual_seed(seed),
        )
        organised = organise(
            layer,
            (x, y),
            self.num_modules,
            epochs=self.epochs,
            finetune_epochs=self.finetune_epochs,
            seed=seed,
            scope=self.scope,
            tolerance=self.tolerance,
            ncut=self.ncut,
            balance=self.balance,
            loss=loss,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            batch_size=self.batch_size,
        )
        self.network_ = cast(SynchronousGraph, organised.layer)
        labels = organised.labels.cpu()
        self.labels_ = labels.numpy()
        self.verdict_ = replace(organised.verdict, labels=labels)

    def _outputs(self, inputs: ArrayLike) -> Tensor:
        """What the network makes of ``inputs``, ``[B, O]``."""
        check_is_fitted(self, "network_")
        weight = self.network_.weight
        dtype = torch.empty(0, dtype=weight.dtype, device="cpu").numpy().dtype
        checked = validate_data(self, inputs, dtype=dtype, reset=False)
        # Who predicts wants the numbers of the network, whatever looks on.
        with torch.no_grad(), without_autocast(weight.device):
            outputs: Tensor = self.network_(
                torch.tensor(numpy.ascontiguousarray(checked), device=weight.device)
            )
        is_finite = outputs.isfinite().all(dim=1)
        if not bool(is_finite.all()):
            raise ValueError(
                f"Expected samples of which the network makes finite numbers (got NaN or infinity"
                f" for number {int(is_finite.int().argmin())}, in {checked.dtype}). Use a"
                f" StandardScaler before, or fit on X in float64."
            )
        return outputs

    def __sklearn_is_fitted__(self) -> bool:
        # Not by any attribute: what a fit that was refused has left says nothing.
        return hasattr(self, "network_")

    def _check_parameters(self) -> None:
        """Raise for parameters that nothing else looks at, or not by their names here."""
        num_hidden = as_int("num_hidden", self.num_hidden, smallest=2)
        as_num_modules(self.num_modules, num_hidden)
        if self.finetune_epochs is not None:
            as_int("finetune_epochs", self.finetune_epochs, smallest=0)
        as_learning_rate(self.learning_rate)
        as_coefficient("weight_decay", self.weight_decay)
        as_int("batch_size", self.batch_size, smallest=1)
        check_device(self.device)
