import pytest
import torch

from pyg_modules.partition import check_labels


def test_the_number_of_modules_is_counted():
    assert check_labels(torch.tensor([-1, 2, 0, 1, 1]), 5) == 3
    assert check_labels(torch.tensor([-1, -1]), 2) == 0
    assert check_labels(torch.tensor([0], dtype=torch.int32), 1) == 1


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        ([0, 0.5, 1], TypeError, r"LongTensor \(got list\).*torch.as_tensor"),
        (torch.tensor([0.0, 1, 0]), TypeError, r"got torch.float32"),
        (torch.tensor([0, 1]), ValueError, r"\[3\], one per unit.*got \[2\]"),
        (torch.tensor([[0], [1], [0]]), ValueError, r"got \[3, 1\]"),
        (torch.tensor([0, -2, 1]), ValueError, r">= -1 \(got -2\)"),
        (torch.tensor([0, 2, -1]), ValueError, r"0..K-1.*got the modules \[0, 2\].*Renumber"),
        (torch.tensor([1, 1, -1]), ValueError, r"got the modules \[1\]"),
    ],
)
def test_bad_labels_are_refused(labels, error, message):
    with pytest.raises(error, match=message):
        check_labels(labels, 3)
