import warnings
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pyg_modules.train import fit
from pyg_modules.train.checked_loss import CheckedLoss

CLASSES = torch.tensor([0, 2, 1, 0])
CROSS_ENTROPIES = [
    F.cross_entropy,
    nn.CrossEntropyLoss(),
    partial(F.cross_entropy, label_smoothing=0.1),
]
COMPARING = [
    F.mse_loss,
    nn.MSELoss(),
    F.l1_loss,
    F.smooth_l1_loss,
    nn.HuberLoss(),
    F.binary_cross_entropy_with_logits,
    lambda outputs, targets: (outputs - targets).square().mean(),
]


def fit_linear(y, loss, num_outputs=3, x=None):
    x = torch.zeros(4, 2) if x is None else x
    model = nn.Linear(2, num_outputs)
    before = model.weight.detach().clone()
    try:
        return fit(model, (x, y), epochs=1, seed=0, loss=loss)
    except (TypeError, ValueError):
        assert torch.equal(model.weight, before)
        raise


@pytest.mark.parametrize("loss", CROSS_ENTROPIES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.int32, torch.bool])
def test_classes_of_another_type_are_refused(loss, dtype):
    with pytest.raises(TypeError, match=rf"torch.int64 .*\(got {dtype}\). Use y.long\(\)"):
        fit_linear(CLASSES.to(dtype), loss)


@pytest.mark.parametrize("loss", CROSS_ENTROPIES)
@pytest.mark.parametrize("wrong", [-1, 3, 7])
def test_classes_out_of_range_are_refused(loss, wrong):
    with pytest.raises(ValueError, match=rf"classes from 0 to 2, one per output \(got {wrong}\)"):
        fit_linear(torch.tensor([0, wrong, 1, 0]), loss)


def test_a_column_of_classes_is_refused():
    with pytest.raises(ValueError, match=r"classes \[4\] for outputs \[4, 3\] \(got \[4, 1\]\)"):
        fit_linear(CLASSES[:, None], F.cross_entropy)


def test_a_class_out_of_range_in_a_later_batch_is_named_where_it_fails():
    x, y = torch.zeros(4, 2), torch.tensor([0, 1, 2, 3])
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), 1)
    with pytest.raises(ValueError, match=r"classes from 0 to 2.*got 3"):
        fit(nn.Linear(2, 3), loader, epochs=1, seed=0)


@pytest.mark.parametrize(
    ("loss", "targets"),
    [
        (F.cross_entropy, CLASSES),
        (F.cross_entropy, CLASSES.to(torch.uint8)),
        (F.cross_entropy, torch.tensor([0, -100, 2, 1])),
        (nn.CrossEntropyLoss(ignore_index=9), torch.tensor([0, 9, 2, 1])),
        (partial(F.cross_entropy, ignore_index=-1), torch.tensor([0, -1, 2, 1])),
        (F.cross_entropy, torch.full((4, 3), 1 / 3)),
        (F.mse_loss, torch.ones(4, 3)),
        (F.mse_loss, torch.ones(4, 3, dtype=torch.long)),
        (F.binary_cross_entropy_with_logits, torch.ones(4, 3)),
        (lambda outputs, targets: F.cross_entropy(outputs, targets.long()), CLASSES.float()),
    ],
)
def test_targets_that_a_loss_takes_are_let_through(loss, targets):
    assert len(fit_linear(targets, loss)) == 1


def test_classes_of_pixels_are_let_through():
    outputs = torch.zeros(2, 3, 5, 5, requires_grad=True)
    CheckedLoss(F.cross_entropy)(outputs, torch.full((2, 5, 5), 2))
    with pytest.raises(ValueError, match=r"from 0 to 2.*got 3"):
        CheckedLoss(F.cross_entropy)(outputs, torch.full((2, 5, 5), 3))


