"""Who refers to a layer or a model and does not own it: what its copies refer to."""

import copy
import pickle
from collections import namedtuple

import pytest
import torch
from sklearn.base import clone
from torch.nn.functional import mse_loss

from pyg_modules import PartitionRegularizer, PartitionSchedule, SynchronousGraph, UnitGraph
from pyg_modules.partition import Units
from pyg_modules.train import ModularClassifier, ModularRegressor, Probe
from pyg_modules.train.lightning import LitModular
from tests.strategies import generator, normal

Pair = namedtuple("Pair", ["first", "second"])


def new_layer():
    layer = SynchronousGraph(UnitGraph.complete(2, 6, 1), dtype=torch.float64)
    layer.reset_parameters(generator(0))
    return layer


def new_probe(layer):
    return Probe(layer, (normal(8, 2), normal(8, 1)), steps=1, loss=mse_loss)


REFERRING = {
    "regularizer": (lambda layer: PartitionRegularizer(layer, 2), lambda made: made.layer),
    "units": (Units, lambda made: made.layer),
    "probe": (new_probe, lambda made: made.layer),
    "schedule": (
        lambda layer: PartitionSchedule(PartitionRegularizer(layer, 2), epochs=4),
        lambda made: made.regularizer.layer,
    ),
    "schedule's probe": (
        lambda layer: PartitionSchedule(
            PartitionRegularizer(layer, 2), epochs=4, probe=new_probe(layer)
        ),
        lambda made: made.probe.layer,
    ),
}
referring = pytest.mark.parametrize(("make", "layer_of"), REFERRING.values(), ids=REFERRING)


@referring
def test_a_deep_copy_alone_refers_to_the_same_layer(make, layer_of):
    layer = new_layer()
    copied = copy.deepcopy(copy.deepcopy(make(layer)))
    assert layer_of(copied) is layer
    assert layer_of(copy.deepcopy([copied, make(layer)])[0]) is layer


@referring
@pytest.mark.parametrize("container", [lambda *both: both, lambda *both: list(both), Pair])
@pytest.mark.parametrize("is_layer_first", [True, False])
def test_a_deep_copy_with_the_layer_refers_to_its_copy(make, layer_of, container, is_layer_first):
    layer = new_layer()
    both = [layer, make(layer)] if is_layer_first else [make(layer), layer]
    copies = copy.deepcopy(copy.deepcopy(container(*both)))
    copied, made = copies if is_layer_first else reversed(copies)
    assert layer_of(made) is copied
    assert copied is not layer


@referring
def test_a_pickle_has_the_layer_in_it(make, layer_of):
    layer = new_layer()
    alone = layer_of(pickle.loads(pickle.dumps(make(layer))))
    assert torch.equal(alone.weight, layer.weight)
    for both in ((layer, make(layer)), (make(layer), layer)):
        restored = pickle.loads(pickle.dumps(copy.deepcopy(both)))
        copied, made = restored if both[0] is layer else reversed(restored)
        assert layer_of(made) is copied


def test_a_copied_regularizer_penalises_the_layer_in_training():
    layer = new_layer()
    regularizer = copy.deepcopy(PartitionRegularizer(layer, 2))
    regularizer().backward()
    assert layer.weight.grad.abs().sum() > 0


def test_a_copied_probe_measures_the_model_as_it_is_now():
    layer = new_layer()
    probe = new_probe(layer)
    copied = copy.deepcopy(probe)
    before = probe(None)
    with torch.no_grad():
        layer.weight.mul_(2)
    assert copied(None) == probe(None) != before


@pytest.mark.parametrize("order", ["model first", "regularizer first"])
def test_a_model_that_has_both_is_copied_as_one(order):
    layer = new_layer()
    modules = [layer, PartitionRegularizer(layer, 2)]
    model = torch.nn.ModuleList(modules if order == "model first" else modules[::-1])
    copied = list(copy.deepcopy(model))
    made, regularizer = copied if order == "model first" else copied[::-1]
    assert regularizer.layer is made
    regularizer().backward()
    assert made.weight.grad is not None
    assert layer.weight.grad is None
    lit = copy.deepcopy(LitModular(layer, mse_loss, regularizer=PartitionRegularizer(layer, 2)))
    assert lit.regularizer.layer is lit.model


@pytest.mark.parametrize("estimator_class", [ModularClassifier, ModularRegressor])
def test_a_clone_of_an_estimator_shares_nothing(estimator_class):
    x, y = normal(20, 3).numpy(), (torch.arange(20) % 2).numpy()
    fitted = estimator_class(2, num_hidden=4, epochs=2, finetune_epochs=1, random_state=0).fit(x, y)
    cloned = clone(fitted)
    assert cloned.get_params() == fitted.get_params()
    assert not hasattr(cloned, "network_")
    assert copy.deepcopy(fitted).network_ is not fitted.network_
