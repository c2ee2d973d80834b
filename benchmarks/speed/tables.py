"""The tables of the committed speed results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.markdown import table
from pyg_modules import Equilibrium

PLAN = Path(__file__).with_name("plan.json")
_MODULE_COLUMNS = ("uncut", "cut", "batched", "loop", "torch.nn")
RESULTS = Path(__file__).with_name("cpu.json")
# Updates within which plain iteration of an equilibrium needs no acceleration.
_FAST = 25

#: Ratios that this engine set out to reach, by hidden units, density and peer.
_ASKED = {
    (4096, 0.01, "PyG scatter"): 30,
    (4096, 0.05, "PyG scatter"): 60,
    (4096, 0.01, "masked dense"): 18,
    (4096, 0.1, "masked dense"): 3,
    (256, 1.0, "masked dense"): 1,
    (4096, 0.05, "stepwise CSR"): 1.7,
    (4096, 0.01, "torch CSR"): 1.7,
    (4096, 0.05, "torch CSR"): 1.7,
    (4096, 0.01, "torchsparsegradutils"): 1.7,
    (4096, 0.05, "torchsparsegradutils"): 1.7,
}


def training_step() -> str:
    """A row per graph and peer."""
    rows = []
    results = sorted(_results()["training_step"], key=_graph)
    for row in results:
        asked = _ASKED.get((*_graph(row), row["peer"]))
        numbers = (
            [
                f"{row['milliseconds']:,.1f}",
                f"{row['our_milliseconds']:,.1f} (`{row['backend']}`)",
                f"**{row['ratio']:.2f}**",
            ]
            if row["is_installed"]
            else ["not installed", "", ""]
        )
        graph = f"{row['num_hidden']:,} units, {row['density']:.0%} of all edges"
        rows.append([graph, row["peer"], *numbers, f"≥ {asked:g}" if asked else ""])
    return table(["graph", "peer", "peer, ms", "ours, ms", "peer / ours", "asked"], rows)


def _graph(row: dict[str, Any]) -> tuple[int, float]:
    return row["num_hidden"], row["density"]


def summary() -> str:
    """The rows of the README: one graph against everybody."""
    chosen = [row for row in _results()["training_step"] if _graph(row) == (4096, 0.05)]
    rows = [
        [row["peer"], f"{row['milliseconds']:,.0f}", f"{row['ratio']:.1f} ×"]
        for row in sorted(chosen, key=lambda row: -row.get("ratio", 0))
        if row["is_installed"]
    ]
    ours = min(row["our_milliseconds"] for row in chosen if row["is_installed"])
    rows.append(["**this layer**", f"**{ours:,.0f}**", "1"])
    return table(["4,096 hidden units, 5 % of all edges", "ms per training step", "time"], rows)


def growth() -> str:
    """Memory, exponents, and a million units."""
    results = _results()
    memory, scaling = results["memory"], results["scaling"]
    million = memory["million"]
    rows = [
        [
            f"peak extra memory, {memory['num_hidden']:,} units, {memory['density']:.0%}:"
            " PyG scatter / ours",
            "≥ 50",
            f"**{memory['ratio']:.0f}** ({memory['scatter_megabytes']:,.0f} MB /"
            f" {memory['our_megabytes']:,.0f} MB)",
        ],
        *(
            [
                f"time against {name}, {scaling[name]['values'][0]:,} to"
                f" {scaling[name]['values'][-1]:,}: exponent",
                "≤ 1.05",
                f"**{scaling[name]['exponent']:.2f}**",
            ]
            for name in ("edges", "batch", "steps")
        ),
        [
            f"{million['num_units']:,} units, {million['num_edges']:,} edges, batch"
            f" {million['batch']}, T = {million['steps']}: memory of the whole process",
            "< 8 GB",
            f"**{million['process_gigabytes']:.1f} GB**, {million['seconds']:.1f} s per step",
        ],
    ]
    return table(["figure", "asked", "measured"], rows)


def equilibrium() -> str:
    """Every solver, ours and theirs."""
    results = _results()["equilibrium"]
    times = results["milliseconds"]
    ours = times[results["our_best"]]
    rows = []
    for name, milliseconds in sorted(times.items(), key=lambda item: item[1]):
        if name.startswith("memory"):
            is_default = name == f"memory={Equilibrium.memory}"
            label = f"`Equilibrium({name})`" + (", the default" if is_default else "")
        else:
            solver, matrix = name.split(", ")
            label = (
                f"torchdeq `{solver}`, {'a dense matrix' if matrix == 'dense' else 'our kernels'}"
            )
        rows.append([label, f"{milliseconds:.1f}", f"{milliseconds / ours:.2f}"])
    for name, residual in results["not_converged_residuals"].items():
        rows.append([f"torchdeq `{name}`", "not converged", f"residual {residual:.1g}"])
    if "ratio" in results:
        rows.append(
            ["**best of torchdeq / our best** (asked ≥ 2.5)", "", f"**{results['ratio']:.2f}**"]
        )
    error = f"**{results['gradient_error']:.0e}**"
    rows.append(["implicit gradient − 1,000 unrolled updates, float64 (asked ≤ 1e-8)", "", error])
    return table(["solver", "ms", "time / our best"], rows)


def acceleration() -> str:
    """The default of an equilibrium against plain iteration."""
    rows = []
    for row in _results()["acceleration"]:
        steps, times = row["steps"], row["milliseconds"]
        # Where plain iteration is fast, nothing is to be lost; where it is slow, something gained.
        asked = "≥ 0.95" if steps["plain"] <= _FAST else "> 1"
        rows.append(
            [
                f"{row['num_hidden']:,} units, {row['density']:.0%} of all edges",
                f"{row['contraction']:g}",
                *(f"{times[name]:.1f}, {steps[name]}" for name in ("plain", "default")),
                f"**{row['ratio']:.2f}**",
                asked,
            ]
        )
    header = ["graph", "contraction", "`memory=0`: ms, updates", "default: ms, updates"]
    return table([*header, "times faster", "asked"], rows)


def limits() -> str:
    """Achieved against possible."""
    results = _results()["limits"]
    flops, bytes_, gathered = (
        results["gigaflops"],
        results["gigabytes_per_second"],
        results["gathered_gigabytes_per_second"],
    )
    rows = [["dense product of 2,048 × 2,048 matrices", f"{flops['gemm']:.0f}", ""]]
    for name in gathered:
        kernel, density = name.split()
        rows.append(
            [
                f"`{kernel}`, 4,096 units, {density} of all edges, batch 128",
                f"{flops[name]:.0f}",
                f"{gathered[name]:.0f}",
            ]
        )
    rows.append(["copy of 2 MB, in the cache", "", f"{bytes_['cached copy']:.0f}"])
    rows.append(["copy of 256 MB", "", f"{bytes_['copy']:.0f}"])
    return table(["", "GFLOP/s", "GB/s read by edges, or read and written"], rows)


#: How much faster than uncut, by case; and than torch.nn, by hidden units and number of modules.
_UNCUT_ASKED = {(4096, "8 equal modules"): 8, (4096, "16 equal modules"): 16}
_UNCUT_ASKED |= {(4096, "8 unequal modules"): 6}
_TORCH_ASKED = {512: 2}


def modules() -> str:
    """A row per case and kind of step."""
    rows = []
    for row in _results()["modules"]:
        times = row["milliseconds"]
        key = row["num_hidden"], row["case"]
        rows.append(
            [
                f"{row['num_hidden']:,} units, {row['case']}, {row['activation']}, {row['kind']}",
                *(f"{times[name]:,.1f}" for name in _MODULE_COLUMNS),
                f"**{row['uncut_ratio']:.1f}**",
                f"≥ {_UNCUT_ASKED[key]}" if key in _UNCUT_ASKED else "",
                f"**{row['torch_ratio']:.2f}**",
                f"≥ {_TORCH_ASKED.get(row['num_hidden'], 1)}",
            ]
        )
    header = ["ms", *_MODULE_COLUMNS, "uncut / ours", "asked", "torch.nn / ours", "asked"]
    return table(header, rows)


def ranks() -> str:
    """Two ranks against one process."""
    result = _results()["ranks"]
    times = result["milliseconds"]
    graph = f"{result['num_hidden']:,} units, {result['num_modules']} modules"
    collectives = ", ".join(f"{n} × {name}" for name, n in result["collectives"].items())
    rows = [
        [
            f"{graph}: one process on one core / {result['num_ranks']} ranks on a core each",
            "≥ 1.7",
            f"**{result['ratio']:.2f}** ({times['alone']:,.0f} ms / {times['together']:,.0f} ms)",
        ],
        [
            "traffic of a rank in a training step",
            f"the outputs, {result['bytes_of_outputs']:,} bytes",
            f"**{result['bytes_per_step']:,} bytes** ({collectives})",
        ],
    ]
    return table(["figure", "asked", "measured"], rows)


def plan() -> str:
    """The simulation of many ranks."""
    rows = []
    for row in json.loads(PLAN.read_text(encoding="utf-8"))["rows"]:
        cells = [
            cell
            for kind in ("modules", "slices")
            for cell in (
                f"{row[kind]['seconds']:,.1f} s",
                f"{row[kind]['efficiency']:.0%}",
                _bytes(row[kind]["bytes_per_rank"]),
                f"{row[kind]['gigabytes']:,.1f} GB",
            )
        ]
        rows.append([f"{row['ranks']:,}", f"{row['units']:,}", *cells])
    columns = ("step", "efficiency", "sent per step and rank", "memory per rank")
    kinds = [f"{kind}: {column}" for kind in ("modules", "slices") for column in columns]
    return table(["ranks", "units", *kinds], rows)


def _bytes(count: float) -> str:
    units = ("B", "kB", "MB", "GB", "TB")
    power = 0
    while count >= 1000 and power < len(units) - 1:
        count, power = count / 1000, power + 1
    return f"{count:,.0f} {units[power]}"


def _results() -> dict[str, Any]:
    results: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))
    return results