@pytest.mark.parametrize("loss", COMPARING)
def test_a_vector_against_a_column_is_refused(loss):
    with pytest.raises(ValueError, match=r"targets \[4, 1\].*\(got \[4\]\).*y.reshape\(-1, 1\)"):
        fit_linear(torch.ones(4), loss, num_outputs=1)
    model = nn.Sequential(nn.Linear(2, 1), nn.Flatten(0))
    with pytest.raises(ValueError, match=r"targets \[4\], .*\(got \[4, 1\]\).*y.reshape\(-1\)"):
        fit(model, (torch.zeros(4, 2), torch.ones(4, 1)), epochs=1, seed=0, loss=loss)


def test_validation_targets_are_checked_too():
    pair = torch.zeros(4, 2), torch.ones(4, 1)
    with pytest.raises(ValueError, match=r"targets \[3, 1\]"):
        fit(
            nn.Linear(2, 1),
            pair,
            epochs=1,
            seed=0,
            loss=F.mse_loss,
            validation_data=(torch.zeros(3, 2), torch.ones(3)),
        )


@pytest.mark.parametrize("loss", [F.binary_cross_entropy_with_logits, nn.HuberLoss()])
def test_targets_that_are_no_floats_are_refused_where_floats_are_needed(loss):
    with pytest.raises(TypeError, match=r"torch.float32.*got torch.int64.*y.to\(torch.float32\)"):
        fit_linear(torch.ones(4, 3, dtype=torch.long), loss)


@pytest.mark.parametrize("loss", ["mse", nn.MSELoss, None])
def test_what_cannot_be_called_is_no_loss(loss):
    with pytest.raises(TypeError, match="a loss that can be called"):
        fit_linear(CLASSES, loss)


def test_an_error_of_the_loss_itself_is_not_hidden():
    def broken(_outputs, _targets):
        raise RuntimeError("it is broken")

    with pytest.raises(RuntimeError, match="it is broken"):
        fit_linear(CLASSES, broken)


@pytest.mark.parametrize("loss", CROSS_ENTROPIES)
@pytest.mark.parametrize(
    ("targets", "num_outputs"),
    [
        (torch.ones(4, 1), 1),
        (torch.tensor([[2.0, -2.0, 1.0]] * 4), 3),
        (torch.full((4, 3), 0.5), 3),
    ],
)
def test_targets_that_are_no_probabilities_are_refused(loss, targets, num_outputs):
    with pytest.raises(ValueError, match=r"add up to 1.*name the loss"):
        fit_linear(targets, loss, num_outputs)


def test_whole_numbers_of_the_shape_of_the_outputs_are_no_probabilities():
    with pytest.raises(TypeError, match=r"got torch.int64.*y.argmax\(1\)"):
        fit_linear(F.one_hot(CLASSES), F.cross_entropy)


class OwnCrossEntropy(nn.CrossEntropyLoss):
    pass


@pytest.mark.parametrize(
    "loss", [OwnCrossEntropy(), lambda outputs, targets: F.cross_entropy(outputs, targets)]
)
def test_a_loss_of_torch_is_checked_wherever_it_is_called(loss):
    with pytest.raises(TypeError, match=r"Use y.long\(\)"):
        fit_linear(CLASSES.int(), loss)
    with pytest.raises(ValueError, match=r"classes from 0 to 2.*got 7"):
        fit_linear(torch.full((4,), 7), loss)


@pytest.mark.parametrize(
    "loss",
    [
        F.mse_loss,
        nn.PoissonNLLLoss(),
        nn.SoftMarginLoss(),
        partial(F.l1_loss, reduction="sum"),
        lambda outputs, targets: 2 * F.mse_loss(outputs, target=targets),
    ],
)
@pytest.mark.parametrize(("shape", "num_outputs"), [((4, 1), 3), ((4, 3), 1), ((4,), 4)])
def test_targets_that_would_be_broadcast_are_refused(loss, shape, num_outputs):
    with pytest.raises(ValueError, match=r"Expected targets \[4, \d\], as the outputs"):
        fit_linear(torch.ones(shape), loss, num_outputs)


@pytest.mark.parametrize(
    "loss",
    [
        nn.CrossEntropyLoss(reduction="sum"),
        partial(F.cross_entropy, reduction="sum"),
        lambda outputs, targets: F.cross_entropy(outputs, targets, reduction="sum"),
    ],
)
def test_a_sum_over_the_samples_is_refused(loss):
    with pytest.raises(ValueError, match=r"a mean over the samples \(got .*Leave reduction out"):
        fit_linear(CLASSES, loss)


