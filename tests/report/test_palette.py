from itertools import combinations

import numpy
import pytest
from matplotlib.colors import to_rgb

from pyg_modules.report.palette import CATEGORIES, NEGATIVE, POSITIVE, SHARED_UNIT, module_color

# Colours as all see them, and without one kind of cones: Machado, Oliveira and Fernandes, 2009.
VISIONS = {
    "all cones": numpy.eye(3),
    "protanopia": numpy.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": numpy.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": numpy.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}


def lab(color, vision):
    """CIELAB of a colour in sRGB, as someone with this vision sees it."""
    rgb = numpy.array(to_rgb(color))
    rgb = numpy.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_xyz = numpy.array(
        [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.0721750],
            [0.0193339, 0.1191920, 0.9503041],
        ]
    )
    xyz = to_xyz @ numpy.clip(vision @ rgb, 0, 1) / [0.95047, 1, 1.08883]
    x, y, z = numpy.where(xyz > 0.008856, numpy.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return numpy.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("vision", VISIONS)
def test_colors_stay_apart_from_each_other_and_from_the_page(vision):
    seen = {
        color: lab(color, VISIONS[vision]) for color in (*CATEGORIES, POSITIVE, NEGATIVE, "#FFFFFF")
    }
    # 2.3 is the smallest difference that one sees side by side; the closest two of the palette of
    # Okabe and Ito are 16 apart.
    for one, other in combinations(seen, 2):
        assert numpy.linalg.norm(seen[one] - seen[other]) > 16, (one, other)


def test_modules_take_the_categories_in_turn():
    assert [module_color(k) for k in range(12)] == list(CATEGORIES)
    assert len(set(CATEGORIES)) == 12
    assert module_color(12) == CATEGORIES[0]
    assert module_color(-1) == SHARED_UNIT
    assert SHARED_UNIT not in CATEGORIES
