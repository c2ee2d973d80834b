from __future__ import annotations

from collections.abc import Callable, Iterator
from math import ceil, inf, isfinite, isnan
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pyg_modules._checks import as_coefficient, as_int, as_learning_rate, check_bool
from pyg_modules.modules.prune import prune_cross_edges
from pyg_modules.nn.unit_layer import UnitLayer
from pyg_modules.partition.labels import read_labels
from pyg_modules.train.batches import Batches, Forward
from pyg_modules.train.checked_loss import Loss
from pyg_modules.train.dependence import dependence
from pyg_modules.train.evaluation import evaluate
from pyg_modules.train.interaction import interaction
from pyg_modules.train.model_in_training import ModelInTraining
from pyg_modules.train.optimization import Optimization
from pyg_modules.train.separation import Separation

# The steps of a probe are this share of those of the training, and so many at least.
_SHARE = 0.01
_LEAST = 5
# A loss that is 0 may be as much below.
_ROUNDING = 1e-4
# As many batches say what modules could do that see none of each other's inputs, and as many rows
# are what they see instead.
_BATCHES, _ROWS = 8, 4096


class Probe:
    """What modules are worth: the loss that a network cut into them learns back to in a while.

    Right after a cut, the loss says little. Trained on, a network that has what it needs in its
    modules is soon as good as before, and one that has not is not. So a copy of the model is cut,
    trained for some steps, and thrown away; what counts is the lower of its losses before and after
    these steps, on the data of these steps. Every probe has the same samples in the same order,
    and no random number of the training is drawn.

    Args:
        model (torch.nn.Module): The model in training; it is left as it is.
        data (object): Training data, as :func:`fit` takes it.
        layer (UnitLayer, optional): The layer to cut, the model itself or in it. (default:
            the only one)
        steps (int, optional): Steps of a probe. (default: one pass over the data)
        loss (Callable, optional): As for :func:`fit`; never negative, and 0 for a perfect answer.
            Where it is made of losses of torch, what it is above the lowest that any outputs can
            have counts, as of smoothed labels or of likelihoods. (default: cross-entropy)
        forward (Callable, optional): As for :func:`fit`.
        learning_rate (float, optional): Of AdamW; it falls to 0 in the last fifth.
            (default: 3e-3)
        weight_decay (float, optional): Decoupled weight decay. (default: 0.1)
        batch_size (int, optional): As for :func:`fit`. (default: 64)
        seed (int, optional): Of the samples and their order. (default: 0)

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If the layer is not in the model, or one to cut cannot be told.
    """

    def __init__(
        self,
        model: nn.Module,
        data: Any,
        *,
        layer: UnitLayer | None = None,
        steps: int | None = None,
        loss: Loss = F.cross_entropy,
        forward: Forward | None = None,
        learning_rate: float = 3e-3,
        weight_decay: float = 0.1,
        batch_size: int | None = None,
        seed: int = 0,
    ) -> None:
        self._training = ModelInTraining(
            model, data, layer=layer, loss=loss, forward=forward, batch_size=batch_size
        )
        self._seed = as_int("seed", seed, smallest=0)
        self._rates: Any = {
            "learning_rate": as_learning_rate(learning_rate),
            "weight_decay": as_coefficient("weight_decay", weight_decay),
        }
        self._chance: float | None = None
        self._least: dict[int | None, float] = {}
        self._steps = None if steps is None else as_int("steps", steps, smallest=1)
        with self._training.apart(self._seed):  # A loss without a least value is said here.
            model = self._training.copy().eval()
            if self._training.loss.has_no_best:
                raise _not_a_share("a likelihood whose variance is learned, as low as it likes")
            constant = self._loss_of_constant(model, self._batches(model, most=1))
            _never_negative(constant - self._least_loss(model, most=1))

    @property
    def layer(self) -> UnitLayer:
        """The layer that is cut, in copies of the model."""
        return self._training.layer

    def __call__(self, labels: Tensor | None, *, trained: bool = True) -> float:
        """The mean loss of the model, cut into these modules and trained; as it is without labels.

        Args:
            labels (LongTensor, optional): Module of every unit, ``[N]``, as for :func:`cut`.
            trained (bool, optional): Else right after the cut. (default: ``True``)
        """
        check_bool("trained", trained)
        with self._training.apart(self._seed):
            model = self._training.copy()
            if labels is None:
                return self._measured(model)
            layer: Any = self._training.layer_of(model)
            prune_cross_edges(layer, labels)
            at_once = self._measured(model)
            if not trained:
                return at_once
            with torch.enable_grad():
                self._train(model)
            # Steps at the full rate may cost a trained network more than the cut did.
            return min(at_once, self._measured(model))

    def chance(self) -> float:
        """The loss of the best outputs that are the same for all samples of a probe."""
        if self._chance is None:
            with self._training.apart(self._seed):
                model = self._training.copy().eval()
                constant = self._loss_of_constant(model, self._batches(model))
                constant -= self._least_loss(model)
            self._chance = _never_negative(constant)
        return self._chance

    def influence(self) -> Tensor | None:
        r"""How strongly the outputs of the layer depend on its inputs, on some samples, ``[I, O]``.

        .. math::
            a_{io} = \frac{s_i}{s_o} \cdot \frac{1}{B} \sum_b
                \left| \frac{\partial y_{bo}}{\partial x_{bi}} \right|, \qquad
            m_{io} = \frac{a_{io}}{\sum_j a_{jo}}, \qquad
            R^2 m

        with the standard deviations :math:`s_i` of the input and :math:`s_o` of the output, and the
        magnitudes :math:`R` of the correlations of inputs, 0 below five standard errors: an output
        that depends on one input depends on those that go along with it, and an input that says
        what another says already is not free of influence. 0 for an output that is always the
        same. Where samples are nodes or positions that depend on each other, it is the derivative
        of the sum of an output over all of them.

        Returns:
            Tensor, optional: ``None`` if the model computes without a call of its layer.
        """
        with self._training.apart(self._seed):
            model = self._training.copy().eval().requires_grad_(requires_grad=False)
            layer = self._training.layer_of(model)
            return dependence(layer, self._calls(model, layer))

    def separated(self, labels: Tensor, *, all_speak: bool = True) -> float | None:
        """The mean loss of the model as it is, if modules saw none of each other's inputs.

        It is not trained, and no weight is cut: see :class:`Separation`. Hidden units do not count,
        only which inputs and outputs belong to which module.

        Args:
            labels (LongTensor): Module of every unit, ``[N]``, as for :func:`cut`.
            all_speak (bool, optional): Whether the inputs of every module have to say something;
                those of one that says nothing are in no one's way. (default: ``True``)

        Returns:
            float, optional: ``None`` if that is not so; or the layer is not called, or with one
            sample in all.
        """
        with self._training.apart(self._seed):
            model = self._training.copy().eval()
            layer = self._training.layer_of(model)
            inputs: list[Tensor] = []
            for x, _, _ in self._calls(model, layer):
                inputs.append(x)
                if sum(map(len, inputs)) >= _ROWS:
                    break
            of_all = read_labels(labels)[0].to(layer.device, torch.long)
            separation = Separation(layer, of_all, inputs, self._seed)
            as_it_is = self._measured(model, _BATCHES)
            with layer.register_forward_hook(separation, with_kwargs=True):
                loss = self._measured(model, _BATCHES)
            # Of all samples of a probe, as its other losses are.
            if not separation.was_possible or (all_speak and not separation.all_speak):
                return None
            return self._measured(model) + loss - as_it_is

    def interaction(self) -> Tensor | None:
        r"""How much the effect of one input on the outputs depends on another, ``[I, I]``.

        .. math::
            q_{ij} = s_j \, \operatorname{mean} \left|
                \frac{\partial r}{\partial x_j}(x_i \to x'_i) - \frac{\partial r}{\partial x_j}
                \right|, \qquad q + q^\top

        where :math:`x'_i` is the input of another sample, :math:`s_j` the standard deviation of an
        input, and :math:`r` an output, divided by its standard deviation; all of them count, or of
        many four sums with random signs. It is 0 where the outputs are sums of functions of one
        input or the other. As of :meth:`influence`, some samples are looked at, of nodes or
        positions each.

        Returns:
            Tensor, optional: ``None`` if the model computes without a call of its layer.
        """
        with self._training.apart(self._seed):
            model = self._training.copy().eval().requires_grad_(requires_grad=False)
            layer = self._training.layer_of(model)
            return interaction(layer, self._calls(model, layer), self._seed)

    def _calls(self, model: nn.Module, layer: UnitLayer) -> Iterator[Any]:
        """What the layer is called with in an epoch: ``x``, what else, and what by name."""
        calls: list[Any] = []

        def keep(_: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
            others = {name: value for name, value in named.items() if name != "x"}
            x = inputs[0] if inputs else named["x"]
            # The model may change it in place, as of a residual connection.
            calls.append((x.detach().clone(), inputs[1:], others))

        batches = self._epoch(model)
        for batch in batches:
            calls.clear()
            # Only here: what is done with the calls calls the layer, too.
            with layer.register_forward_pre_hook(keep, with_kwargs=True), torch.no_grad():
                batches.run(model, batch)
            if not calls:
                return
            yield from calls

    def _loss_of_constant(self, model: nn.Module, batches: Batches) -> float:
        loss, pairs = self._training.loss, _pairs(model, batches)

        def loss_of(constant: Tensor) -> Tensor:
            def of_batch(outputs: Tensor, targets: Tensor) -> Tensor:
                return loss(loss.linked(constant.expand_as(outputs)), targets)

            return _mean(pairs, of_batch, loss.weight)

        mean = _mean_of_samples([outputs for outputs, _ in pairs])
        # Outputs may be far from anything that is of use.
        with torch.no_grad():
            first = min(mean, torch.zeros_like(mean), key=lambda one: _last_if_nan(loss_of(one)))
            begin = float(loss_of(first))
        constant = first.requires_grad_()
        optimizer = torch.optim.LBFGS([constant], max_iter=100, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            optimizer.zero_grad()
            total = loss_of(constant)
            total.backward(inputs=[constant])  # type: ignore[no-untyped-call]
            return total

        with torch.enable_grad():
            optimizer.step(closure)  # type: ignore[no-untyped-call]
            end = float(closure().detach())
        if isfinite(begin) and not isfinite(end):
            raise ValueError(
                f"Expected a loss that has a least value where all outputs are the same (got"
                f" {begin:g}, and then {end}). Give one of outputs without a last non-linearity,"
                f" e.g. cross_entropy of logits."
            )
        return end

    def _measured(self, model: nn.Module, most: int | None = None) -> float:
        """The mean loss over the samples of a probe, or those of so many batches."""
        loss = evaluate(model, self._batches(model, most), self._training.loss)["loss"]
        return _never_negative(loss - self._least_loss(model, most))

    def _least_loss(self, model: nn.Module, most: int | None = None) -> float:
        """The lowest that any network could have there, 0 if it is not known."""
        if most not in self._least:
            loss = self._training.loss
            with self._training.apart(self._seed):  # Done once; not a number of a probe is another.
                pairs = _pairs(model, self._batches(model, most))
                least = float(_mean(pairs, loss.least, loss.weight))
            self._least[most] = 0.0 if isnan(least) else least
        return self._least[most]

    def _train(self, model: nn.Module) -> None:
        model.train()
        batches = self._epoch(model)
        if self._steps is not None:
            batches = batches.first(self._steps)
        optimization = Optimization(
            model, [], one_cycle=False, total_steps=len(batches), **self._rates
        )
        for batch in batches:
            optimization.step(self._training.loss(*batches.run(model, batch)))

    def _batches(self, model: nn.Module, most: int | None = None) -> Batches:
        """The samples of a probe, once each, or so many batches of them."""
        batches = self._epoch(model)
        number = len(batches) if self._steps is None else min(self._steps, len(batches))
        return batches.first(number if most is None else min(most, number))

    def _epoch(self, model: nn.Module) -> Batches:
        return self._training.batches(model, self._seed)


@torch.no_grad()
def _pairs(model: nn.Module, batches: Batches) -> list[tuple[Tensor, Tensor]]:
    """Outputs and targets of some batches, those of which other losses are."""
    return [batches.run(model, batch) for batch in batches.joined()]


def _mean(
    pairs: list[tuple[Tensor, Tensor]], loss: Loss, weight_of: Callable[[Tensor], float]
) -> Tensor:
    """The mean of the losses of outputs and targets, by how much the targets count."""
    counted = [(weight, pair) for pair in pairs if (weight := weight_of(pair[1]))]
    losses = [weight * loss(*pair) for weight, pair in counted]
    return torch.stack(losses).sum() / sum(weight for weight, _ in counted)


def _mean_of_samples(outputs: list[Tensor]) -> Tensor:
    """The mean over the samples of all batches; 1 wide where these have other sizes, as of texts.

    Raises:
        ValueError: If outputs of different batches have other numbers of dimensions.
    """
    if len({one.dim() for one in outputs}) > 1:
        raise ValueError(
            f"Expected outputs with as many dimensions in all batches (got"
            f" {[list(one.shape) for one in outputs[:1]]} and others). Return the same shape but"
            f" for sizes, e.g. by squeeze(-1) in the place of squeeze()."
        )
    sizes = [set(each) for each in zip(*(one.shape[1:] for one in outputs), strict=True)]
    if all(len(each) == 1 for each in sizes):
        return torch.cat(outputs).mean(dim=0)
    others = [0, *(axis for axis, each in enumerate(sizes, start=1) if len(each) > 1)]
    sums = torch.stack([one.sum(dim=others, keepdim=True) for one in outputs]).sum(dim=0)
    number = sum(one.numel() for one in outputs) / sums.numel()
    return (sums / number).squeeze(0)


def _last_if_nan(loss: Tensor) -> float:
    return inf if bool(loss.isnan()) else float(loss)


def _never_negative(loss: float) -> float:
    if loss < -_ROUNDING:
        raise _not_a_share(f"{loss:g}")
    return loss


def _not_a_share(got: str) -> ValueError:
    return ValueError(
        f"Expected a loss that is 0 for a perfect answer, and never negative (got {got}): a verdict"
        f" says which share of it is left. Give the PartitionSchedule a probe with one that is,"
        f" such as a squared error: probe=pyg_modules.train.Probe(model, data, loss=...)."
    )


def steps_of_probe(total_steps: int) -> int:
    """Steps of a probe in a training of so many steps."""
    return max(_LEAST, ceil(_SHARE * total_steps))
