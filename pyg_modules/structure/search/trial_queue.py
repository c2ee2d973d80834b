from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from datetime import datetime, timedelta
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
    is found does not depend on it. Workers take trials from the waiting ones of the study, which
    no two can do at once.

    Args:
        optuna (module): Optuna.
        study (optuna.Study): The study.
        num_trials (int): Number of trials of the whole search.
        seed (int): Seed of the first trial; those of the others follow.
    """

    def __init__(self, optuna: Any, study: Study, num_trials: int, seed: int) -> None:
        self._state, self._study = optuna.trial.TrialState, study
        self._num_trials, self._seed = num_trials, seed
        for trial in study.get_trials(deepcopy=False, states=(self._state.RUNNING,)):
            if _is_dead(trial):
                study.tell(trial.number, state=self._state.FAIL)

    def __iter__(self) -> Iterator[Trial]:
        while self._is_one_waiting():
            trial = self._study.ask()
            trial.set_user_attr(_WORKER, _this_process())
            if self._is_first(trial):
                yield trial
            else:
                self._study.tell(trial, state=self._state.FAIL)

    def _is_one_waiting(self) -> bool:
        """Whether there is a trial to take; if there was none, the next one is put there."""
        trials = self._that_count()
        if any(trial.state == self._state.WAITING for trial in trials):
            return True
        known = {trial.user_attrs.get(NUMBER) for trial in trials}
        left = [number for number in range(self._num_trials) if number not in known]
        if left:
            attributes = {NUMBER: left[0], SEED: self._seed + left[0]}
            self._study.enqueue_trial({}, user_attrs=attributes)
        return bool(left)

    def _is_first(self, trial: Trial) -> bool:
        """Whether it is one of the search, and none that two workers put there at once."""
        number = trial.user_attrs.get(NUMBER)
        same = [one.number for one in self._that_count() if one.user_attrs.get(NUMBER) == number]
        return number is not None and trial.number == min(same)

    def _that_count(self) -> list[FrozenTrial]:
        trials = self._study.get_trials(deepcopy=False)
        return [trial for trial in trials if trial.state != self._state.FAIL]


def _this_process() -> list[Any]:
    """What tells this process from any other; of those with its number, by when it began."""
    return [platform.node(), os.getpid(), psutil.Process().create_time()]


def _is_dead(trial: FrozenTrial) -> bool:
    """Whether the worker of a trial is gone, as far as this machine can know."""
    worker = trial.user_attrs.get(_WORKER)
    if worker is None:  # It was killed before it said its name, or is about to.
        begin = trial.datetime_start
        return begin is not None and datetime.now() - begin > timedelta(minutes=1)
    machine, process, began = worker
    if machine != platform.node():
        return False
    try:
        return bool(psutil.Process(process).create_time() != began)
    except psutil.NoSuchProcess:
        return True
