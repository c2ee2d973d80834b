import json

import numpy
import optuna
import pytest

from pyg_modules.structure import Topology, TopologySpace

SIZES = {"num_inputs": 6, "num_outputs": 3, "max_parameters": 600}


def test_all_that_is_chosen_is_in_the_space():
    space = TopologySpace(
        **{**SIZES, "max_parameters": (500, 600)},
        generators=("complete", "layered"),
        density=(0.2, 0.4),
        num_updates=(2, 3),
        activations=("relu", "tanh"),
        num_modules=(1, 2),
    )
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    found = [space.suggest(study.ask()) for _ in range(60)]
    for name in ("num_updates", "activation", "num_modules", "max_parameters"):
        values = {getattr(topology, name) for topology in found}
        allowed = {**space.to_dict(), "activation": ["relu", "tanh"]}[name]
        assert values == set(allowed)
    assert {topology.generator for topology in found} == {"complete", "layered"}
    for topology in found:
        assert (topology.density is None) == (topology.generator == "complete")
        assert topology.density is None or 0.2 <= topology.density <= 0.4
    # The trial is all that is needed to name it again.
    assert [space.topology(trial.params) for trial in study.trials] == found


def test_a_fixed_topology_is_a_space_too():
    space = TopologySpace(
        **SIZES,
        generators=("small_world",),
        density=(0.3, 0.3),
        num_updates=(4, 4),
        activations=("gelu",),
    )
    expected = Topology(
        **SIZES, generator="small_world", density=0.3, num_updates=4, activation="gelu"
    )
    assert space.suggest(optuna.create_study().ask()) == expected


def test_a_space_is_the_same_in_json_and_from_other_integers():
    space = TopologySpace(**SIZES, num_modules=(1, 2))
    assert TopologySpace(**json.loads(json.dumps(space.to_dict()))) == space
    other = TopologySpace(
        num_inputs=numpy.int64(6),
        num_outputs=numpy.int32(3),
        max_parameters=[numpy.int64(600)],
        num_modules=[numpy.int64(1), 2, 2],
        density=(numpy.float32(0.5) / 10 * 1, 0.5),
    )
    assert json.loads(json.dumps(other.to_dict()))["num_modules"] == [1, 2]


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"generators": ()}, ValueError, r"a choice at least in generators \(got none"),
        ({"activations": []}, ValueError, r"a choice at least in activations"),
        ({"num_modules": []}, ValueError, r"a choice at least in num_modules"),
        ({"max_parameters": []}, ValueError, r"a choice at least in max_parameters"),
        ({"generators": "complete"}, TypeError, r"generators to be a list of choices.*'complete'"),
        ({"num_modules": 4}, TypeError, r"num_modules to be a list of choices \(got 4"),
        ({"generators": ["complete", "star"]}, ValueError, r"generator to be one of.*got 'star'"),
        ({"activations": ["swish"]}, ValueError, r"activation to be one of"),
        ({"density": 0.1}, TypeError, r"density to be a pair, its bounds \(got 0.1"),
        ({"density": (0.5, 0.1)}, ValueError, r"lower bound of density first \(got 0.5 and 0.1"),
        ({"density": (0.0, 0.1)}, ValueError, r"density in \(0, 1\]"),
        ({"density": (0.1, 2)}, ValueError, r"density in \[0, 1\]"),
        ({"density": (1e-4, 0.5)}, ValueError, r"an edge from and to another \(got 0.0001"),
        ({"num_updates": (0, 3)}, ValueError, r"num_updates >= 1"),
        ({"num_updates": (2, 300)}, ValueError, r"num_updates=300 \(got 600"),
        ({"num_modules": (1, 80)}, ValueError, r"max_parameters >= .*num_modules=80"),
        ({"max_parameters": (10, 600)}, ValueError, r"max_parameters >= .*got 10"),
    ],
)
def test_spaces_of_nothing_or_of_what_cannot_be_are_refused(changed, error, message):
    with pytest.raises(error, match=message):
        TopologySpace(**{**SIZES, **changed})
