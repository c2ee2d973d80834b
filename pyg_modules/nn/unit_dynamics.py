from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyg_modules._checks import as_coefficient, check_bool
from pyg_modules.ops.activation import ACTIVATIONS, PRELU, check_activation
from pyg_modules.ops.operator import EdgeOperator
from pyg_modules.ops.sharding import is_sharded, overwrite, whole
from pyg_modules.ops.transition import Run, Transition
from pyg_modules.ops.update import Update

_SLOPE = 0.25  # That of torch.nn.PReLU.


class UnitDynamics(nn.Module):
    r"""What hidden units make of their weighted sums; the edges are the layer's.

    Args:
        num_units (int): Number of hidden units :math:`H`.
        activation (str or sequence of str): See :class:`SynchronousGraph`, as all arguments.
        dropout (float): Probability that a unit is 0.
        update_rate (float): The part :math:`a` of the way to the new state.
        learn_update_rate (bool): Whether every unit learns an :math:`a` of its own.
        device (torch.device, optional): Device of the parameters.
        dtype (torch.dtype, optional): Floating type of the parameters.

    Attributes:
        slope: Slopes at negative sums, of units with the activation ``"prelu"``, ``[H]``; ``None``
            if there are none.
        rate: Learned :math:`a`, ``[H]``; ``None`` if it is not learned.
    """

    slope: nn.Parameter | None
    rate: nn.Parameter | None

    def __init__(
        self,
        num_units: int,
        activation: str | Sequence[str],
        dropout: float,
        update_rate: float,
        learn_update_rate: bool,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.num_units = num_units
        self.activation = _checked_activation(activation, num_units)
        self.dropout = as_coefficient("dropout", dropout)
        if self.dropout >= 1:
            raise ValueError(
                f"Expected dropout < 1 (got {dropout}): nothing would be left. Lower it."
            )
        self.update_rate = as_coefficient("update_rate", update_rate)
        if not 0 < self.update_rate <= 1:
            raise ValueError(
                f"Expected update_rate between 0 and 1 (got {update_rate}): 1 goes to the new state"
                f" at once, and 0 would never leave the old one."
                " Give a share, e.g. 0.5."
            )
        check_bool("learn_update_rate", learn_update_rate)
        self._runs = [Run(name, len(list(units))) for name, units in groupby(self.names())]
        has_slopes = any(run.activation == PRELU for run in self._runs)
        for name, is_there in (("slope", has_slopes), ("rate", learn_update_rate)):
            values = torch.empty(num_units, device=device, dtype=dtype) if is_there else None
            self.register_parameter(name, None if values is None else nn.Parameter(values))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set slopes to 0.25, and learned rates to ``update_rate``."""
        for parameter, value in ((self.slope, _SLOPE), (self.rate, self.update_rate)):
            if parameter is not None and is_sharded(parameter):
                overwrite(parameter, torch.full_like(whole(parameter.detach()), value))
            elif parameter is not None:
                nn.init.constant_(parameter, value)

    def names(self) -> list[str]:
        """The activation of every unit."""
        activation = self.activation
        return [activation] * self.num_units if isinstance(activation, str) else list(activation)

    def config(self) -> dict[str, Any]:
        """The arguments it is made with, beside the number of units, in terms of JSON."""
        activation = self.activation
        return {
            "activation": activation if isinstance(activation, str) else list(activation),
            "dropout": self.dropout,
            "update_rate": self.update_rate,
            "learn_update_rate": self.rate is not None,
        }

    def update(
        self, operator: EdgeOperator, mask: Tensor | None = None, *, num_positions: int = 1
    ) -> Update:
        """The synchronous update over the edges of ``operator``.

        Args:
            operator (EdgeOperator): The edges.
            mask (Tensor, optional): From :meth:`draw_mask`, ``[H * P, B]``. (default: none)
            num_positions (int, optional): In how many rows one after the other a unit is, P.
                (default: 1)
        """
        # Without a hidden unit, there is nothing that acts.
        name = self._runs[0].activation if self._runs else PRELU
        activation = ACTIVATIONS["identity"] if name == PRELU else ACTIVATIONS[name]
        fixed = None if self.update_rate == 1 else self.update_rate
        runs = self._runs
        slope: Tensor | None = self.slope
        learned: Tensor | None = self.rate
        if num_positions != 1:
            runs = [run._replace(num_units=run.num_units * num_positions) for run in runs]
            slope, learned = (
                None if values is None else values.repeat_interleave(num_positions)
                for values in (slope, learned)
            )
        transition = Transition(runs, slope, mask, fixed if learned is None else learned)
        num_activated = self.num_units * num_positions
        update = Update(operator, activation, num_activated, transition, 1 / (1 - self.dropout))
        return (
            update
            if self._runs and not transition.is_function
            else update._replace(transition=None)
        )

    def draw_mask(self, batch: int, like: Tensor) -> Tensor | None:
        """What states are multiplied by at every update of a call, ``[H, B]``; ``None`` is 1."""
        if not (self.training and self.dropout):
            return None
        return F.dropout(like.new_ones(self.num_units, batch), self.dropout)

    def select(self, units: Tensor) -> UnitDynamics:
        """Those of some units, with copies of the parameters.

        Args:
            units (LongTensor): Their numbers among the hidden units, ``[n]``, in their order.
        """
        return UnitDynamics.joined([self], units)

    @classmethod
    def joined(cls, several: Sequence[UnitDynamics], units: Tensor) -> UnitDynamics:
        """Those of the units of several, one after the other, in the order ``units``.

        Args:
            several (sequence of UnitDynamics): With the same :meth:`shared_settings`.
            units (LongTensor): Numbers among all units, ``[n]``.
        """
        first = several[0]
        any_parameter = next((value for one in several for value in one.parameters()), None)
        settings = first.config()
        is_one = isinstance(first.activation, str) and len({one.activation for one in several}) == 1
        names = [name for one in several for name in one.names()]
        if names and not is_one:  # Of no units it is any.
            settings["activation"] = [names[unit] for unit in units.tolist()] or names[0]
        place: dict[str, Any] = {}
        if any_parameter is not None:
            place = {"device": any_parameter.device, "dtype": any_parameter.dtype}
        joined = cls(units.numel(), **settings, **place)
        with torch.no_grad():
            for name, parameter in joined.named_parameters():
                values = torch.cat([one.values(name, parameter) for one in several])
                parameter.copy_(values[units.to(values.device)])
                own = [getattr(one, name) for one in several]
                parameter.requires_grad_(any(one is not None and one.requires_grad for one in own))
        return joined.train(first.training)

    def extra_repr(self) -> str:
        """The settings that are no default, for ``repr``."""
        runs = [f"[{run.activation!r}] * {run.num_units}" for run in self._runs]
        is_one = isinstance(self.activation, str)
        settings = [
            f"activation={self.activation!r}" if is_one else f"activation={' + '.join(runs)}"
        ]
        if self.dropout:
            settings.append(f"dropout={self.dropout}")
        if self.update_rate != 1 or self.rate is not None:
            settings.append(f"update_rate={self.update_rate}")
        if self.rate is not None:
            settings.append("learn_update_rate=True")
        return ", ".join(settings)

    def values(self, name: str, like: Tensor) -> Tensor:
        """The parameter ``name``, ``[H]``, differentiable, or what it starts from if there is none.

        Args:
            name (str): Its name.
            like (Tensor): Is where it is needed.
        """
        own: nn.Parameter | None = getattr(self, name)
        if own is None:
            return like.new_full((self.num_units,), _SLOPE)
        return whole(own).to(like.device)

    def shared_settings(self) -> dict[str, object]:
        """What the units of several layers have in common if they are to be those of one."""
        rate = "learned" if self.rate is not None else self.update_rate
        return {"dropout": self.dropout, "update_rate": rate}


def _checked_activation(activation: str | Sequence[str], num_units: int) -> str | tuple[str, ...]:
    if isinstance(activation, str) or not isinstance(activation, Sequence):
        check_activation(activation)
        return activation
    for name in activation:
        # A call for each of a million units takes a second.
        if not (isinstance(name, str) and name in ACTIVATIONS):
            check_activation(name)
    if len(activation) != num_units or not num_units:
        raise ValueError(
            f"Expected a name for each of the {num_units} hidden units (got {len(activation)})."
            f" Repeat those of levels: ['relu'] * 64 + ['tanh'] * 32."
        )
    return activation[0] if len(set(activation)) == 1 else tuple(activation)
