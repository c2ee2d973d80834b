import logging

import pytest
import torch

from pyg_modules import SynchronousGraph, UnitGraph, cut
from pyg_modules.ops import (
    BACKENDS,
    EdgeSet,
    Work,
    check_available,
    check_backend,
    choose,
    cost_model,
    dispatch,
)
from pyg_modules.ops.cost_model import fit, is_measured, predict
from tests.strategies import backends, generator

CPU = torch.device("cpu")


def random_block(num_units, density):
    chosen = torch.rand(num_units, num_units, generator=generator(0)) < density
    target, source = chosen.nonzero().T
    return EdgeSet.between(torch.stack([source, target]), *2 * [range(num_units)])


def test_the_cost_model_knows_every_backend_of_the_cpu():
    for dtype in (torch.float32, torch.float64):
        assert is_measured("cpu", dtype)
        for name in (name for name, known in BACKENDS.items() if "cpu" in known.devices):
            assert predict("cpu", dtype, name, Work(1000, 100, 10)) > 0
    assert not is_measured("cuda", torch.float32)
    assert not is_measured("cpu", torch.bfloat16)


def test_auto_is_the_fastest_by_the_cost_model():
    block = random_block(500, 0.02)
    choice = choose(block, 128, CPU, torch.float32)
    assert choice.reason == "fastest by the cost model for cpu"
    assert set(choice.seconds) == {name for name in backends if name != "block"}
    assert choice.seconds[choice.backend] == min(choice.seconds.values())
    assert choice.backend in ("numba", "sparse")
    assert choose(random_block(500, 1.0), 128, CPU, torch.float32).backend == "dense"


def test_auto_takes_what_is_left_where_torch_has_no_sparse_kernels():
    layer = SynchronousGraph(UnitGraph.complete(3, 4, 2), dtype=torch.bfloat16)
    choices = layer.backend_report(8).choices
    assert {choice.backend for choice in choices.values()} <= {"dense", "scatter"}
    meta = SynchronousGraph(UnitGraph.complete(3, 4, 2), device="meta")
    assert meta.backend_report(8).choices["recurrence"].backend == "scatter"
    assert meta(torch.rand(5, 3, device="meta")).shape == (5, 2)


def test_auto_batches_the_modules_of_a_cut_layer():
    graph = UnitGraph.complete(4, 512, 2)
    labels = torch.cat([torch.full((4,), -1), torch.arange(512) % 4, torch.full((2,), -1)])
    modular = cut(SynchronousGraph(graph), labels)
    assert modular.backend_report(128).choices["recurrence"].backend == "block"


def test_only_iterated_units_count_as_activated():
    layer = SynchronousGraph(UnitGraph.complete(64, 512, 10))
    choices = layer.backend_report(256).choices
    for name, cells, units in (
        ("injection", 64 * 512, 0),
        ("recurrence", 512**2, 512),
        ("readout", 512 * 10, 0),
        ("direct", 64 * 10, 0),
    ):
        of_all = predict("cpu", torch.float32, "dense", Work(cells, units, 256))
        assert choices[name].seconds["dense"] == of_all


def test_on_an_unmeasured_device_the_backends_are_timed_once_and_it_is_said(monkeypatch, caplog):
    monkeypatch.setattr(cost_model, "_model", dict)
    layer = SynchronousGraph(UnitGraph.erdos_renyi(3, 50, 2, 0.2, generator=generator(0)))
    with caplog.at_level(logging.INFO, logger="pyg_modules"):
        report = layer.backend_report(16)
        num_messages = len(caplog.messages)
        layer(torch.rand(16, 3))
    assert num_messages == 4
    assert len(caplog.messages) == 4  # One per block of edges; the forward pass measured nothing.
    choice = report.choices["recurrence"]
    assert choice.reason == "fastest when timed on this cpu device"
    assert choice.seconds[choice.backend] == min(choice.seconds.values())
    assert "Timed" in caplog.text


def test_the_report_names_blocks_backends_and_reasons():
    report = str(SynchronousGraph(UnitGraph.complete(3, 4, 2)).backend_report(128))
    assert report.startswith("Backends for a batch of 128:\n  injection")
    assert "fastest by the cost model for cpu" in report
    asked = SynchronousGraph(UnitGraph.complete(3, 4, 2), backend="sparse").backend_report(1)
    assert {choice.backend for choice in asked.choices.values()} == {"sparse"}
    with pytest.raises(ValueError, match="batch >= 0"):
        SynchronousGraph(UnitGraph.complete(3, 4, 2)).backend_report(-1)


def test_a_fit_finds_the_coefficients_it_was_made_from():
    true = {"call": 1e-5, "cell": 2e-9, "cell_sample": 3e-11, "unit_sample": 0.0}
    works = [Work(c, u, b) for c in (100, 10_000, 10**6) for u in (10, 300) for b in (1, 30, 500)]
    seconds = [sum(true[name] * value for name, value in work.terms().items()) for work in works]
    assert fit(works, seconds) == pytest.approx(true, rel=1e-6, abs=1e-15)


def test_sparse_without_kernels_is_refused():
    with pytest.raises(ValueError, match=r"float32, float64.*got torch.bfloat16 on cpu.*'auto'"):
        check_available("sparse", CPU, torch.bfloat16)
    with pytest.raises(ValueError, match=r"on cpu for backend 'numba'"):
        check_available("numba", torch.device("cuda"), torch.float32)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(BACKENDS["numba"], "missing", classmethod(lambda _: "numba"))
    with pytest.raises(ImportError, match=r"pip install 'pyg-modules\[numba\]'.*backend='auto'"):
        SynchronousGraph(UnitGraph.complete(3, 4, 2), backend="numba")
    choice = choose(random_block(50, 0.1), 128, CPU, torch.float32)
    assert "numba" not in choice.seconds
    assert choice.refused == {"numba": "pip install 'pyg-modules[numba]'"}
    report = str(SynchronousGraph(UnitGraph.complete(3, 4, 2)).backend_report(7))
    assert "not possible: numba (pip install 'pyg-modules[numba]')" in report


def test_block_is_refused_where_an_output_feeds_back():
    graph = UnitGraph(torch.tensor([[0, 1, 2], [1, 2, 1]]), 3, 1, 1)
    with pytest.raises(ValueError, match=r"outputs without outgoing edges for backend 'block'"):
        SynchronousGraph(graph, backend="block")


def test_unknown_backends_are_refused():
    with pytest.raises(ValueError, match=r"'auto', 'block', .*'sparse', .* \(got 'fast'\)"):
        check_backend("fast")


def test_what_is_too_large_to_be_timed_is_scattered(monkeypatch):
    monkeypatch.setattr(dispatch, "_MAX_CELLS", 100)
    choice = choose(random_block(50, 0.1), 128, CPU, torch.bfloat16)
    assert choice[:3] == ("scatter", "too large to be timed on this cpu device", {})
