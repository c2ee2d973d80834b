from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from pyg_modules.ops.activation import LINEAR, RowActivation
from pyg_modules.ops.edge_set import EdgeSet
from pyg_modules.ops.residual import relative_residual
from pyg_modules.ops.tracing import is_tracing
from pyg_modules.ops.work import Work

if TYPE_CHECKING:
    from typing_extensions import Self

#: All operators by name, as programs of compilers call them.
OPERATORS: dict[str, type[EdgeOperator]] = {}
#: Those over the edges of a unit graph alone, by the names of their backends.
BACKENDS: dict[str, type[EdgeOperator]] = {}


class EdgeOperator(ABC):
    r"""The synchronous update over a set of edges, forwards and backwards.

    .. math::
        y_i = \sum_{j \to i} w_{ij} h_j

    This is the one interface a backend implements. States are laid out ``[units, batch]``, so that
    an edge reads one contiguous row. Weights are those of the edge set, ``[e]``, in its order.

    :meth:`compose` is differentiable; all other methods compute on tensors without gradients, into
    buffers of the caller, and are what solvers build their own gradients from. An operator holds
    index structures only, never weights, so that all layers on one graph share it.

    Args:
        index (sequence of Tensor): The index structures that :meth:`build` made.
        sizes (sequence of int): Number of targets, number of sources, and what else the backend
            needs.
    """

    #: Name of the operator, and of the backend if it is one.
    name: ClassVar[str]
    #: Whether it is one of the backends that layers choose from.
    is_backend: ClassVar[bool] = True
    #: Floating types it computes in, and types of devices it computes on.
    dtypes: ClassVar[tuple[torch.dtype, ...]] = (torch.float32, torch.float64)
    devices: ClassVar[tuple[str, ...]] = ("cpu", "cuda")
    #: Types of devices where its sums may have other bits each time.
    nondeterministic_devices: ClassVar[tuple[str, ...]] = ()
    #: Whether it has a ``compose``, so that any transformation of torch can look into it.
    is_composable: ClassVar[bool]
    #: Whether solvers iterate what ``compose`` returns wherever they can, and not the kernels.
    has_second_derivatives: bool = False
    #: How to get second derivatives where the kernels have none.
    second_derivatives: ClassVar[str] = "Use backend='scatter' and an Unrolled solver."
    #: Whether it computes for all devices, dtypes and sizes, where others are not to be had.
    works_everywhere: ClassVar[bool] = False
    #: Whether it lays out units as it likes, which only edges that a solver iterates without
    #: feedback from outputs allow.
    permutes_units: ClassVar[bool] = False
    #: Whether it has kernels for states whose rows are samples,
    #: :meth:`EdgeOperator.update_from_rows`.
    has_rows: ClassVar[bool]
    #: The backend that goes well with it for edges beside those that are iterated; itself if None.
    companion: ClassVar[type[EdgeOperator] | None] = None

    def __init__(self, index: Sequence[Tensor], sizes: Sequence[int]) -> None:
        self.index = tuple(index)
        self.sizes = tuple(sizes)
        self.num_targets, self.num_sources = self.sizes[:2]

    def __init_subclass__(cls) -> None:
        cls.is_composable = cls.compose is not EdgeOperator.compose
        cls.has_rows = cls.update_from_rows is not EdgeOperator.update_from_rows
        if "name" in cls.__dict__:  # Else it would take the place of another.
            OPERATORS[cls.name] = cls
            if cls.is_backend:
                BACKENDS[cls.name] = cls

    @classmethod
    @abstractmethod
    def build(cls, edges: EdgeSet) -> EdgeOperator:
        """The operator over ``edges``, on the CPU."""

    def to(self, device: torch.device) -> Self:
        """The same operator with its index structures on ``device``."""
        return type(self)([index.to(device) for index in self.index], self.sizes)

    @classmethod
    def missing(cls) -> str | None:
        """What has to be installed before this backend can be used; ``None`` if nothing."""
        return None

    @classmethod
    def obstacle(cls, device: torch.device, dtype: torch.dtype) -> str | None:
        """Why it cannot compute for weights of ``dtype`` on ``device``; ``None`` if it can.

        Beside what is :meth:`missing`, which has to be asked first.
        """
        if device.type in cls.devices and dtype in cls.dtypes:
            return None
        return f"{dtype} on {device}"

    @classmethod
    def work(cls, edges: EdgeSet, batch: int) -> Work | None:
        """What an update of ``batch`` samples has to do; ``None`` where it makes no sense."""
        return Work(edges.num_edges, edges.num_targets, batch)

    @classmethod
    def held(cls, work: Work) -> int:
        """How many numbers it holds beside states and weights to do ``work``."""
        return work.cells

    def compose(self, weight: Tensor) -> Callable[[Tensor], Tensor] | None:  # noqa: ARG002
        """The map from states ``[num_sources, B]`` to sums, made of torch's own operations alone.

        Any transformation of torch can look into those: ``torch.func``, second derivatives, export
        to other formats. ``None`` for a backend that is made of the kernels below alone.
        """
        return None

    def is_composed(self) -> bool:
        """Whether a solver has to iterate what :meth:`compose` returns instead of the kernels."""
        return self.has_second_derivatives or (self.is_composable and is_tracing())

    def residual(
        self,
        following: Tensor,
        state: Tensor,
        *,
        transposed: bool = False,  # noqa: ARG002
    ) -> Tensor:
        """How far states are from the next ones, of every sample, ``[B]``.

        Args:
            following (Tensor): ``F(state)``, ``[n, B]``.
            state (Tensor): The states, ``[n, B]``.
            transposed (bool, optional): Whether F goes against the edges, as gradients do.
                (default: ``False``)
        """
        return relative_residual(following, state)

    def terms(self, weight: Tensor) -> list[tuple[EdgeOperator, Tensor]]:
        """Operators, and their weights, whose norms add up to a bound of that of this one."""
        return [(self, weight)]

    # Layout of states in a solver ############################################################

    @property
    def num_rows(self) -> int:
        """Number of rows of the sums in the layout of the kernels."""
        return self.num_targets

    @property
    def num_columns(self) -> int:
        """Number of rows of the states in the layout of the kernels."""
        return self.num_sources

    def on_rows(self, f: RowActivation) -> RowActivation:
        """The activation ``f`` of the first units, on rows in the layout of the kernels.

        Where the layout pads and permutes, all units are activated, and all rows.
        """
        return f._replace(num_rows=self.num_rows) if f.num_rows == self.num_targets else f

    def new_states(self, like: Tensor, *shape: int) -> Tensor:
        """Memory for states or sums ``[*, rows, B]`` in the layout of the kernels.

        Args:
            like (Tensor): Is of the dtype, and where they are to be.
            shape (int): Their sizes.
        """
        return like.new_empty(shape)

    def enter(self, state: Tensor) -> Tensor:
        """States or sums in the layout of the kernels."""
        return state.contiguous()

    def leave(self, state: Tensor) -> Tensor:
        """The inverse of :meth:`enter`."""
        return state

    def select(self, state: Tensor, columns: Tensor) -> Tensor:
        """Some ``columns`` [b] of states or sums, all in the layout of the kernels."""
        return state.index_select(1, columns)

    def pieces(self, f: RowActivation) -> list[Piece]:
        """Parts without edges between them, in the layout of the kernels; here the whole.

        Args:
            f (RowActivation): From :meth:`on_rows`.
        """
        return [Piece(self, f)]

    # Kernels #################################################################################

    @abstractmethod
    def prepare(self, weight: Tensor) -> Any:
        """``weight`` as :meth:`matmul` and :meth:`update` read it."""

    @abstractmethod
    def prepare_transposed(self, weight: Tensor) -> Any:
        """``weight`` as :meth:`matmul_transposed` and :meth:`adjoint` read it."""

    @abstractmethod
    def matmul(self, values: Any, state: Tensor, out: Tensor) -> None:
        """``out <- W state``."""

    @abstractmethod
    def matmul_transposed(self, values: Any, grad: Tensor, out: Tensor) -> None:
        """``out <- W^T grad``."""

    def matmul_from_rows(
        self, values: Any, state: Tensor, out: Tensor, *, transposed: bool = False
    ) -> None:
        """``out^T <- W state^T``, if the operator :attr:`has_rows`.

        Args:
            values (Tensor): From :meth:`prepare`, or :meth:`prepare_transposed`.
            state (Tensor): ``[n, num_sources]``, contiguous.
            out (Tensor): ``[n, num_targets]``.
            transposed (bool, optional): Whether it is W^T, with sources and targets in each other's
                places. (default: ``False``)
        """
        raise NotImplementedError

    def update_from_rows(
        self, values: Any, state: Tensor, injected: Tensor, f: RowActivation, out: Tensor
    ) -> Tensor:
        """:meth:`update` of states ``[n, num_sources]``, if the operator :attr:`has_rows`.

        The activation is that of the n rows.
        """
        raise NotImplementedError

    @abstractmethod
    def new_gradient(self, weight: Tensor) -> Any:
        """Zeros to :meth:`accumulate` a gradient in."""

    @abstractmethod
    def accumulate(self, gradient: Any, grad: Tensor, state: Tensor) -> None:
        """``gradient_ij += sum_b grad_ib state_jb`` on the edges."""

    @abstractmethod
    def edge_gradient(self, gradient: Any) -> Tensor:
        """The accumulated gradient as one number per edge, ``[e]``."""

    @abstractmethod
    def update(
        self, values: Any, state: Tensor, injected: Tensor, f: RowActivation, out: Tensor
    ) -> Tensor:
        """One synchronous update, ``f(W state + injected)``.

        Returns:
            Tensor: The states. ``out`` holds what the derivative of f needs: the states themselves,
            or the sums if ``f.activation.needs_sums``.
        """

    def start(self, injected: Tensor, f: RowActivation, out: Tensor) -> Tensor:
        """The update of states 0, which needs no edges; see :meth:`update`."""
        return f.apply_(out.copy_(injected))

    def unroll(
        self,
        values: Tensor,  # noqa: ARG002
        injected: Tensor,  # noqa: ARG002
        f: RowActivation,  # noqa: ARG002
        kept: Tensor,  # noqa: ARG002
        steps: int,  # noqa: ARG002
        stride: int,  # noqa: ARG002
    ) -> Tensor | None:
        """The last states of :meth:`start` and updates, ``steps`` in all, as one computation.

        ``None`` for an operator that has none but one by one.

        Args:
            values (Tensor): From :meth:`prepare`.
            injected (Tensor): What :meth:`update` adds.
            f (RowActivation): The activation of the rows.
            kept (Tensor): Gets what the derivatives of every ``stride``-th update need, from the
                first on.
            steps (int): Number of updates.
            stride (int): As said; 0 if nothing is kept.
        """
        return None

    def unroll_backward(
        self,
        values: Tensor,  # noqa: ARG002
        kept: Tensor,  # noqa: ARG002
        f: RowActivation,  # noqa: ARG002
        gradient: Tensor,  # noqa: ARG002
        total: Tensor,  # noqa: ARG002
    ) -> bool:
        """:meth:`unroll` backwards, if the operator has it; returns whether it was done.

        Args:
            values (Tensor): From :meth:`prepare_transposed`.
            kept (Tensor): What :meth:`unroll` left of every update.
            f (RowActivation): The activation of the rows.
            gradient (Tensor): Accumulates the gradient of the weights.
            total (Tensor): The gradient of the last states; becomes that of what is injected.
        """
        return False

    def adjoint(
        self,
        values: Any,
        grad: Tensor,
        saved: Tensor,
        f: RowActivation,
        out: Tensor,
        *,
        gradient: Any = None,
        total: Tensor | None = None,
        add: Tensor | None = None,
    ) -> None:
        """One update backwards: ``out <- f'(s) (W^T grad + add)`` with s the sums of ``saved``.

        Args:
            values (Tensor): From :meth:`prepare_transposed`.
            grad (Tensor): Gradient of the sums of the update after.
            saved (Tensor): What :meth:`update` left in ``out`` for the update before.
            f (RowActivation): The activation of the rows.
            out (Tensor): Gradient of the sums of the update before.
            gradient (Tensor, optional): Accumulates the gradient of the weights.
            total (Tensor, optional): Accumulates ``out``.
            add (Tensor, optional): Another gradient of the states of the update before.
        """
        if gradient is not None:
            self.accumulate(gradient, grad, f(saved) if f.activation.needs_sums else saved)
        self.matmul_transposed(values, grad, out)
        if add is not None:
            out += add
        f.backward_(out, saved)
        if total is not None:
            total += out

    def add_adjoint(
        self, values: Any, grad: Tensor, state: Tensor, gradient: Any, out: Tensor
    ) -> None:
        """``out += W^T grad`` and ``gradient += grad state^T`` on the edges; see :meth:`adjoint`.

        Backends may have both from one pass over the edges.
        """
        spare = torch.empty_like(out)
        self.adjoint(values, grad, state, LINEAR, spare, gradient=gradient, total=out)


@dataclass(frozen=True)
class Piece:
    """Some of the rows of an operator that are updated without the others.

    Args:
        operator (EdgeOperator): The operator of these rows.
        f (RowActivation): Their activation.
        row_range (tuple of int, optional): The first of them and their number. (default: all)
        cell_range (tuple of int, optional): The same for the prepared weights. (default: all)
    """

    operator: EdgeOperator
    f: RowActivation
    row_range: tuple[int, int] | None = None
    cell_range: tuple[int, int] | None = None

    def rows(self, states: Tensor, dim: int = 0) -> Tensor:
        """Those of the piece among states or sums of all."""
        return states if self.row_range is None else states.narrow(dim, *self.row_range)

    def cells(self, values: Tensor) -> Tensor:
        """Those of the piece among prepared weights of all, or their gradients."""
        return values if self.cell_range is None else values.narrow(0, *self.cell_range)
