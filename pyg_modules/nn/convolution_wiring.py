from __future__ import annotations

import torch

from pyg_modules.nn.wiring import Operators, Wiring
from pyg_modules.ops.convolution_operator import ConvolutionOperator, TorusOperator


class ConvolutionWiring:
    """The operators of convolutions over the four sets of edges of a unit graph.

    Args:
        wiring (Wiring): The sets.
        kernel_size (int): The width of the kernels.
        device (torch.device): Where the weights are.

    Attributes:
        norm: The operator whose norm bounds that of the recurrence on images of any size.
    """

    def __init__(self, wiring: Wiring, kernel_size: int, device: torch.device) -> None:
        # Units are permuted where no output feeds back, and no row stays linear.
        can_permute = not wiring.has_feedback

        def build(kind: type[ConvolutionOperator], name: str) -> ConvolutionOperator:
            edges, groups = wiring.edge_sets[name], can_permute and name == "recurrence"
            return kind.build(edges, kernel_size, groups=groups).to(device)

        # What is built in inference mode could never be trained with.
        with torch.inference_mode(False):
            self._operators = [build(ConvolutionOperator, name) for name in wiring.edge_sets]
            self.norm = build(TorusOperator, "recurrence")

    def at(self, height: int, width: int) -> Operators:
        """The operators for images of this size."""
        return Operators(*(one.on_images(height, width) for one in self._operators))
