from __future__ import annotations

import warnings
from typing import Any

import numpy
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin
from sklearn.utils.validation import validate_data
from torch.nn import functional as F

from pyg_modules._arrays import Bools, Floats
from pyg_modules.nn.synchronous_graph import SynchronousGraph
from pyg_modules.train.modular_estimator import ModularEstimator

# Predictions are seldom more standard deviations away from the mean of the targets.
_FAR = 10
# Which part of the standard deviation of targets the distance of two numbers may be.
_COARSE = 0.1


class ModularRegressor(RegressorMixin, ModularEstimator):
    """A scikit-learn regressor made of independent modules, which it finds itself.

    As :class:`ModularClassifier`, with one output per target and the mean squared error as loss.
    Targets are standardised for the training, so that the coefficients mean the same whatever their
    unit; then the network is scaled back, and its outputs are the predictions.

    Args:
        num_modules (int or str, optional): Number of modules K, or ``"auto"``; this and all other
            arguments are as for :class:`ModularClassifier`. (default: 4)

    Attributes:
        network_: The trained :class:`SynchronousGraph`, from features to predictions.
        labels_: Module of every unit of ``network_.graph``, ``[N]``, −1 for inputs and outputs
            that all modules share.
        verdict_: What the modules are worth, a :class:`pyg_modules.partition.Verdict`.
        modules_: The K modules of the cut network, whose outputs add up to its outputs; there is no
            such attribute as long as the network is not cut.
        n_features_in_: Number of features.
        feature_names_in_: Their names, if ``X`` had names.

    Example:
        >>> from sklearn.datasets import make_regression
        >>> from pyg_modules.train import ModularRegressor
        >>> X, y = make_regression(n_features=4, n_targets=2, random_state=0)
        >>> model = ModularRegressor(num_modules=2, num_hidden=16, random_state=0).fit(X, y)
        >>> model.predict(X).shape
        (100, 2)
    """

    def fit(self, X: ArrayLike, y: ArrayLike) -> ModularRegressor:  # noqa: N803
        """Train from the beginning.

        Args:
            X (array-like): Inputs, ``[num_samples, num_features]``.
            y (array-like): Their targets, ``[num_samples]`` or ``[num_samples, num_targets]``.

        Returns:
            ModularRegressor: The regressor itself.

        Raises:
            DivergedError: If the loss becomes NaN or infinite.
            TypeError: If a parameter has the wrong type.
            ValueError: If a parameter is out of range, the data is unfit, or targets are too large,
                or differ by too little, for the precision of ``X``.

        Warns:
            UserWarning: If numbers of the precision of ``X`` are too coarse where the targets are.
        """
        self._start_fit()
        inputs, targets = validate_data(
            self, X, y, dtype=[numpy.float64, numpy.float32], multi_output=True, y_numeric=True
        )
        self._target_shape = targets.shape[1:]
        columns = targets.reshape(len(targets), -1).astype(numpy.float64)
        # Squares of the largest and the smallest numbers are none. A power of 2 rounds nothing.
        unit = numpy.ldexp(1.0, numpy.frexp(numpy.abs(columns).max(axis=0))[1] - 1)
        scaled = columns / unit
        mean, scale = scaled.mean(axis=0), scaled.std(axis=0)
        varies = (columns != columns[0]).any(axis=0)
        # The mean of equal numbers may be rounded.
        mean[~varies], scale[~varies] = scaled[0, ~varies], 1.0
        standardised = (scaled - mean) / scale
        mean, scale = mean * unit, numpy.where(varies, scale * unit, 1.0)
        _check_precision(inputs.dtype, mean, scale, varies)
        self._train(inputs, standardised.astype(inputs.dtype), len(scale), F.mse_loss)
        _rescale_outputs(self.network_, scale, mean)
        return self

    def predict(self, X: ArrayLike) -> NDArray[numpy.floating]:  # noqa: N803
        """The predictions, ``[num_samples]`` or ``[num_samples, num_targets]`` as ``y`` was."""
        outputs: NDArray[numpy.floating] = self._outputs(X).cpu().numpy()
        return outputs.reshape(len(outputs), *self._target_shape)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _check_precision(
    dtype: numpy.dtype[numpy.floating],
    mean: Floats,
    scale: Floats,
    varies: Bools,
) -> None:
    """Warn of predictions that are rounded by much of what they differ by."""
    limits = numpy.finfo(dtype)
    largest = float((numpy.abs(mean) + _FAR * scale).max())
    if not largest < float(limits.max):
        raise ValueError(
            f"Expected targets that {dtype.name} can hold, as is X (got some around {largest:.2g})."
            f" Give X in float64, or y in another unit."
        )
    if bool((varies & (scale < float(limits.tiny))).any()):
        raise ValueError(
            f"Expected targets that {dtype.name} can tell apart, as is X (got some that differ by"
            f" {float(scale[varies].min()):.2g}). Give X in float64, or y in another unit."
        )
    if bool((varies & (numpy.abs(mean) * float(limits.eps) > _COARSE * scale)).any()):
        warnings.warn(
            f"Predictions are {dtype.name}, as is X, and its numbers are too coarse for these"
            f" targets: they differ by little, far from 0. Give X in float64, or take from y what"
            f" all targets have in common.",
            stacklevel=3,
        )


def _rescale_outputs(network: SynchronousGraph, scale: Floats, shift: Floats) -> None:
    """Let every output be ``scale`` times what it was, plus ``shift``; outputs are linear."""
    graph, weight, bias = network.graph, network.weight, network.bias
    target = graph.edge_index[1]
    factor = torch.ones(graph.num_units, dtype=torch.float64, device="cpu")
    factor[graph.outputs.start :] = torch.from_numpy(scale)
    with torch.no_grad():
        weight.mul_(factor[target].to(weight))
        bias.mul_(factor[graph.num_inputs :].to(bias))
        bias[-graph.num_outputs :] += torch.from_numpy(shift).to(bias)
