from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.fx import Proxy

from pyg_modules._checks import as_int
from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.nn.check_tensor import check_images
from pyg_modules.nn.conv2d_reader import ConvolutionReader
from pyg_modules.nn.convolution_wiring import ConvolutionWiring
from pyg_modules.nn.shortage import or_shortage
from pyg_modules.nn.unit_layer import Prepared, UnitLayer, check_observe, spare_generator
from pyg_modules.ops.convolution_operator import as_columns
from pyg_modules.ops.tracing import as_leaf, is_recording, recorded
from pyg_modules.ops.update import Update
from pyg_modules.solve.solution import Solution
from pyg_modules.solve.solver import Solver
from pyg_modules.solve.unrolled import Unrolled


class SynchronousConv2d(UnitLayer):
    r"""A layer on images whose units are channels, with a k x k kernel on every edge.

    All pixels of all units that are not inputs take their new state at once,

    .. math::
        h_i \leftarrow f \Big( \sum_{j \to i} w_{ij} \star h_j + b_i \Big), \qquad h_i = 0
        \text{ at first},

    with :math:`\star` the convolution of :class:`torch.nn.Conv2d`, with zeros around the image, so
    that its size stays. Input channels are clamped, :math:`h_I = x`, and outputs are read once from
    the last state. Every update sees as far as one convolution more. Pooling, as usual, is for a
    layer of its own.

    It is computed by one convolution with a dense kernel, 0 where there is no edge; and after
    :func:`pyg_modules.cut` by one in groups, where modules have enough units for that to be faster.

    Args:
        graph (UnitGraph): The units and the edges between them.
        kernel_size (int, optional): The width k of kernels, odd. (default: 3)
        solver (Solver, optional): When the updates stop. The ``contraction`` of an
            :class:`Equilibrium` bounds the norm of the convolution on images of any size.
            (default: ``Unrolled(steps=6)``)
        activation (str or sequence of str, optional): See :class:`SynchronousGraph`, as those that
            follow. (default: ``"relu"``)
        bias (bool, optional): Whether units have biases. (default: ``True``)
        dropout (float, optional): Probability that a hidden unit is 0 in training, at all pixels,
            as in :class:`torch.nn.Dropout2d`. (default: 0)
        update_rate (float, optional): The part of the way to the new state. (default: 1)
        learn_update_rate (bool, optional): Whether every unit learns its own. (default: ``False``)
        device (torch.device, optional): Device of the parameters.
        dtype (torch.dtype, optional): Floating type of the parameters.
        generator (torch.Generator, optional): Source of the random initial weights, on ``device``;
            the global one of torch by default.

    Shapes:
        - **input:** :math:`(B, I, H, W)` or :math:`(I, H, W)`, of any height and width
        - **output:** :math:`(B, O, H, W)` or :math:`(O, H, W)`; dtypes as of
          :class:`SynchronousGraph`

    Attributes:
        weight: The kernel of every edge, in the order of ``graph.edge_index``, ``[E, k, k]``.
        bias: Biases of the hidden and the output units, ``[N - I]``; or ``None``.

    Example:
        >>> import torch
        >>> from pyg_modules import SynchronousConv2d, UnitGraph, Unrolled
        >>> layer = SynchronousConv2d(UnitGraph.complete(1, 16, 10), solver=Unrolled(steps=4))
        >>> layer(torch.rand(32, 1, 28, 28)).shape
        torch.Size([32, 10, 28, 28])
    """

    kind = "SynchronousConv2d"
    unit_dim = -3
    positions = ("H", "W")

    def __init__(
        self,
        graph: UnitGraph,
        kernel_size: int = 3,
        solver: Solver | None = None,
        activation: str | Sequence[str] = "relu",
        *,
        bias: bool = True,
        dropout: float = 0.0,
        update_rate: float = 1.0,
        learn_update_rate: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        size = _checked_kernel_size(kernel_size)
        super().__init__(
            graph,
            solver,
            activation,
            row_shape=(size, size),
            bias=bias,
            dropout=dropout,
            update_rate=update_rate,
            learn_update_rate=learn_update_rate,
            device=device,
            dtype=dtype,
            generator=generator,
        )
        self.kernel_size = size
        self._build()

    @classmethod
    def from_conv(cls, model: nn.Module, *, dropout: float = 0.0) -> SynchronousConv2d:
        """The function that a stack of convolutions computes in evaluation, to rounding.

        Every channel of ``model`` but the first and the last is a hidden unit, and every pair of
        channels that a convolution joins an edge. ``Dropout`` is left out, a ``BatchNorm2d`` after
        a convolution is folded into it, and small kernels have zeros around them.

        Args:
            model (torch.nn.Module): ``Conv2d`` that keep the size of images (no stride, kernels of
                odd width, zeros around the image), with activations between them, and the modules
                above; nested as they are in ``Sequential``. Its parameters are copied.
            dropout (float, optional): Of all hidden units, as for the class. (default: 0)

        Raises:
            TypeError: If ``model`` is no module.
            ValueError: If it contains anything else; the message says what, and why.
        """
        parts = ConvolutionReader(model).read()
        layer = cls(
            parts.graph,
            parts.weight.size(-1),
            Unrolled(steps=max(1, parts.num_levels)),
            parts.activation or "identity",
            bias=parts.bias is not None,
            dropout=dropout,
            device=parts.weight.device,
            dtype=parts.weight.dtype,
            generator=spare_generator(parts.weight.device),
        )
        with torch.no_grad():
            layer.weight.copy_(parts.weight)
            if layer.bias is not None and parts.bias is not None:
                layer.bias.copy_(parts.bias)
        return layer

    def config(self) -> dict[str, Any]:
        """See :meth:`UnitLayer.config`."""
        has_bias = self.bias is not None
        return {**super().config(), "kernel_size": self.kernel_size, "bias": has_bias}

    # Computing ###############################################################################

    def forward(self, x: Tensor, *others: object) -> Tensor:
        """The outputs, ``[B, O, H, W]``, for images ``x``, ``[B, I, H, W]``, or for one of them."""
        if isinstance(others, tuple) and others:  # For torch.fx they are a stand-in.
            raise TypeError(
                f"Expected x alone (got {len(others)} more): the edges of the layer are those of"
                f" its own graph, and pixels have no others."
                " Call layer(x)."
            )
        if isinstance(x, Proxy):
            return as_leaf(self, x)
        if is_recording():
            with recorded():
                return self._compute(SynchronousConv2d._outputs, x)
        return or_shortage(
            lambda: self._compute(SynchronousConv2d._outputs, x), lambda: self._needed_memory(x)
        )

    def states(self, x: Tensor) -> Tensor:
        """The states of all units when the solver has stopped.

        Args:
            x (Tensor): Images, ``[B, I, H, W]`` or ``[I, H, W]``.

        Returns:
            Tensor: ``[B, N, H, W]`` or ``[N, H, W]``: the inputs, the hidden states, the outputs as
            :meth:`forward` returns them.
        """
        return self._compute(SynchronousConv2d._states, x)

    def solve(self, x: Tensor, *, observe: Callable[[Tensor], None] | None = None) -> Solution:
        """The states that :meth:`states` returns, and how well the units agree.

        Args:
            x (Tensor): Images, ``[B, I, H, W]`` or ``[I, H, W]``.
            observe (Callable, optional): Told the relative residuals of all images, ``[B]``, after
                every update. An equilibrium that is not reached is then no error, and no warning.
                (default: none)

        Returns:
            Solution: As of :meth:`SynchronousGraph.solve`, with an image as a sample: ``states``
            ``[B, N, H, W]``, and ``residual``, ``steps`` and ``converged`` of every image.
        """
        check_observe(observe)
        return self._compute(SynchronousConv2d._solution, x, observe)

    def step(self, states: Tensor) -> Tensor:
        """One synchronous update of all units, as one convolution over all of them.

        It is the definition that :meth:`forward` computes faster. It has no dropout.

        Args:
            states (Tensor): States of all units, ``[B, N, H, W]`` or ``[N, H, W]``; inputs are kept
                as they are.

        Returns:
            Tensor: The next states, in the same shape.
        """
        if self._has_autocast(states):
            return self._without_autocast(SynchronousConv2d.step, states)
        self._check_whole()
        num_units, num_inputs = self.graph.num_units, self.graph.num_inputs
        check_images("states", states, num_units, "units", self._stored)
        source, target = self.graph.edge_index.to(states.device)
        weight = self.scaled_weight()
        kernels = weight.new_zeros(num_units - num_inputs, num_units, *self.row_shape)
        kernels = kernels.index_put((target - num_inputs, source), weight)
        images = states.reshape(-1, *states.shape[-3:])
        sums = F.conv2d(images, kernels, self.bias, padding=self.kernel_size // 2)
        _, _, height, width = images.shape
        update = self.dynamics.update(
            self._convolutions().at(height, width).recurrence, num_positions=height * width
        )
        following = update.next(as_columns(sums), as_columns(images[:, num_inputs:]))
        after = _as_images(following, sums.shape, like=images)
        return torch.cat([images[:, :num_inputs], after], dim=1).reshape(states.shape)

    def _prepared(
        self,
        x: Tensor,
        like: Tensor,
        *data: Any,  # noqa: ARG002
        observe: Callable[[Tensor], None] | None = None,
    ) -> Prepared:
        self._check_whole()
        check_images("x", x, self.graph.num_inputs, "inputs", like)
        images = x if x.dim() == 4 else x.unsqueeze(0)
        batch, _, height, width = images.shape
        operators = self._convolutions().at(height, width)
        num_positions = height * width
        mask = self.dynamics.draw_mask(batch, like)
        if mask is not None:
            mask = mask.repeat_interleave(num_positions, dim=0)
        update = self.dynamics.update(operators.recurrence, mask, num_positions=num_positions)
        return self._prepare(
            as_columns(images),
            update,
            operators,
            self._scaled_weight(self._update(), like.dtype)[1],
            num_positions=num_positions,
            observe=observe,
        )

    def _read(self, prepared: Prepared, states: Tensor, x: Tensor) -> Tensor:
        shape = *x.shape[:-3], self.graph.num_outputs, *x.shape[-2:]
        outputs = _as_images(prepared.read(states), shape, like=x)
        bias = prepared.output_bias
        # The sum comes last: fully_shard, for one, wants outputs that are no views.
        return outputs.clone() if bias is None else outputs + bias.view(-1, 1, 1)

    def _all_states(self, x: Tensor, states: Tensor, outputs: Tensor) -> Tensor:
        height, width = x.shape[-2:]
        num_hidden = self.graph.num_hidden
        shape = *x.shape[:-3], num_hidden, height, width
        hidden = _as_images(states[: num_hidden * height * width], shape, like=x)
        return torch.cat([x, hidden, outputs], dim=-3)

    def _needed_memory(self, x: Tensor) -> str:
        num_units, num_updates = self._wiring().num_iterated, self.solver.num_updates
        gib = num_units * x.numel() / x.size(-3) * self.weight.element_size() / 2**30
        kept = f", of which {self.solver!r} keeps {num_updates} for the gradients"
        return (
            f"Expected memory for the states of {num_units} units on images {list(x.shape)} (got"
            f" too little): they are {gib:.3g} GiB at a time{kept if num_updates else ''}. Use"
            f" smaller batches, pooling before the layer, Unrolled(checkpoint=True) or an"
            f" Equilibrium, which keep less."
        )

    def _update(self) -> Update:
        norm = self._convolutions().norm
        length = norm.num_targets // max(1, self._wiring().num_iterated)
        return self.dynamics.update(norm, num_positions=length)

    def _build(self) -> None:
        self._convolutions()

    def _convolutions(self) -> ConvolutionWiring:
        kernel_size, wiring = self.kernel_size, self._wiring()
        return self.graph.cached(
            ("convolution", self.device, kernel_size),
            lambda: ConvolutionWiring(wiring, kernel_size, self.device),
        )

    def extra_repr(self) -> str:
        """The settings, for ``repr``."""
        bias = "" if self.bias is not None else ", bias=False"
        return f"kernel_size={self.kernel_size}, {super().extra_repr()}{bias}"


def _as_images(columns: Tensor, shape: Sequence[int], like: Tensor) -> Tensor:
    """States ``[units * P, B]`` as images, with channels last in memory where others have them so.

    As convolutions, normalizations and pooling of torch leave it.
    """
    images = columns.T.reshape(shape)
    if like.dim() == 4 and not like.is_contiguous():
        _, channels, _, width = like.shape
        if like.stride()[1:] == (1, width * channels, channels):
            return images.contiguous(memory_format=torch.channels_last)
    return images


def _checked_kernel_size(kernel_size: object) -> int:
    if isinstance(kernel_size, Solver):
        raise TypeError(
            f"Expected kernel_size to be an int (got {kernel_size!r}). Use solver={kernel_size!r}."
        )
    if isinstance(kernel_size, tuple | list) and all(one == kernel_size[0] for one in kernel_size):
        kernel_size = kernel_size[0] if kernel_size else 0
    if isinstance(kernel_size, tuple | list):
        raise ValueError(
            f"Expected kernels as wide as high (got {kernel_size}). Give one odd number."
        )
    size = as_int("kernel_size", kernel_size, smallest=1, largest=1023)
    if size % 2 == 0:
        raise ValueError(
            f"Expected an odd kernel_size (got {size}): with an even one, images would change their"
            f" size at every update. Use {size + 1}."
        )
    return size
