import json
from dataclasses import replace
from statistics import mean, stdev

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from benchmarks.accuracy.comparison import __main__ as comparison
from benchmarks.accuracy.comparison import claims, classical, networks, recipe, search
from benchmarks.accuracy.comparison.results import CELLS, difference, rows_measured
from benchmarks.accuracy.intervals import (
    half_interval,
    half_interval_of_searches,
    holm,
    p_value,
    p_value_of_searches,
)
from pyg_modules import Equilibrium, SynchronousGraph, UnitGraph
from pyg_modules._files import write_json
from pyg_modules.experiment.baselines import num_parameters


def test_models_without_a_network_are_fitted_and_stand_beside_networks(tmp_path, capsys):
    out = tmp_path / "classical.json"
    classical.main(["--quick", "--out", str(out)])
    runs = json.loads(out.read_text())["runs"]
    assert [(run["problem"], run["model"], run["seed"]) for run in runs] == [
        ("wine", "linear", 10),
        ("wine", "boosting", 10),
    ]
    assert all(run["score"] > 0.9 for run in runs)
    mlp = 100 * mean(run["score"] for run in rows_measured("wine")["mlp"][0])
    assert f"| wine | {100 * runs[0]['score']:.2f} |" in capsys.readouterr().out
    assert f"| {mlp:.2f} ±" in classical.classical(out)


def test_the_quick_comparison_measures_what_needs_no_data_and_says_what_it_skips(tmp_path, capsys):
    comparison.main(["--quick", "--data-root", str(tmp_path), "--out", str(tmp_path / "it.json")])
    assert "Skipped cora: Expected the folder" in capsys.readouterr().out
    results = json.loads((tmp_path / "it.json").read_text())
    assert set(results) == {"wine", "diabetes", "motifs", "toys"}
    (search,) = results["wine"]["searches"]
    assert list(search["rows"]) == list(comparison.rows_of(comparison.PROBLEMS["wine"]))
    # What is there is not measured again, unless it was trained by another recipe.
    search["recipes"]["free"] = "another"
    write_json(tmp_path / "it.json", results)
    again = ["--quick", "--out", str(tmp_path / "it.json"), "--only", "wine"]
    comparison.main(again)
    (other,) = json.loads((tmp_path / "it.json").read_text())["wine"]["searches"]
    changed = [row for row in search["rows"] if other["rows"][row] != search["rows"][row]]
    assert changed == ["free"]
    assert other["rows"]["free"][0]["score"] == search["rows"]["free"][0]["score"]
    assert other["recipes"]["free"] != "another"


def test_a_search_gives_every_kind_as_many_trainings_and_goes_on(tmp_path, monkeypatch):
    out = tmp_path / "search.json"
    rows = ["free", "modules_4_wide", "equilibrium"]
    arguments = ["--search", "--quick", "--only", "wine", "--rows", *rows, "--out", str(out)]
    monkeypatch.setitem(
        comparison.PROBLEMS, "wine", replace(comparison.PROBLEMS["wine"], num_searches=2)
    )
    comparison.main(arguments)
    first, second = json.loads(out.read_text())["wine"]
    assert first.keys() - second.keys() == {"equilibrium"}
    for kind, found in first.items():
        scores = [len(trial[key]) for trial in found["trials"] for key in search.SCORES]
        assert (len(found["trials"]), sum(scores)) == (3, 3 * 3 + 2 * 5)
        tried = [trial["recipe"] for trial in found["trials"]]
        assert tried == list(recipe.recipes("wine", kind, 0, 3))
        means = {
            trial["recipe"]: mean(trial["further_scores"])
            for trial in found["trials"]
            if trial["further_scores"]
        }
        assert means[found["best"]] == max(means.values()) == found["validation_score"]
        assert search.recipe_for("wine", kind, 0, out).text(kind) == found["best"]
    assert search.recipe_for("wine", "equilibrium", 1, out) is None
    with pytest.raises(ValueError, match="in search 2 of"):
        search.recipe_for("wine", "free", 2, out)
    monkeypatch.setattr(search, "train", None)
    comparison.main(arguments)
    assert json.loads(out.read_text())["wine"] == [first, second]


