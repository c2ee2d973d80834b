"""Reading a trained stack of convolutions: its channels, and the kernels between them."""

from __future__ import annotations

from collections.abc import Iterator
from types import MethodType
from typing import NamedTuple, NoReturn

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd
from torch.nn.parameter import is_lazy
from torch.nn.utils.fusion import fuse_conv_bn_weights

from pyg_modules.graph.unit_graph import UnitGraph
from pyg_modules.nn.messages import has_forward_hooks
from pyg_modules.ops.activation import ACTIVATIONS, activation_of

_KNOWN = "Conv2d, activations between them, BatchNorm2d after them, Dropout and Identity"
_LEFT_OUT = nn.Identity | _DropoutNd
_REASONS = (
    (("Pool", "Upsample", "Unfold", "Fold", "Pad"), "it changes the size of images"),
    (("Norm",), "it divides by what it finds in each image, and a unit adds up"),
    (("Softmax", "Attention"), "it multiplies channels by each other"),
    (("Linear", "Flatten"), "it is none of images: leave the head outside"),
    (("Transpose",), "only Conv2d keeps channels and kernels as the layer does"),
    (("PReLU", "LeakyReLU"), "its slope is none of the activations with a name"),
)


class ConvolutionParts(NamedTuple):
    """A stack of convolutions as a unit graph.

    Args:
        graph (UnitGraph): Its units and edges.
        weight (Tensor): In the order of the edges, ``[E, k, k]``.
        bias (Tensor, optional): Of hidden and output units, ``[N - I]``.
        activation (list of str): Of every hidden unit.
        num_levels (int): How many updates lead from the inputs to the last hidden unit.
    """

    graph: UnitGraph
    weight: Tensor
    bias: Tensor | None
    activation: list[str]
    num_levels: int


class _Level:
    """A convolution, and the activation of its channels; in double precision."""

    def __init__(self, conv: nn.Conv2d) -> None:
        self.weight = conv.weight.detach().double()
        self.bias = None if conv.bias is None else conv.bias.detach().double()
        self.groups = conv.groups
        self.num_channels = conv.out_channels
        self.activation: str | None = None

    def fold(self, norm: nn.BatchNorm2d) -> None:
        """Multiply and add what ``norm`` does in evaluation."""
        assert norm.running_mean is not None
        assert norm.running_var is not None
        weight, bias = fuse_conv_bn_weights(
            self.weight,
            self.bias,
            norm.running_mean.double(),
            norm.running_var.double(),
            norm.eps,
            norm.weight,
            norm.bias,
        )
        self.weight, self.bias = weight.detach(), bias.detach()


