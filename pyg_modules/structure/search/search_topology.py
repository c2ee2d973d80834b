from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from math import isfinite
from numbers import Real
from time import perf_counter
from typing import TYPE_CHECKING, Any

from torch import nn

from pyg_modules._brief import brief
from pyg_modules._checks import as_int
from pyg_modules.graph.reach import Reach
from pyg_modules.nn.synchronous_graph import SynchronousGraph
from pyg_modules.structure.search.topology_search import TopologySearch
from pyg_modules.structure.search.topology_space import CHOSEN, TopologySpace
from pyg_modules.structure.search.topology_trial import TopologyTrial
from pyg_modules.structure.search.trial_queue import NUMBER, SEED, TrialQueue

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.pruners import BasePruner
    from optuna.trial import FrozenTrial

#: Trains a layer in place, for a trial of Optuna, and returns its score.
Train = Callable[[SynchronousGraph, "Trial"], float]

_SPACE, _SECONDS, _SIZES = "space", "seconds", ("num_hidden", "num_edges", "num_parameters")
_LARGEST_SEED = 2**31 - 1  # Of NumPy, with room for those that follow.


def search_topology(
    train: Train,
    space: TopologySpace,
    *,
    num_trials: int = 60,
    storage: str | None = None,
    study_name: str = "topology",
    seed: int = 0,
    pruner: BasePruner | None = None,
) -> TopologySearch:
    """Train topologies of a space, chosen by Optuna's tree-structured Parzen estimator.

    With a ``storage``, a search that was ended, or killed, goes on when it is called again, and
    finds what it would have found; with a larger ``num_trials`` it goes on from its end. Several
    processes that call it with one storage share its trials: start the program again while it
    runs. Each returns the trials that have ended when none is left for it; what is tried then
    depends on which trial ends first.

    Args:
        train (Callable): Trains a layer in place, given the trial of Optuna, and returns a score
            that is to be high, such as an accuracy on validation data:
            :class:`pyg_modules.train.TopologyTraining`, or your own. It may ask the trial for more,
            ``trial.suggest_float("learning_rate", ...)``, tell it of an epoch by
            ``trial.report(score, epoch)``, and raise an ``optuna.TrialPruned`` if
            ``trial.should_prune()``. A score that is not finite counts as pruned, and so does,
            without a training, a graph that is drawn with more edges than the parameters allow, or
            with no way from an input to an output that its updates can walk.
            ``trial.user_attrs["seed"]`` is the seed of the layer.
        space (TopologySpace): What to look among.
        num_trials (int, optional): Number of trials of the whole search. (default: 60)
        storage (str, optional): Where Optuna keeps the trials, e.g. ``"sqlite:///topology.db"``.
            (default: in memory)
        study_name (str, optional): Name of the search in the storage; another one for each way of
            training, as their scores are compared. (default: ``"topology"``)
        seed (int, optional): Seed of the first trial; the others have those that follow. (default:
            0)
        pruner (optuna.pruners.BasePruner, optional): What ends trials early. (default: that of
            Optuna, the median of the others)

    Returns:
        TopologySearch: The trials, and the best of them.

    Raises:
        ImportError: If Optuna is not installed.
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range, or the storage has a search of that name with
            another space, seed or direction.

    Example:
        >>> from torch import rand, randint
        >>> from pyg_modules.structure import TopologySpace, search_topology
        >>> from pyg_modules.train import TopologyTraining
        >>> train = TopologyTraining(rand(100, 8), randint(3, (100,)), epochs=2)
        >>> space = TopologySpace(num_inputs=8, num_outputs=3, max_parameters=500)
        >>> found = search_topology(train, space, num_trials=3)
        >>> print(found)  # doctest: +SKIP
        >>> layer = found.best.layer()
    """
    optuna = import_optuna()
    if not callable(train) or isinstance(train, nn.Module):
        raise TypeError(
            f"Expected train to be called with a layer and a trial (got {brief(train)}). Use e.g."
            f" pyg_modules.train.TopologyTraining(x, y, epochs)."
        )
    if not isinstance(space, TopologySpace):
        raise TypeError(
            f"Expected a TopologySpace (got {type(space).__name__})."
            " Make one: TopologySpace(num_inputs, num_outputs, ...)."
        )
    num_trials = as_int("num_trials", num_trials, smallest=1)
    seed = as_int("seed", seed, smallest=0, largest=_LARGEST_SEED)
    if isinstance(storage, str) and "://" not in storage:
        raise ValueError(
            f"Expected storage to be a URL (got {brief(storage)}). For a file, use"
            f" 'sqlite:///{storage}'."
        )
    study = optuna.create_study(
        storage=storage,
        pruner=pruner,
        study_name=study_name,
        direction="maximize",
        load_if_exists=True,
    )
    _check_same(study, {**space.to_dict(), "seed": seed})
    for trial in TrialQueue(optuna, study, num_trials, seed):
        # Each has one of its own, so that a search that goes on draws no number again.
        study.sampler = optuna.samplers.TPESampler(seed=trial.user_attrs[SEED])
        _run(optuna, study, trial, space, train)
    states = optuna.trial.TrialState
    ended = study.get_trials(states=(states.COMPLETE, states.PRUNED))
    trials = [_result(space, trial, trial.state == states.COMPLETE) for trial in ended]
    return TopologySearch(space, tuple(sorted(trials, key=lambda trial: trial.number)))


