"""Units on images: which of two shapes is it, and where do the modules look?"""

import torch
from torch import Tensor, nn

from pyg_modules import SynchronousConv2d, UnitGraph, Unrolled, split
from pyg_modules.modules import input_attribution
from pyg_modules.train import accuracy, organise


def shapes(num_images: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Frames and crosses of 5 x 5 pixels, at random places of noisy images of 12 x 12."""
    frame, cross = torch.zeros(5, 5), torch.zeros(5, 5)
    frame[0], frame[-1], frame[:, 0], frame[:, -1] = 1, 1, 1, 1
    cross[2], cross[:, 2] = 1, 1
    y = torch.randint(2, (num_images,), generator=generator)
    x = 0.3 * torch.randn(num_images, 1, 12, 12, generator=generator)
    corners = torch.randint(8, (num_images, 2), generator=generator).tolist()
    for image, label, (row, column) in zip(x, y, corners, strict=True):
        image[0, row : row + 5, column : column + 5] += cross if label else frame
    return x, y


def main() -> float:
    """The accuracy of two independent modules on images that were not seen."""
    torch.manual_seed(0)
    rand = torch.Generator().manual_seed(0)
    train, (test_x, test_y) = shapes(400, rand), shapes(200, rand)

    layer = SynchronousConv2d(UnitGraph.complete(1, 12, 4), solver=Unrolled(steps=3))
    head = nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    organised = organise(
        nn.Sequential(layer, head), train, 2, epochs=20, finetune_epochs=10, learning_rate=0.02
    )

    parts = split(organised.layer)
    seen = input_attribution(parts, test_x[:50], head=head)
    score = accuracy(organised.network, test_x, test_y)
    print(f"accuracy on {len(test_x)} images that were not seen: {score:.2f}")
    print(f"modules of {organised.module_sizes} units look at images of {list(seen.shape[1:])}")
    return score


if __name__ == "__main__":
    main()