def test_recipes_are_those_of_before_and_then_draws_of_the_search():
    of = {number: recipe.recipes("mnist1d", "free", number, 30) for number in (0, 1)}
    earlier = json.loads(recipe.EARLIER.read_text())["mnist1d"]
    assert all(recipe.Recipe(**one) in of[0].values() for one in earlier)
    shared = set(of[0]) & set(of[1])
    assert {recipe.Recipe(**one).text("free") for one in earlier} <= shared
    assert len(shared) < 20
    # Recipes that a kind does not tell apart are one.
    assert len(recipe.recipes("mnist1d", "mlp", 0, 30)) == 30
    for one, two in zip(
        recipe.recipes("mnist1d", "modules", 0, 30).values(),
        recipe.recipes("mnist1d", "post_hoc", 0, 30).values(),
        strict=True,
    ):
        assert one == two


def test_sentences_are_held_against_other_results(tmp_path, monkeypatch, capsys):
    def runs(*scores):
        return [{"score": score} for score in scores]

    rows = {"free": runs(0.9, 0.92), "mlp": runs(0.8, 0.83), "dag": runs(0.7, 0.92)}
    write_json(tmp_path / "it.json", {"mnist1d": {"searches": [{"rows": rows}]}})
    (tmp_path / "page.md").write_text(
        "<!-- holds: mnist1d: mlp > free, dag ~ mlp -->\n<!-- holds: mnist1d: * > mlp -->\n"
        "With 0.5 it is\nahead. And more.\n<!-- holds: wine: free >= mlp -->\nSo it is: yes.\n"
    )
    monkeypatch.setattr(claims, "PAGES", [tmp_path / "page.md"])
    monkeypatch.setattr(claims, "ROOT", tmp_path)
    with pytest.raises(SystemExit) as ended:
        claims.main([str(tmp_path / "it.json")])
    assert ended.value.code == 1
    assert capsys.readouterr().out.splitlines() == [
        "page.md: mnist1d: mlp > free (mlp - free: -9.500 ± 6.353):",
        "  With 0.5 it is ahead.",
        "page.md: mnist1d: * > mlp (dag - mlp: -0.500 ± 120.709):",
        "  With 0.5 it is ahead.",
        "4 claims: 2 do not hold, 1 were not measured.",
    ]
    with pytest.raises(ValueError, match="in a line of its own"):
        list(claims.claims("<!-- holds: free > mlp --> It is."))


def test_an_interval_of_several_searches_is_at_least_that_of_their_means():
    searches = [[1.0, 3.0], [2.0, 6.0], [3.0, 3.0]]
    assert half_interval_of_searches(searches) == half_interval([2.0, 4.0, 3.0])
    alike = [[1.0, 5.0], [2.0, 4.0], [3.0, 3.1]]
    assert half_interval_of_searches(alike) == half_interval([1.0, 5.0, 2.0, 4.0, 3.0, 3.1])
    assert half_interval_of_searches(searches[:1], 1.0) == half_interval([1.0, 3.0], 1.0)


def test_sentences_rest_on_other_benchmarks_too(tmp_path, monkeypatch):
    cells = [
        {"task": "it, 4", "model": name, "runs": [{"first": score}, {"first": score + 0.1}]}
        for name, score in (("true at first", 0.5), ("whole at first", 0.25), ("whole", 0.0))
    ]
    write_json(tmp_path / "it.json", {"cells": cells})
    monkeypatch.setitem(CELLS, "it", (tmp_path / "it.json", "first", " at first"))
    rows = rows_measured("it / it, 4")
    assert list(rows) == ["true", "whole"]
    assert difference("it / it, 4", rows["true"], rows["whole"]) == (25.0, 0.0)
    (claim,) = claims.claims("<!-- holds: it / it, 4: whole > true -->\nIt is so.\n")
    assert claims.contradictions(claim) == ["whole - true: -25.000 ± 0.000"]