class ConvolutionReader:
    """Reads a stack of convolutions, one module after the other.

    Args:
        model (torch.nn.Module): The stack; see :meth:`SynchronousConv2d.from_conv`.
    """

    def __init__(self, model: nn.Module) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(
                f"Expected model to be a Module (got {type(model).__name__})."
                " Pass the network, e.g. torch.nn.Sequential(...)."
            )
        self._model = model

    @torch.no_grad()
    def read(self) -> ConvolutionParts:
        """The stack as a unit graph.

        Raises:
            ValueError: If a module in it is none that a unit graph computes.
        """
        levels, num_inputs, like = self._levels()
        counts = [num_inputs, *(level.num_channels for level in levels)]
        starts = [sum(counts[:number]) for number in range(len(counts) + 1)]
        size = max(max(level.weight.shape[-2:]) for level in levels)
        edges, kernels = [], []
        for number, level in enumerate(levels):
            num_targets, inside = level.weight.shape[:2]
            target = torch.arange(num_targets, device="cpu").repeat_interleave(inside)
            group = target // (num_targets // level.groups)
            source = torch.arange(inside, device="cpu").repeat(num_targets) + group * inside
            edges.append(torch.stack([source + starts[number], target + starts[number + 1]]))
            high, wide = ((size - width) // 2 for width in level.weight.shape[-2:])
            kernels.append(F.pad(level.weight, [wide, wide, high, high]).flatten(0, 1))
        bias = None
        if any(level.bias is not None for level in levels):
            bias = torch.cat([_bias_of(level) for level in levels]).to(like.dtype)
        return ConvolutionParts(
            UnitGraph(torch.cat(edges, dim=1), starts[-1], num_inputs, counts[-1]),
            torch.cat(kernels).to(like.dtype),
            bias,
            [
                level.activation or "identity"
                for level in levels[:-1]
                for _ in range(len(level.weight))
            ],
            len(levels) - 1,
        )

    def _levels(self) -> tuple[list[_Level], int, Tensor]:
        """All convolutions, the number of inputs, and a weight as it is stored."""
        levels: list[_Level] = []
        first: nn.Conv2d | None = None
        can_fold = False
        for name, module in self._model.named_modules():
            self._check_plain(name, module)
        for name, module in _flat(self._model, ""):
            follows_convolution = bool(levels) and levels[-1].activation is None
            if isinstance(module, nn.Conv2d):
                self._check_convolution(name, module)
                if levels and levels[-1].num_channels != module.in_channels:
                    self._refuse(
                        name,
                        module,
                        f"it has {module.in_channels} channels, after {levels[-1].num_channels}",
                    )
                first, can_fold = first or module, True
                levels.append(_Level(module))
            elif isinstance(module, nn.BatchNorm2d):
                if module.running_mean is None:
                    self._refuse(name, module, "it divides by what it finds in each batch")
                if not can_fold:
                    self._refuse(
                        name,
                        module,
                        "only right after a Conv2d it is a part of it; elsewhere what it adds is"
                        " missing in the zeros around the image",
                    )
                levels[-1].fold(module)
            elif isinstance(module, _LEFT_OUT):
                continue
            else:
                activation, can_fold = self._activation(name, module), False
                if not follows_convolution:
                    self._refuse(name, module, "an activation follows a Conv2d")
                levels[-1].activation = activation
        if first is None:
            raise ValueError(
                f"Expected a stack of {_KNOWN} (got no Conv2d)."
                " Take SynchronousGraph.from_module for a network without."
            )
        if levels[-1].activation is not None:
            raise ValueError(
                f"Expected a Conv2d at the end (got {levels[-1].activation!r}): outputs of a unit"
                f" graph are linear. Leave it out, and put it after the layer."
            )
        return levels, first.in_channels, first.weight

    def _activation(self, name: str, module: nn.Module) -> str:
        known = tuple(activation.module for activation in ACTIVATIONS.values())
        if not isinstance(module, known):
            self._refuse(name, module)
        return activation_of(module)

    def _check_plain(self, name: str, module: nn.Module) -> None:
        if any(is_lazy(value) for value in (*module.parameters(), *module.buffers())):
            self._refuse(name, module, "it does not know its sizes yet: run it once")
        if has_forward_hooks(module):
            self._refuse(name, module, "it has hooks, which may compute something else")
        is_known = isinstance(module, nn.Sequential | nn.Conv2d | nn.BatchNorm2d | _LEFT_OUT)
        has_own = is_known and not type(module).forward.__module__.startswith("torch.nn.modules.")
        if isinstance(module, nn.Conv2d):
            has_own |= module._conv_forward != MethodType(nn.Conv2d._conv_forward, module)
        if "forward" in vars(module) or has_own:
            self._refuse(name, module, "it has a forward of its own")

    def _check_convolution(self, name: str, conv: nn.Conv2d) -> None:
        if conv.stride != (1, 1):
            self._refuse(name, conv, "with a stride it changes the size of images: pool after it")
        if conv.dilation != (1, 1):
            self._refuse(name, conv, "a kernel with gaps is none of the layer")
        if any(width % 2 == 0 for width in conv.kernel_size):
            self._refuse(name, conv, "a kernel of even width has no middle")
        if conv.padding_mode != "zeros":
            self._refuse(name, conv, "the layer has zeros around the image")
        same = tuple(width // 2 for width in conv.kernel_size)
        if conv.padding not in ("same", same) and not (conv.padding == "valid" and same == (0, 0)):
            self._refuse(name, conv, f"without padding={same} it changes the size of images")

    def _refuse(self, name: str, module: nn.Module, reason: str | None = None) -> NoReturn:
        kind = type(module).__name__
        if reason is None:
            found = (why for names, why in _REASONS if any(part in kind for part in names))
            reason = next(found, "it is none of them")
        where = f" at {name!r}" if name else ""
        raise ValueError(
            f"Expected a stack of {_KNOWN} (got {module}{where}): {reason}. Convert the parts"
            f" before and after it, and leave it between them."
        )


def _bias_of(level: _Level) -> Tensor:
    return level.weight.new_zeros(level.num_channels) if level.bias is None else level.bias


def _flat(module: nn.Module, name: str) -> Iterator[tuple[str, nn.Module]]:
    """The modules of a stack, in their order, with the names of their places."""
    if not isinstance(module, nn.Sequential):
        yield name, module
        return
    # named_children() leaves out what was there before, as an activation that is used twice.
    for part, child in zip(module._modules, module, strict=True):
        yield from _flat(child, f"{name}.{part}" if name else part)
