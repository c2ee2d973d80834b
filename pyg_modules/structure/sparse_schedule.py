from __future__ import annotations

from math import cos, pi
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from pyg_modules._arrays import Floats, Ints
from pyg_modules._brief import brief
from pyg_modules._checks import as_coefficient, as_int, as_share, check_choice
from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.nn.unit_layer import UnitLayer, check_layer
from pyg_modules.partition.labels import read_labels
from pyg_modules.structure.edge_memory import EdgeMemory
from pyg_modules.structure.edge_price import EdgePrice
from pyg_modules.structure.edge_record import EdgeRecord
from pyg_modules.structure.edge_scores import SCORES
from pyg_modules.structure.growing import GradientProbe, Growing, take_best
from pyg_modules.structure.growth import GROWTHS
from pyg_modules.structure.needed_edges import needed_edges
from pyg_modules.structure.optimizer_state import check_optimizes, trained_parameters
from pyg_modules.structure.possible_edges import PossibleEdges
from pyg_modules.structure.rewire import check_can_change, rewire

# After this share of the epochs, the edges stay as they are.
_LAST = 0.75


class SparseSchedule:
    r"""Prunes and grows the edges of a layer as the training goes on.

    Call :meth:`step` at the beginning of every epoch. From the second epoch on, the edges with the
    lowest scores go, and others come, with weight 0, at places where none was. After :math:`T`
    epochs, three quarters of them, there are as many as asked for, and they stay.

    * The **number** of edges goes from that of the layer, :math:`E_0`, to ``num_edges`` by
      :math:`E_t = E_T + (E_0 - E_T) (1 - t/T)^3`, as in `"To prune, or not to prune"
      <https://arxiv.org/abs/1710.01878>`_; it may rise.
    * The **share** of them that is exchanged beside is
      :math:`\tfrac{a}{2} (1 + \cos(\pi t / T))` with :math:`a` = ``exchange``, as in `RigL
      <https://arxiv.org/abs/1911.11134>`_.

    Edges that lie on the shortest paths from the inputs to a hidden unit or output, or from a
    hidden unit to the outputs, stay if no other does: no unit dies, and none gets farther from
    inputs or outputs. New edges are of the kinds that the layer has at first, such as from hidden
    units to outputs.

    What knows the weights in another way has to be made again whenever edges change, as
    ``DistributedDataParallel``, or begun when they no longer do, as averages of the weights.

    Args:
        layer (UnitLayer): The layer; it is changed in place, by :func:`rewire`.
        epochs (int): Number of epochs of the training, at least 2.
        num_edges (int): Number of edges in the end.
        score (str, optional): What edges are worth: ``"magnitude"`` :math:`|w|`; ``"gradient"``
            :math:`|g|` and ``"weight_gradient"`` :math:`|w g|`, with the gradient :math:`g` of a
            batch; or ``"movement"`` :math:`w^2 - w_0^2`, with the weight :math:`w_0` when the edge
            came, the sum of :math:`2 w \, dw` of small steps. (default: ``"magnitude"``)
        grow (str, optional): Which edges come: those with the largest ``"gradient"``, as in RigL,
            which takes the time of all missing edges but the memory of those that are there;
            ``"random"`` ones, as in `SET <https://arxiv.org/abs/1707.04780>`_; or ``"local"``
            ones, that most paths of three edges speak for (from the source to a unit, back to
            another that sends to it, and on to the target), as in `epitopological learning
            <https://doi.org/10.20944/preprints202207.0139.v4>`_, by another count of paths.
            ``None`` prunes only. (default: ``"gradient"``)
        exchange (float, optional): See above, at most 1. (default: 0.1)
        max_in_degree (int, optional): No unit receives more edges. (default: no limit)
        labels (LongTensor, optional): Module of every unit, ``[N]``, −1 for units that all modules
            share: edges grow inside of modules alone. (default: those of the layer, if it is cut)
        cross_price (float, optional): Let edges grow between the modules of ``labels`` as well, at
            a price: their scores and gradients are divided by it, so that they come and stay where
            they are worth so many times more. At least 1, and only with ``grow="gradient"``.
            (default: none grow)
        optimizer (torch.optim.Optimizer, optional): The optimizer of the layer; it goes on with the
            other edges. :func:`fit` gives its own. (default: none)
        gradient (GradientProbe, optional): What knows the gradients of missing edges:
            ``pyg_modules.train.EdgeGradient(model, data, layer=layer)``. (default: that of
            :func:`fit`)
        seed (int, optional): Of the batches and of random edges. (default: 0)

    Attributes:
        history: What became of the edges in every epoch, a list of :class:`EdgeRecord`, for
            :func:`~pyg_modules.report.plot_edge_history`.
        first_graph: The graph of the layer as the training began, a ``UnitGraph``, for
            :func:`~pyg_modules.report.plot_rewiring` and :func:`~pyg_modules.report.plot_degrees`.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range, or the layer cannot have so many edges.

    Example:
        >>> import torch
        >>> from torch.nn.functional import mse_loss
        >>> from pyg_modules import SynchronousGraph, UnitGraph
        >>> from pyg_modules.structure import SparseSchedule
        >>> x, y = torch.rand(64, 2), torch.rand(64, 1)
        >>> layer = SynchronousGraph(UnitGraph.complete(2, 8, 1))
        >>> optimizer = torch.optim.Adam(layer.parameters())
        >>> schedule = SparseSchedule(
        ...     layer, epochs=8, num_edges=30, grow="random", optimizer=optimizer
        ... )
        >>> for epoch in range(8):
        ...     schedule.step(epoch)
        ...     loss = mse_loss(layer(x), y)
        ...     optimizer.zero_grad()
        ...     loss.backward()
        ...     optimizer.step()
        >>> layer.graph.num_edges
        30
    """

    _memory: EdgeMemory
    _possible: PossibleEdges

    def __init__(
        self,
        layer: UnitLayer,
        epochs: int,
        *,
        num_edges: int,
        score: str = "magnitude",
        grow: str | None = "gradient",
        exchange: float = 0.1,
        max_in_degree: int | None = None,
        labels: Tensor | None = None,
        cross_price: float | None = None,
        optimizer: Optimizer | None = None,
        gradient: GradientProbe | None = None,
        seed: int = 0,
    ) -> None:
        check_layer(layer)
        self.layer = layer
        self.epochs = as_int("epochs", epochs, smallest=2)
        self.num_edges = as_int("num_edges", num_edges, smallest=1)
        check_choice("score", score, SCORES)
        if grow is not None:
            check_choice("grow", grow, GROWTHS)
        self.score, self.grow = score, grow
        self.exchange = as_share("exchange", exchange)
        given: Any = layer.labels if labels is None else labels
        if given is not None:
            given = read_labels(given, layer.graph.num_units)[0].cpu().long()
            _check_within(given, layer.labels)
        self._price = None
        if cross_price is not None:
            self._price = EdgePrice(
                self._check_priced(labels, given), layer.graph.num_inputs, _as_price(cross_price)
            )
        self._labels = None if self._price else given
        self._max_in_degree = layer.graph.num_units
        if max_in_degree is not None:
            self._max_in_degree = as_int("max_in_degree", max_in_degree, smallest=1)
        self.seed = as_int("seed", seed, smallest=0)
        weight = trained_parameters(layer, "weight")
        if optimizer is not None:
            check_optimizes(optimizer, weight)
        self.optimizer, self.gradient = optimizer, gradient
        self._begin()

    @property
    def history(self) -> list[EdgeRecord]:
        """What became of the edges in every epoch."""
        return self._memory.history

    @property
    def first_graph(self) -> UnitGraph:
        """The graph of the layer as the training began."""
        return self._memory.first_graph

    @property
    def gradient(self) -> GradientProbe | None:
        """What knows the gradients of missing edges; it may be given later.

        Raises:
            TypeError: If what it is set to cannot be called for gradients.
            ValueError: If that knows those of another layer.
        """
        return self._gradient

    @gradient.setter
    def gradient(self, gradient: GradientProbe | None) -> None:
        is_probe = callable(gradient) and not isinstance(gradient, type)
        if gradient is not None and (not is_probe or hasattr(gradient, "chance")):
            raise TypeError(
                f"Expected something to be called with graphs and a seed (got {brief(gradient)}),"
                f" for gradients. Use pyg_modules.train.EdgeGradient(model, data)."
            )
        if getattr(gradient, "layer", self.layer) is not self.layer:
            raise ValueError(
                "Expected gradients of the layer of the schedule (got those of another layer). Use"
                " EdgeGradient(model, data, layer=layer)."
            )
        self._gradient = gradient

    def step(self, epoch: int) -> None:
        """Prune and grow, if there is something to do in an epoch.

        Args:
            epoch (int): Number of the epoch that begins, from 0. That of the last step is nothing
                new; with an earlier one, another training begins.

        Raises:
            TypeError: If ``epoch`` is not an integer.
            ValueError: If ``epoch`` is negative, edges are switched off by
                :func:`prune_cross_edges`, gradients are needed and nobody gave them, weights or
                gradients are not finite, or the layer cannot be rewired, see :func:`rewire`. The
                layer is then as it was.
        """
        epoch = as_int("epoch", epoch, smallest=0)
        if self.history and epoch == self._memory.epoch:
            return
        if epoch < self._settled_at or self.layer.graph.num_edges != self.num_edges:
            check_can_change(self.layer, self.optimizer)
            self._check_all_are_on()
            self._check_has_gradient()
        if not self.history or epoch < self._memory.epoch:
            self._begin()  # This training, or another one.
        self._memory.follow(self.layer)
        number, exchanged = self._plan(epoch)
        if number != self.layer.graph.num_edges or exchanged:
            seed = (self.seed + epoch) % 2**63
            self._rewire(self._next_graph(number, exchanged, seed))
            self._memory.follow(self.layer)
        self._memory.record(epoch)

    def penalties(self) -> dict[str, tuple[float, Tensor]]:
        """What is added to the loss: nothing."""
        return {}

    def parameters(self) -> list[nn.Parameter]:
        """What is to be trained beside the parameters of the model: nothing."""
        return []

    def state_dict(self) -> dict[str, Any]:
        """What has to be kept, beside the ``state_dict`` of the layer, to go on in an epoch."""
        self._memory.follow(self.layer)
        return self._memory.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` returned.

        The layer gets the edges that it had then; load its weights, and the state of its optimizer,
        afterwards.

        Raises:
            TypeError: If ``state`` is no dict.
            ValueError: If it is that of something else, or of a layer of other units.
        """
        memory = EdgeMemory.of_state(state, self.layer)
        possible = PossibleEdges(memory.first_graph, self._labels)
        self._rewire(memory.graph)  # What can fail comes before the change.
        memory.follow(self.layer)
        self._memory, self._possible = memory, possible

    def __str__(self) -> str:
        """Where the training is: the epoch, and the numbers of edges."""
        return (
            f"epoch {self._memory.epoch + 1} of {self.epochs}: {self.layer.graph.num_edges} edges,"
            f" from {self.first_graph.num_edges} to {self.num_edges}"
        )

    @property
    def _settled_at(self) -> int:
        """The epoch from which on the edges stay as they are."""
        return int(_LAST * self.epochs)

    def _begin(self) -> None:
        possible = PossibleEdges(self.layer.graph, self._labels)
        self._check_number(possible)
        self._memory, self._possible = EdgeMemory(self.layer), possible

    def _rewire(self, graph: UnitGraph) -> None:
        """Give the layer the edges of ``graph``, unless it has them."""
        if graph != self.layer.graph:
            rewire(self.layer, graph, optimizer=self.optimizer)

    def _plan(self, epoch: int) -> tuple[int, int]:
        """Number of edges in an epoch, and how many are exchanged at its beginning."""
        done = min(epoch / self._settled_at, 1.0)
        more = self.first_graph.num_edges - self.num_edges
        number = self.num_edges + round(more * (1 - done) ** 3)
        if epoch == 0 or self.grow is None:
            return number, 0
        share = self.exchange / 2 * (1 + cos(pi * done))
        return number, round(share * min(number, self.layer.graph.num_edges))

    def _next_graph(self, number: int, exchanged: int, seed: int) -> UnitGraph:
        graph = self.layer.graph
        target = graph.edge_index[1].numpy()
        score = self._scores(seed)
        is_needed = needed_edges(graph, score)
        best_first = np.lexsort((-score, ~is_needed))
        num_kept = max(min(number, graph.num_edges) - exchanged, int(is_needed.sum()))
        kept, others = best_first[:num_kept], best_first[num_kept:]
        room = self._max_in_degree - _in_degree(target[kept], graph.num_units)
        grown = self._grown(room, number - num_kept, seed)
        # Where too few are possible, some of the others stay.
        room -= _in_degree(grown[1].numpy(), graph.num_units)
        lacking = number - num_kept - grown.size(1)
        staying = take_best(score[others], target[others], room, lacking)
        kept = np.sort(np.append(kept, others[staying]))
        old = graph.edge_index[:, torch.from_numpy(kept)]
        return self.layer.graph.with_edges(torch.cat([old, grown], dim=1))

    def _grown(self, room: Ints, number: int, seed: int) -> Tensor:
        if self.grow is None or not number:
            return torch.empty(2, 0, dtype=torch.long, device="cpu")
        asked = Growing(
            self.layer.graph,
            self._possible,
            room,
            number,
            self.gradient,
            seed,
            self._price,
        )
        return GROWTHS[self.grow].edges(asked)

    def _scores(self, seed: int) -> Floats:
        weight = self.layer.edge_weight().detach()
        gradient, rule = torch.zeros_like(weight), SCORES[self.score]
        if rule.needs_gradient:
            assert self.gradient is not None
            (gradient,) = self.gradient([self.layer.graph], seed)
        score = rule.of(weight.double(), gradient.double(), self._memory.first_weight.double())
        if not bool(score.isfinite().all()):
            raise ValueError(
                "Expected finite weights and gradients (got NaN or infinity). The training"
                " diverged; lower the learning rate."
            )
        scores: Floats = score.cpu().numpy()
        if self._price is not None:
            scores = self._price.worth(scores, self.layer.graph.edge_index)
        return scores

    def _check_all_are_on(self) -> None:
        """What is off is no path, and what grows beside it might join modules again."""
        mask = self.layer.edge_mask
        if mask is not None:
            raise ValueError(
                f"Expected a layer whose edges are all on (got {int((~mask).sum())} that"
                f" prune_cross_edges has switched off). Use cut(layer, labels) in its place, and a"
                f" SparseSchedule of the new layer; or let the schedule end before."
            )

    def _check_has_gradient(self) -> None:
        needs = SCORES[self.score].needs_gradient
        needs |= self.grow is not None and GROWTHS[self.grow].needs_gradient
        if needs and self.gradient is None:
            raise ValueError(
                f"Expected something that knows gradients, for score={self.score!r} and"
                f" grow={self.grow!r} (got none). Use SparseSchedule(..., gradient="
                f"pyg_modules.train.EdgeGradient(model, data)), or score='magnitude' and"
                f" grow='random'."
            )

    def _check_priced(self, labels: Tensor | None, given: Tensor | None) -> Tensor:
        """The labels between which edges have a price, if they can have one."""
        if labels is None or given is None or self.layer.labels is not None:
            raise ValueError(
                "Expected labels of a layer that is not cut, for cross_price= (got"
                f" {'none' if self.layer.labels is None else 'a layer that is'}). Give labels=, or"
                " leave cross_price out: modules of a cut layer stay apart."
            )
        if self.grow is not None and not GROWTHS[self.grow].needs_gradient:
            raise ValueError(
                f"Expected edges that grow by gradient, for cross_price= (got grow={self.grow!r},"
                f" which looks at no price). Use grow='gradient', or leave cross_price out."
            )
        return given

    def _check_number(self, possible: PossibleEdges) -> None:
        """Raise a ``ValueError`` if the layer cannot have so many edges."""
        graph = self.layer.graph
        if not graph.num_edges:
            raise ValueError(
                "Expected a layer with edges (got none): those that come are of the kinds that it"
                " has. Begin with another graph, e.g. UnitGraph.fixed_in_degree."
            )
        # Each unit may need others, but never more than there are.
        least = min(2 * graph.num_hidden + graph.num_outputs, graph.num_edges)
        if self.num_edges < least:
            raise ValueError(
                f"Expected num_edges >= {least}, as many as it may take that every unit has a path"
                f" from the inputs and to the outputs (got {self.num_edges}). Raise it, or use"
                f" fewer units."
            )
        in_degree = _in_degree(graph.edge_index[1].numpy(), graph.num_units)
        largest = int(in_degree.max(initial=0))
        if largest > self._max_in_degree:
            raise ValueError(
                f"Expected a layer whose units receive at most max_in_degree ="
                f" {self._max_in_degree} edges (got one with {largest}). Begin with another graph,"
                f" e.g. UnitGraph.fixed_in_degree."
            )
        if self.num_edges <= graph.num_edges:
            return
        into = possible.num_into(graph.num_units).clip(max=self._max_in_degree)
        # Edges between modules that are there may stay, but come no more once they went.
        most = max(int(into.sum()) if self.grow is not None else 0, graph.num_edges)
        if self.num_edges > most:
            raise ValueError(
                f"Expected num_edges <= {most}, the most that the layer may have (got"
                f" {self.num_edges}). It grows edges of the kinds that it has, by grow=..., within"
                f" modules and up to max_in_degree."
                " Lower it."
            )


def _in_degree(target: Ints, num_units: int) -> Ints:
    return np.bincount(target, minlength=num_units)


def _as_price(value: object) -> float:
    price = as_coefficient("cross_price", value)
    if price < 1:
        raise ValueError(
            f"Expected cross_price >= 1 (got {price:g}): less would favour edges between modules."
            " Raise it."
        )
    return price


def _check_within(labels: Tensor, own: Tensor | None) -> None:
    """Raise a ``ValueError`` if edges within ``labels`` may join modules of a layer that is cut."""
    if own is None:
        return
    own = own.cpu()
    pairs = torch.unique(torch.stack([labels, own])[:, own >= 0], dim=1)
    if bool((pairs[0] < 0).any()) or len(torch.unique(pairs[0])) < pairs.size(1):
        raise ValueError(
            "Expected labels whose modules are those of the layer, which is cut, or parts of them"
            " (got others, within which edges would join its modules). Leave labels out."
        )
