from __future__ import annotations

import numpy
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data
from torch.nn import functional as F

from pyg_modules.train.modular_estimator import ModularEstimator


class ModularClassifier(ClassifierMixin, ModularEstimator):
    """A scikit-learn classifier made of independent modules, which it finds itself.

    All edges among inputs, hidden units and one output per class are trained, organised into
    modules, cut and trained on, as ``pyg-modules train`` does. Inputs are best of about unit scale:
    put a ``StandardScaler`` before. The network computes in the precision of ``X`` in :meth:`fit`,
    float32 or float64; float32 is faster.

    Args:
        num_modules (int or str, optional): Number of modules K, from 2 to ``num_hidden``, or
            ``"auto"``; see :class:`PartitionRegularizer`. (default: 4)
        num_hidden (int, optional): Number of hidden units. (default: 128)
        steps (int, optional): Synchronous updates. (default: 6)
        activation (str, optional): See :class:`SynchronousGraph`. (default: ``"relu"``)
        scope (str, optional): Which units are partitioned, ``"hidden"``, ``"inputs"`` or
            ``"all"``; see :class:`PartitionRegularizer`. (default: ``"hidden"``)
        epochs (int, optional): Passes over the data until the cut. (default: 40)
        finetune_epochs (int, optional): Passes after the cut; ``None`` does not cut, so that
            :meth:`cut` can be called later. (default: 40)
        ncut (float, optional): Coefficient of the normalized cut. (default: 1.0)
        balance (float, optional): Coefficient of the balance. (default: 3.0)
        tolerance (float, optional): By which share of their mean the sizes of modules may differ.
            (default: 0.0)
        learning_rate (float, optional): Largest learning rate of the one-cycle schedule. (default:
            3e-3)
        weight_decay (float, optional): Decoupled weight decay. (default: 0.1)
        batch_size (int, optional): Samples per step. (default: 64)
        random_state (int, RandomState or None, optional): Of everything random, as scikit-learn
            takes it. (default: ``None``)
        device (str, optional): Where to compute, e.g. ``"cpu"`` or ``"cuda"``. (default: ``"cpu"``)

    Attributes:
        network_: The trained :class:`SynchronousGraph`, from features to logits.
        labels_: Module of every unit of ``network_.graph``, ``[N]``, −1 for inputs and outputs
            that all modules share.
        verdict_: What the modules are worth, a :class:`pyg_modules.partition.Verdict`.
        modules_: The K modules of the cut network, whose logits add up to its logits; there is no
            such attribute as long as the network is not cut.
        classes_: The classes, in the order of the outputs.
        n_features_in_: Number of features.
        feature_names_in_: Their names, if ``X`` had names.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> from sklearn.pipeline import make_pipeline
        >>> from sklearn.preprocessing import StandardScaler
        >>> from pyg_modules.train import ModularClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> classifier = ModularClassifier(num_modules=2, num_hidden=16, random_state=0)
        >>> model = make_pipeline(StandardScaler(), classifier).fit(X, y)
        >>> model.score(X, y) > 0.9
        True
        >>> len(classifier.modules_)
        2
    """

    classes_: NDArray[numpy.generic]

    def fit(self, X: ArrayLike, y: ArrayLike) -> ModularClassifier:  # noqa: N803
        """Train from the beginning.

        Args:
            X (array-like): Inputs, ``[num_samples, num_features]``.
            y (array-like): Their classes, ``[num_samples]``, at least two of them.

        Returns:
            ModularClassifier: The classifier itself.

        Raises:
            DivergedError: If the loss becomes NaN or infinite.
            TypeError: If a parameter has the wrong type.
            ValueError: If a parameter is out of range, or the data is unfit.
        """
        self._start_fit()
        inputs, classes = validate_data(self, X, y, dtype=[numpy.float64, numpy.float32])
        check_classification_targets(classes)
        self.classes_, targets = numpy.unique(classes, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(
                f"Expected at least two classes in y (got one class: {self.classes_.item()!r})."
                " Add samples of another; for a regression, use ModularRegressor."
            )
        self._train(inputs, targets, len(self.classes_), F.cross_entropy)
        return self

    def predict(self, X: ArrayLike) -> NDArray[numpy.generic]:  # noqa: N803
        """The most probable class of every sample, ``[num_samples]``."""
        best = self._outputs(X).argmax(dim=-1).cpu().numpy()
        classes: NDArray[numpy.generic] = self.classes_[best]
        return classes

    def predict_proba(self, X: ArrayLike) -> NDArray[numpy.floating]:  # noqa: N803
        """The probability of every class, ``[num_samples, num_classes]``."""
        probabilities: NDArray[numpy.floating] = self._outputs(X).softmax(dim=-1).cpu().numpy()
        return probabilities

    def predict_log_proba(self, X: ArrayLike) -> NDArray[numpy.floating]:  # noqa: N803
        """The logarithm of :meth:`predict_proba`, finite also for what is most improbable."""
        logarithms: NDArray[numpy.floating] = self._outputs(X).log_softmax(dim=-1).cpu().numpy()
        return logarithms