def import_optuna() -> Any:
    """The package ``optuna``.

    Raises:
        ImportError: If it is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise ImportError(
            "A search of topologies needs Optuna: pip install 'pyg-modules[search]'"
        ) from error
    return optuna


def _check_same(study: Study, wanted: dict[str, Any]) -> None:
    """Raise a ``ValueError`` if ``study`` is not this search."""
    kept, directions = study.user_attrs.get(_SPACE), [one.name for one in study.directions]
    # That of a study that is there already stays as it is.
    if directions != ["MAXIMIZE"]:
        raise ValueError(
            f"Expected a search for high scores in the storage as {study.study_name!r} (got one"
            f" of the directions {directions} there). Use another study_name or storage."
        )
    if kept is None and not study.get_trials(deepcopy=False):
        study.set_user_attr(_SPACE, wanted)
        return
    if kept == wanted:
        return
    what = "no search of topologies"
    if kept is not None:
        others = (f"{name}={kept.get(name)!r}" for name in wanted if kept.get(name) != wanted[name])
        what = f"one with {', '.join(others)}"
    raise ValueError(
        f"Expected the search that is in the storage as {study.study_name!r} (got {what} there)."
        f" Use its space and seed to go on, or another study_name or storage."
    )


def _run(optuna: Any, study: Study, trial: Trial, space: TopologySpace, train: Train) -> None:
    """Train the topology of a trial, and tell the study of it."""
    states = optuna.trial.TrialState
    try:
        topology, seed = space.suggest(trial), trial.user_attrs[SEED]
        graph = topology.smallest_graph(seed)
        layer = topology.layer(seed) if topology.fits(graph) else None
        graph = graph if layer is None else layer.graph
        sizes = graph.num_hidden, graph.num_edges, topology.num_parameters_on(graph)
        for name, size in zip(_SIZES, sizes, strict=True):
            trial.set_user_attr(name, size)
        start, score = perf_counter(), None
        if layer is not None and Reach.of(layer.graph).is_alive(topology.num_updates).any():
            with suppress(optuna.TrialPruned):
                score = _as_score(train(layer, trial))
        trial.set_user_attr(_SECONDS, perf_counter() - start)
    except BaseException:
        study.tell(trial, state=states.FAIL)
        raise
    study.tell(trial, score, states.PRUNED if score is None else states.COMPLETE)


def _as_score(value: object) -> float | None:
    """``value`` as a float, if it is finite."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(
            f"Expected train to return a score, a number (got {type(value).__name__})."
            f" Use .item() of a tensor."
        )
    score = float(value)
    return score if isfinite(score) else None


def _result(space: TopologySpace, trial: FrozenTrial, is_complete: bool) -> TopologyTrial:
    known = trial.user_attrs
    return TopologyTrial(
        number=known[NUMBER],
        topology=space.topology(trial.params),
        seed=known[SEED],
        score=trial.value if is_complete else None,
        seconds=known[_SECONDS],
        settings={name: value for name, value in trial.params.items() if name not in CHOSEN},
        **{name: known[name] for name in _SIZES},
    )
