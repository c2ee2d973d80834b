from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from pyg_modules.ops.activation import Activation
from pyg_modules.ops.edge_set import EdgeSet
from pyg_modules.ops.piece import Piece

if TYPE_CHECKING:
    from typing_extensions import Self

#: The operators by the names of their backends.
BACKENDS: dict[str, type[EdgeOperator]] = {}


class EdgeOperator(ABC):
    r"""The linear part of a synchronous update over the edges of one block, and its transpose.

    .. math::
        y_i = \sum_{j \to i} w_{ij} h_j

    This is the one interface a backend implements. States are laid out ``[units, batch]``, so that
    an edge reads one contiguous row. Weights are those of the block, ``[e]``, in its order.

    :meth:`compose` is differentiable; all other methods compute on tensors without gradients, into
    buffers of the caller, and are what solvers build their own gradients from. An operator holds
    index structures only, never weights, so that all layers on one graph share it.

    Args:
        index (sequence of Tensor): The index structures that :meth:`build` made.
        sizes (sequence of int): Number of targets, number of sources, and what else the backend
            needs.
    """

    #: Name of the backend.
    name: ClassVar[str]
    #: Floating types it computes in, and types of devices it computes on.
    dtypes: ClassVar[tuple[torch.dtype, ...]] = (torch.float32, torch.float64)
    devices: ClassVar[tuple[str, ...]] = ("cpu", "cuda")

    def __init__(self, index: Sequence[Tensor], sizes: Sequence[int]) -> None:
        self.index = tuple(index)
        self.sizes = tuple(sizes)
        self.num_targets, self.num_sources = self.sizes[:2]

    def __init_subclass__(cls) -> None:
        BACKENDS[cls.name] = cls

    @classmethod
    @abstractmethod
    def build(cls, block: EdgeSet) -> EdgeOperator:
        """The operator over the edges of ``block``, on the CPU."""

    def to(self, device: torch.device) -> Self:
        """The same operator with its index structures on ``device``."""
        return type(self)([index.to(device) for index in self.index], self.sizes)

    @classmethod
    def missing(cls) -> str | None:
        """What has to be installed before this backend can be used; ``None`` if nothing."""
        return None

    def compose(self, weight: Tensor) -> Callable[[Tensor], Tensor] | None:  # noqa: ARG002
        """The map from states ``[num_sources, B]`` to sums, made of torch's own operations alone.

        Any transformation of torch can look into those: ``torch.func``, second derivatives, export
        to other formats. ``None`` for a backend that is made of the kernels below alone.
        """
        return None

    def is_composed(self) -> bool:
        """Whether a solver has to iterate what :meth:`compose` returns instead of the kernels."""
        return False

    # Layout of states in a solver ############################################################

    @property
    def num_rows(self) -> int:
        """Number of rows of the sums in the layout of the kernels."""
        return self.num_targets

    @property
    def num_columns(self) -> int:
        """Number of rows of the states in the layout of the kernels."""
        return self.num_sources

    def num_activated_rows(self, num_activated: int) -> int:
        """How many of these rows are activated, if the first ``num_activated`` units are.

        Where the layout pads and permutes, all units are activated, and all rows.
        """
        return self.num_rows if num_activated == self.num_targets else num_activated

    def enter(self, state: Tensor) -> Tensor:
        """States or sums in the layout of the kernels."""
        return state.contiguous()

    def leave(self, state: Tensor) -> Tensor:
        """The inverse of :meth:`enter`."""
        return state

    def pieces(self, num_activated: int) -> list[Piece]:
        """Parts without edges between them, in the layout of the kernels; here the whole.

        Args:
            num_activated (int): From :meth:`num_activated_rows`.
        """
        return [Piece(self, num_activated)]

    # Kernels #################################################################################

    @abstractmethod
    def prepare(self, weight: Tensor) -> Tensor:
        """``weight`` as :meth:`matmul` and :meth:`update` read it."""

    @abstractmethod
    def prepare_transposed(self, weight: Tensor) -> Tensor:
        """``weight`` as :meth:`matmul_transposed` and :meth:`adjoint` read it."""

    @abstractmethod
    def matmul(self, values: Tensor, state: Tensor, add: Tensor | None, out: Tensor) -> None:
        """``out <- W state + add``."""

    @abstractmethod
    def matmul_transposed(self, values: Tensor, grad: Tensor, out: Tensor) -> None:
        """``out <- W^T grad``."""

    @abstractmethod
    def new_gradient(self, weight: Tensor) -> Tensor:
        """Zeros to :meth:`accumulate` a gradient in."""

    @abstractmethod
    def accumulate(self, gradient: Tensor, grad: Tensor, state: Tensor) -> None:
        """``gradient_ij += sum_b grad_ib state_jb`` on the edges."""

    @abstractmethod
    def edge_gradient(self, gradient: Tensor) -> Tensor:
        """The accumulated gradient as one number per edge, ``[e]``."""

    def update(
        self,
        values: Tensor,
        state: Tensor,
        injected: Tensor,
        activation: Activation,
        num_activated: int,
        out: Tensor,
    ) -> Tensor:
        """One synchronous update, ``f(W state + injected)``.

        Returns:
            Tensor: The states. ``out`` holds what the derivative of the activation needs: the
            states themselves, or the sums if ``activation.needs_sums``.
        """
        self.matmul(values, state, injected, out)
        return activation.apply_(out, num_activated)

    def start(
        self, injected: Tensor, activation: Activation, num_activated: int, out: Tensor
    ) -> Tensor:
        """The update of states 0, which needs no edges; see :meth:`update`."""
        return activation.apply_(out.copy_(injected), num_activated)

    def adjoint(
        self,
        values: Tensor,
        grad: Tensor,
        saved: Tensor,
        activation: Activation,
        num_activated: int,
        out: Tensor,
        *,
        gradient: Tensor | None = None,
        total: Tensor | None = None,
        add: Tensor | None = None,
    ) -> None:
        """One update backwards: ``out <- f'(s) (W^T grad + add)`` with s the sums of ``saved``.

        Args:
            values (Tensor): From :meth:`prepare_transposed`.
            grad (Tensor): Gradient of the sums of the update after.
            saved (Tensor): What :meth:`update` left in ``out`` for the update before.
            activation (Activation): f.
            num_activated (int): Number of rows it acts on.
            out (Tensor): Gradient of the sums of the update before.
            gradient (Tensor, optional): Accumulates the gradient of the weights.
            total (Tensor, optional): Accumulates ``out``.
            add (Tensor, optional): Another gradient of the states of the update before.
        """
        if gradient is not None:
            state = activation(saved, num_activated) if activation.needs_sums else saved
            self.accumulate(gradient, grad, state)
        self.matmul_transposed(values, grad, out)
        if add is not None:
            out += add
        activation.backward_(out, saved, num_activated)
        if total is not None:
            total += out
