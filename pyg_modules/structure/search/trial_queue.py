from __future__ import annotations

import os
import platform
import secrets
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

#: Names under which a trial of a study keeps what is needed to go on.
NUMBER, SEED, _WORKER = "number", "seed", "worker"


class TrialQueue:
    """The trials of a search that are left, each for one worker alone.

    A trial whose worker has failed or was killed comes again, with its number and its seed: what
    is found does not depend on it. Workers put their trials into the study, with all that others
    must know of them at once; of two with a number, the first counts. Optuna's own queue lets two
    workers take one trial from a file of SQLite.

    Args:
        optuna (module): Optuna.
        study (optuna.Study): The study.
        num_trials (int): Number of trials of the whole search.
        seed (int): Seed of the first trial; those of the others follow.
    """

    def __init__(self, optuna: Any, study: Study, num_trials: int, seed: int) -> None:
        self._optuna, self._study = optuna, study
        self._state = optuna.trial.TrialState
        self._num_trials, self._seed = num_trials, seed
        for trial in study.get_trials(deepcopy=False, states=(self._state.RUNNING,)):
            if _is_dead(trial):
                study.tell(trial.number, state=self._state.FAIL)

    def __iter__(self) -> Iterator[Trial]:
        while (number := self._next_number()) is not None:
            worker = [*_this_process(), secrets.token_hex(8)]
            known = {NUMBER: number, SEED: self._seed + number, _WORKER: worker}
            running = self._optuna.trial.create_trial(state=self._state.RUNNING, user_attrs=known)
            self._study.add_trial(running)
            same = [one for one in self._that_count() if one.user_attrs.get(NUMBER) == number]
            (own,) = (one for one in same if one.user_attrs[_WORKER] == worker)
            if own is same[0]:
                yield self._optuna.trial.Trial(self._study, own._trial_id)
            else:
                self._study.tell(own.number, state=self._state.FAIL)

    def _next_number(self) -> int | None:
        """The first one that no trial has."""
        known = {trial.user_attrs.get(NUMBER) for trial in self._that_count()}
        return next((number for number in range(self._num_trials) if number not in known), None)

    def _that_count(self) -> list[FrozenTrial]:
        trials = self._study.get_trials(deepcopy=False)
        return [trial for trial in trials if trial.state != self._state.FAIL]


def _this_process() -> list[Any]:
    """What tells this process from any other; of those with its number, by when it began."""
    return [platform.node(), os.getpid(), psutil.Process().create_time()]


def _is_dead(trial: FrozenTrial) -> bool:
    """Whether the worker of a trial is gone, as far as this machine can know."""
    if _WORKER not in trial.user_attrs:
        return False  # Not one of ours.
    machine, process, began, _ = trial.user_attrs[_WORKER]
    if machine != platform.node():
        return False
    try:
        return bool(psutil.Process(process).create_time() != began)
    except psutil.NoSuchProcess:
        return True