@pytest.mark.parametrize("change", [torch.Tensor.float, lambda y: y - 1.0])
def test_a_column_that_is_made_of_the_targets_is_not_broadcast(change):
    targets = torch.stack([CLASSES] * 3, dim=1)
    with pytest.raises(ValueError, match=r"Expected targets \[4, 1\], as the outputs \(got \[4\]"):
        fit_linear(targets, lambda o, t: F.mse_loss(o, change(t[:, 0])), num_outputs=1)


def test_losses_of_single_samples_may_be_compared_in_a_transformation():
    def loss(outputs, targets):
        return torch.vmap(lambda o, t: F.mse_loss(o, t.mean()))(outputs, targets).mean()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of torch: the mean is compared with each.
        assert len(fit_linear(torch.ones(4, 3), loss)) == 1


def test_what_is_compared_with_no_targets_is_left_to_torch():
    def loss(outputs, targets):
        spread = F.mse_loss(outputs.std(0), torch.ones(()))
        pairs = F.mse_loss(outputs[:, None], outputs[None].detach())
        return F.mse_loss(outputs, targets) + spread + pairs

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of torch.
        assert len(fit_linear(torch.ones(4, 3), loss)) == 1


def test_a_sum_that_becomes_a_mean_is_let_through():
    def mean(outputs, targets):
        return F.cross_entropy(outputs, targets, reduction="sum") / len(targets)

    assert len(fit_linear(CLASSES, mean)) == 1


@pytest.mark.parametrize(
    ("loss", "y"),
    [
        (lambda outputs, targets: F.mse_loss(outputs.squeeze(1), targets), torch.ones(4)),
        (lambda outputs, targets: (outputs * targets[:, None]).mean(), torch.ones(4)),
        (lambda outputs, targets: (targets @ outputs).mean(), torch.ones(4)),
    ],
)
def test_a_loss_that_brings_shapes_together_itself_is_let_through(loss, y):
    assert len(fit_linear(y, loss, num_outputs=1)) == 1


@pytest.mark.parametrize(
    ("loss", "dtype"),
    [
        (F.huber_loss, torch.float64),
        (nn.HuberLoss(), torch.float16),
        (F.l1_loss, torch.bool),
        (nn.SoftMarginLoss(), torch.bool),
        (lambda outputs, targets: F.huber_loss(outputs, targets), torch.long),
    ],
)
def test_targets_of_a_dtype_that_a_loss_does_not_take_are_refused(loss, dtype):
    with pytest.raises(TypeError, match=rf"got {dtype}.*y.to\(torch.float32\), or y.astype"):
        fit_linear(torch.ones(4, 3, dtype=dtype), loss)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_targets_of_another_dtype_that_torch_promotes_are_let_through(dtype):
    assert len(fit_linear(torch.ones(4, 3, dtype=dtype), F.mse_loss)) == 1


@pytest.mark.parametrize(
    "loss",
    [
        nn.CrossEntropyLoss(reduction="none"),
        lambda outputs, targets: F.cross_entropy(outputs, targets).item(),
        lambda outputs, targets: (F.cross_entropy(outputs, targets), 1),
        lambda outputs, targets: F.cross_entropy(outputs, targets).detach(),
    ],
)
def test_a_loss_that_returns_no_scalar_with_a_gradient_is_refused(loss):
    with pytest.raises(TypeError, match="a loss that returns a scalar tensor"):
        fit_linear(CLASSES, loss)


@pytest.mark.parametrize("dtype", [torch.int64, torch.uint8])
def test_batches_count_by_the_weights_of_their_classes(dtype):
    loss = CheckedLoss(nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 4.0])))
    targets = torch.tensor([0, 2, 1], dtype=dtype)
    loss(torch.zeros(3, 3, requires_grad=True), targets)
    assert loss.weight(targets) == 7
    assert loss.weight(targets[:2]) == 5