def test_levels_are_within_what_a_sentence_says():
    for value, half, within, holds in ((0.2, 0.3, 0.5, True), (-0.2, 0.31, 0.5, False)):
        assert claims._is_borne(f"~{within}", value, half) is holds
    assert claims._is_borne("~", 0.2, 0.3)
    assert not claims._is_borne("~", 0.4, 0.3)


@given(st.lists(st.floats(-5, 5), min_size=3, max_size=9).filter(lambda them: stdev(them) > 1e-3))
def test_a_p_value_is_that_of_scipy_and_below_a_twentieth_where_the_interval_leaves_out_0(values):
    assert p_value(values) == pytest.approx(ttest_1samp(values, 0).pvalue, rel=1e-9)
    for overlap in (0.0, 1.0):
        is_out = abs(mean(values)) > half_interval(values, overlap)
        assert (p_value(values, overlap) < 0.05) == is_out
    assert p_value_of_searches([values, values[::-1]]) >= p_value([*values, *values])


def test_holm_rejects_while_each_is_small_enough_among_those_left():
    # 0.05 / 4, / 3, / 2, / 1.
    assert holm([0.03, 0.001, 0.01, 0.6]) == [False, True, True, False]
    assert holm([0.013, 0.02, 0.02, 0.02]) == [False] * 4
    assert holm([0.012, 0.016, 0.024, 0.05]) == [True] * 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "wine", "--rows", "dag"], "the rows of 'wine' are: 'mlp', 'free'"),
        (["--only", "cora", "--rows", "mlp"], "--rows goes with --only and some of"),
        (["--only", "cora", "--search"], "--search goes with --only and some of: 'optdigits 45'"),
        (["--search", "--quick"], "--search --quick goes with --out"),
        (["--first-seed", "50"], "--first-seed goes with --out"),
    ],
)
def test_the_comparison_refuses_what_it_would_not_measure(arguments, message, capsys):
    with pytest.raises(SystemExit):
        comparison.main(arguments)
    assert message in capsys.readouterr().err


def test_networks_of_the_comparison_have_about_as_many_parameters():
    size = networks.size_of_complete(64, 35, 10)
    assert size == num_parameters(SynchronousGraph(UnitGraph.complete(64, 35, 10))) == 3860
    for depth in (1, 2, 3):
        mlp = networks.layered(size, 64, 10, depth, "relu")
        assert abs(num_parameters(mlp) - size) < 75
        dag = networks.dag(size, 64, 10, depth, "relu")
        assert abs(num_parameters(dag) - size) < 150
    num_hidden = networks.hidden_of_size(size, 64, 10, num_modules=4)
    assert abs(networks.size_of_complete(64, num_hidden, 10, 4) - size) < 100
    assert num_hidden > 35


def test_the_yoked_network_solves_the_published_rule():
    layer = networks.yoked(3, 4, 2, "tanh").double()
    layer.solver = Equilibrium(tol=1e-12, max_steps=1000, contraction=0.95)
    x = torch.rand(5, 3, dtype=torch.float64)
    with torch.no_grad():
        states, weight = layer.states(x), layer.scaled_weight()
    matrix = torch.zeros(13, 13, dtype=torch.float64)
    matrix[layer.graph.edge_index[1], layer.graph.edge_index[0]] = weight
    fed, units = slice(3, 7), slice(7, 11)
    bias = layer.bias.detach()
    meta = torch.tanh(x @ matrix[fed, :3].T + bias[:4])
    among = matrix[units, units]
    own = matrix[units, fed].diagonal()
    assert not among.diagonal().any()
    assert torch.equal(matrix[units, fed], own.diag())
    sums = states[:, units] @ among.T + meta * own + bias[4:8]
    torch.testing.assert_close(states[:, units], torch.tanh(sums), rtol=1e-9, atol=1e-10)
