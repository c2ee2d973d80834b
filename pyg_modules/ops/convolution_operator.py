from __future__ import annotations

from collections.abc import Callable, Sequence
from math import cos, pi
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from pyg_modules.ops.activation import RowActivation
from pyg_modules.ops.edge_set import EdgeSet
from pyg_modules.ops.operator import EdgeOperator
from pyg_modules.ops.packing import Packing

_aten = torch.ops.aten
# Libraries compute groups of so many units, or of a multiple, several times as fast as others.
_UNITS_AT_ONCE = 8
# By how much a cell of a group may cost more than one of the whole.
_COST_OF_GROUPS = 2
# At how many points of a dimension a symbol of degree 1 is read for its norm, and how much larger
# than at all of these it may be between them.
_POINTS = 16
_BETWEEN_POINTS = 1 / cos(pi / _POINTS) ** 2


class ConvolutionOperator(EdgeOperator):
    r"""The synchronous update of units that are channels of an image, with a kernel on every edge.

    .. math::
        y_i = \sum_{j \to i} w_{ij} \star h_j

    States are ``[units * P, B]``: those of the P pixels of one unit, then those of the next, with
    an image per column. In memory an image comes after the other, as convolutions want it. Weights
    are ``[e, k, k]``, of a convolution with as many zeros around the image as keep its size.

    Its matrix has a cell of ``[k, k]`` for every two units. Where independent sets of units are
    iterated, and it pays, it has the cells within groups alone, of equal width, and permutes the
    units.

    Args:
        index (sequence of Tensor): The cell of every edge, ``[e]``, and the row of every unit in
            the layout of the kernels.
        sizes (sequence of int): Rows of targets and of sources, the width k, height and width of
            the image, units among the targets and among the sources, the number of groups, both in
            the layout of the kernels, and whether that has them in order.
    """

    name = "convolution"
    is_backend = False
    dtypes = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
    devices = ("cpu", "cuda", "mps", "xpu", "meta")
    second_derivatives: ClassVar[str] = "Use torch.func and an Unrolled solver."

    def __init__(self, index: Sequence[Tensor], sizes: Sequence[int]) -> None:
        super().__init__(index, sizes)
        self._width, self._height, self._image_width = self.sizes[2:5]
        self._groups, self._rows, self._columns, self._is_ordered = self.sizes[7:]

    @classmethod
    def build(
        cls, edges: EdgeSet, kernel_size: int = 3, *, groups: bool = False
    ) -> ConvolutionOperator:
        """The operator over ``edges`` for images of one pixel; see :meth:`on_images`.

        Args:
            edges (EdgeSet): The edges.
            kernel_size (int, optional): The width k of kernels. (default: 3)
            groups (bool, optional): Whether units may be permuted, which only edges that a solver
                iterates without feedback from outputs allow. (default: ``False``)
        """
        num_targets, num_sources = edges.num_targets, edges.num_sources
        row, in_order = (torch.arange(num_targets, device="cpu") for _ in range(2))
        position = edges.target * num_sources + edges.source
        layout = [1, num_targets, num_sources, 1]
        packing = Packing.of(edges.components, cells_per_batch=float("inf")) if groups else None
        if packing is not None and packing.num_matrices > 1:
            count, narrow = packing.batches[0]
            width = -(-narrow // _UNITS_AT_ONCE) * _UNITS_AT_ONCE
            if _COST_OF_GROUPS * count * width**2 <= num_targets**2:
                packed, column = (torch.from_numpy(packing[part]) for part in (0, 2))
                row = packed // narrow * width + column
                position = row[edges.target] * width + column[edges.source]
                is_ordered = count * width == num_targets and torch.equal(row, in_order)
                layout = [count, count * width, count * width, int(is_ordered)]
        units = [num_targets, num_sources]
        sizes = [*units, kernel_size, 1, 1, *units, *layout]
        return cls((position, row), sizes)

    def on_images(self, height: int, width: int) -> ConvolutionOperator:
        """The operator for images of this size, which shares the index structures."""
        rows = [units * height * width for units in self.sizes[5:7]]
        return type(self)(self.index, [*rows, self._width, height, width, *self.sizes[5:]])

    def compose(self, weight: Tensor) -> Callable[[Tensor], Tensor]:
        """See :meth:`EdgeOperator.compose`."""
        values = self.prepare(weight)
        return lambda state: self.leave(as_columns(self._convolved(values, self.enter(state))))

    # Layout ##################################################################################

    @property
    def num_rows(self) -> int:
        """See :attr:`EdgeOperator.num_rows`."""
        return self._rows * self._height * self._image_width

    @property
    def num_columns(self) -> int:
        """See :attr:`EdgeOperator.num_columns`."""
        return self._columns * self._height * self._image_width

    def new_states(self, like: Tensor, *shape: int) -> Tensor:
        """See :meth:`EdgeOperator.new_states`."""
        *others, rows, batch = shape
        return like.new_empty(*others, batch, rows).mT

    def select(self, state: Tensor, columns: Tensor) -> Tensor:
        """See :meth:`EdgeOperator.select`."""
        return state.mT.index_select(0, columns).mT

    def enter(self, state: Tensor) -> Tensor:
        """See :meth:`EdgeOperator.enter`."""
        if self._is_ordered:
            return state.mT.contiguous().mT
        images = self._images(state, self.sizes[5])
        padded = images.new_zeros(images.size(0), self._rows, *images.shape[2:])
        return as_columns(padded.index_copy(1, self.index[1], images))

    def leave(self, state: Tensor) -> Tensor:
        """See :meth:`EdgeOperator.leave`."""
        if self._is_ordered:
            return state
        return as_columns(self._images(state, self._rows).index_select(1, self.index[1]))

    def _images(self, state: Tensor, num_units: int) -> Tensor:
        """``state`` as images ``[B, units, height, width]``, a view where it has been entered."""
        # Not what rows divided by pixels are: programs for images of any size know it beforehand.
        return state.mT.reshape(state.size(1), num_units, self._height, self._image_width)

    # Kernels #################################################################################

    def prepare(self, weight: Tensor) -> Tensor:
        """See :meth:`EdgeOperator.prepare`."""
        width = self._width
        inside = self._columns // self._groups
        num_cells = self._rows * inside
        if weight.size(0) != num_cells or self._groups > 1:
            # Edges are sorted by target and source: all of them are the matrix.
            weight = weight.new_zeros(num_cells, width, width).index_copy(0, self.index[0], weight)
        return weight.reshape(self._rows, inside, width, width)

    def prepare_transposed(self, weight: Tensor) -> Tensor:
        """See :meth:`EdgeOperator.prepare_transposed`."""
        return self.prepare(weight)

    def matmul(self, values: Tensor, state: Tensor, out: Tensor) -> None:
        """See :meth:`EdgeOperator.matmul`."""
        self._images(out, self._rows).copy_(self._convolved(values, state))

    def update(
        self, values: Tensor, state: Tensor, injected: Tensor, f: RowActivation, out: Tensor
    ) -> Tensor:
        """See :meth:`EdgeOperator.update`."""
        sums = self._convolved(values, state)
        injected, images = (self._images(one, self._rows) for one in (injected, out))
        torch.add(sums, injected, out=images)
        return f.apply_(out)

    def matmul_transposed(self, values: Tensor, grad: Tensor, out: Tensor) -> None:
        """See :meth:`EdgeOperator.matmul_transposed`."""
        images = self._images(out, self._columns)
        images.copy_(self._backward(values, grad, images, (True, False))[0])

    def new_gradient(self, weight: Tensor) -> Tensor:
        """See :meth:`EdgeOperator.new_gradient`."""
        inside = self._columns // self._groups
        return weight.new_zeros(self._rows, inside, self._width, self._width)

    def accumulate(self, gradient: Tensor, grad: Tensor, state: Tensor) -> None:
        """See :meth:`EdgeOperator.accumulate`."""
        images = self._images(state, self._columns)
        gradient += self._backward(gradient, grad, images, (False, True))[1]

    def edge_gradient(self, gradient: Tensor) -> Tensor:
        """See :meth:`EdgeOperator.edge_gradient`."""
        return gradient.flatten(0, 1).index_select(0, self.index[0])

    def adjoint(
        self,
        values: Tensor,
        grad: Tensor,
        saved: Tensor,
        f: RowActivation,
        out: Tensor,
        *,
        gradient: Tensor | None = None,
        total: Tensor | None = None,
        add: Tensor | None = None,
    ) -> None:
        """See :meth:`EdgeOperator.adjoint`; both gradients are those of one call."""
        state = f(saved) if f.activation.needs_sums and gradient is not None else saved
        images = self._images(state, self._columns)
        both = self._backward(values, grad, images, (True, gradient is not None))
        if gradient is not None:
            gradient += both[1]
        images = self._images(out, self._columns)
        if add is None:
            images.copy_(both[0])
        else:
            torch.add(both[0], self._images(add, self._columns), out=images)
        f.backward_(out, saved)
        if total is not None:
            total += out

    def _convolved(self, values: Tensor, state: Tensor) -> Tensor:
        images = self._images(state, self._columns)
        if values.numel() == 0:  # Convolutions have channels.
            shape = images.size(0), self._rows, *images.shape[2:]
            return images.new_zeros(shape) + images.sum()
        return self._convolution(images, values)

    def _backward(
        self, values: Tensor, grad: Tensor, images: Tensor, needs: tuple[bool, bool]
    ) -> tuple[Tensor, Tensor]:
        """The gradients of states and of weights, of those that are needed."""
        if values.numel() == 0:
            return torch.zeros_like(images), values
        return self._convolution_backward(self._images(grad, self._rows), images, values, needs)

    def _convolution(self, images: Tensor, values: Tensor) -> Tensor:
        return F.conv2d(images, values, padding=self._width // 2, groups=self._groups)

    def _convolution_backward(
        self, grad: Tensor, images: Tensor, values: Tensor, needs: tuple[bool, bool]
    ) -> tuple[Tensor, Tensor]:
        padding = [self._width // 2] * 2
        around = [1, 1], padding, [1, 1], False, [0, 0], self._groups
        found: tuple[Tensor, Tensor, Tensor] = _aten.convolution_backward(
            grad, images, values, None, *around, [*needs, False]
        )
        return found[:2]


def as_columns(images: Tensor) -> Tensor:
    """Images ``[B, units, height, width]`` as states ``[units * P, B]``."""
    return images.flatten(1).mT


class TorusOperator(ConvolutionOperator):
    r"""The same on an image whose opposite edges meet, for the norm of convolutions.

    The norm on an image of any size, with zeros around it, is at most that on an endless one, which
    is the largest of the symbol, a trigonometric polynomial of degree d, half of the width of
    kernels. On this torus, smaller than most images, it is read at 16 d points a dimension, and is
    nowhere more than :math:`1 / \cos^2(\pi / 16) \approx 1.04` times as large.
    """

    name = "convolution_on_a_torus"

    @classmethod
    def build(
        cls, edges: EdgeSet, kernel_size: int = 3, *, groups: bool = False
    ) -> ConvolutionOperator:
        """See :meth:`ConvolutionOperator.build`; the image has its size."""
        length = max(1, _POINTS * (kernel_size // 2))
        return super().build(edges, kernel_size, groups=groups).on_images(length, length)

    def terms(self, weight: Tensor) -> list[tuple[EdgeOperator, Tensor]]:
        """See :meth:`EdgeOperator.terms`: a bound of the norm on images of any size."""
        return [(self, weight if self._width == 1 else weight * _BETWEEN_POINTS)]

    def _around(self, images: Tensor) -> Tensor:
        return F.pad(images, [self._width // 2] * 4, mode="circular")

    def _convolution(self, images: Tensor, values: Tensor) -> Tensor:
        return F.conv2d(self._around(images), values, groups=self._groups)

    def _convolution_backward(
        self, grad: Tensor, images: Tensor, values: Tensor, needs: tuple[bool, bool]
    ) -> tuple[Tensor, Tensor]:
        found = images, values
        if needs[0]:
            shape = self._groups, -1, *values.shape[1:]
            turned = values.view(shape).transpose(1, 2).flatten(0, 1).flip(-2, -1)
            found = self._convolution(grad, turned), values
        if needs[1]:
            around = [1, 1], [0, 0], [1, 1], False, [0, 0], self._groups
            gradients = _aten.convolution_backward(
                grad, self._around(images), values, None, *around, [False, True, False]
            )
            found = found[0], gradients[1]
        return found
