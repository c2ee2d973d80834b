import matplotlib
import numpy
import pytest
import torch
from matplotlib.figure import Figure
from sklearn.metrics import adjusted_rand_score

from pyg_modules.report import plot_agreement

matplotlib.use("Agg")
PARTITIONS = [
    torch.tensor([-1, 0, 0, 1, 1, 2, 2]),
    torch.tensor([-1, 1, 1, 2, 2, 0, 0]),  # The same, with other numbers.
    torch.tensor([-1, 0, 1, 0, 1, 0, 1]),  # Worse than by chance.
    torch.tensor([-1, 0, 0, 0, 1, 1, 1]),
]


def test_cells_are_the_adjusted_rand_index_of_every_pair():
    ax = Figure().subplots()
    assert plot_agreement(PARTITIONS, ax=ax) is ax
    expected = [
        [adjusted_rand_score(one[1:].numpy(), other[1:].numpy()) for other in PARTITIONS]
        for one in PARTITIONS
    ]
    (image,) = ax.images
    numpy.testing.assert_allclose(image.get_array(), expected)
    assert image.get_array()[0, 1] == 1
    assert numpy.min(expected) < 0
    assert image.get_clim() == (numpy.min(expected), 1)
    numbers = {text.get_position(): text.get_text() for text in ax.texts}
    for row in range(4):
        for column in range(4):
            assert numbers[column, row] == f"{expected[row][column]:.2f}"


def test_the_scale_starts_at_chance():
    ax = Figure().subplots()
    plot_agreement(PARTITIONS[:2], ax=ax)
    assert ax.images[0].get_clim() == (0, 1)


@pytest.mark.parametrize(
    ("partitions", "match"),
    [
        (PARTITIONS[:1], r"at least two partitions \(got 1\)"),
        ([PARTITIONS[0], PARTITIONS[1][:6]], "same units"),
    ],
)
def test_what_cannot_be_compared_is_refused(partitions, match):
    with pytest.raises(ValueError, match=match):
        plot_agreement(partitions, ax=Figure().subplots())
