import json
from concurrent.futures import Future

import pytest

from benchmarks.accuracy import parallel
from benchmarks.accuracy.journal import Journal
from benchmarks.accuracy.recipes import measure

RECIPES = {("sums", "line"): [(0, 0.1), (1, 0.1), (2, 0.1)]}


class Lazy(Future):
    """Of a job that begins when its result is asked for."""

    def __init__(self, work, job):
        super().__init__()
        self.work, self.job = work, job

    def result(self):
        if not self.done():
            self.set_result(self.work(*self.job))
        return super().result()


class OneAtATime:
    def submit(self, work, *job):
        return Lazy(work, job)


@pytest.fixture
def one_at_a_time(monkeypatch):
    monkeypatch.setattr(parallel, "_pool", OneAtATime)


class Run:
    """Trainings of which the second way is best, and which end at the job that is told."""

    def __init__(self, ends_at=None, best=0.9):
        self.ends_at, self.best, self.jobs = ends_at, best, []

    def __call__(self, task, kind, way, rate, seed, budget):
        job = task, kind, way, rate, seed, budget
        if job == self.ends_at:
            raise KeyboardInterrupt
        self.jobs.append(job)
        return {"val": self.best if way == 1 else 0.5, "seed": seed}


def job(way, seed):
    return "sums", "line", way, 0.1, seed, 7


def measured(run, out):
    measure(
        run, RECIPES, {"sums": 7}, out, quick=False, trial_seeds=range(100, 103), seeds=range(2)
    )
    return json.loads(out.read_text())["cells"]


@pytest.mark.usefixtures("one_at_a_time")
def test_the_recipe_that_is_best_on_average_is_trained_from_the_other_seeds(tmp_path):
    run, out = Run(), tmp_path / "sums.json"
    (cell,) = measured(run, out)
    assert run.jobs == [job(way, seed) for way in range(3) for seed in (100, 101, 102)] + [
        job(1, 0),
        job(1, 1),
    ]
    assert (cell["way"], cell["rate"], cell["budget"]) == (1, 0.1, 7)
    assert [one["seed"] for one in cell["trials"]] == [100, 101, 102] * 3
    assert [one["seed"] for one in cell["runs"]] == [0, 1]
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.usefixtures("one_at_a_time")
def test_none_is_tried_after_one_that_is_always_right(tmp_path):
    (cell,) = measured(Run(best=1.0), tmp_path / "sums.json")
    assert len(cell["trials"]) == 6
    assert [one["val"] for one in cell["runs"]] == [1.0, 1.0]


@pytest.mark.usefixtures("one_at_a_time")
@pytest.mark.parametrize("killed", [job(0, 101), job(2, 100), job(1, 1)])
def test_who_is_killed_trains_nothing_twice_and_ends_with_the_same_cells(tmp_path, killed):
    expected = measured(whole := Run(), tmp_path / "whole.json")
    out = tmp_path / "killed.json"
    first, second = Run(ends_at=killed), Run()
    with pytest.raises(KeyboardInterrupt):
        measured(first, out)
    with (tmp_path / "killed.journal").open("a") as journal:
        journal.write('[["sums", "li')  # As of a writer that was killed.
    assert measured(second, out) == expected
    assert sorted(first.jobs + second.jobs) == sorted(whole.jobs)
    assert not (tmp_path / "killed.journal").exists()


def test_what_ends_when_nobody_waits_for_it_is_not_taken_down(tmp_path, monkeypatch):
    started = []

    class Running(Lazy):
        def cancel(self):
            started.append(self)
            return False

    class Pool:
        def submit(self, work, *job):
            return Running(work, job)

    monkeypatch.setattr(parallel, "_pool", Pool)
    measured(Run(best=1.0), tmp_path / "sums.json")
    late = [future for future in started if not future.done()]
    assert [future.job for future in late] == [job(2, seed) for seed in (100, 101, 102)]
    for future in late:
        future.result()
    assert list(tmp_path.iterdir()) == [tmp_path / "sums.json"]


def test_a_journal_knows_what_it_took_down_also_after_half_a_line(tmp_path):
    path = tmp_path / "one.journal"
    journal = Journal(path)
    journal.add(("a", 1, 0.1), {"val": 0.25})
    with path.open("a") as file:
        file.write('[["b", 1, 0.1], {"val"')
    again = Journal(path)
    assert again.get(("a", 1, 0.1)) == {"val": 0.25}
    assert again.get(("b", 1, 0.1)) is None
    again.add(("b", 1, 0.1), {"val": 0.75})
    assert Journal(path).get(("a", 1, 0.1)) == {"val": 0.25}
    assert Journal(path).get(("b", 1, 0.1)) == again.get(("b", 1, 0.1)) == {"val": 0.75}
    again.clear()
    assert again.get(("a", 1, 0.1)) is None
    assert not path.exists()
