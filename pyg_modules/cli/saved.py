"""The commands that work on what was saved."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import torch

from pyg_modules._files import is_there, read_json, staged_folder, write_json
from pyg_modules.cli.encoded_file import encode_file
from pyg_modules.cli.endings import refusals, uninterrupted
from pyg_modules.cli.owned_names import print_owned_names
from pyg_modules.cli.places import EXPORTED, NETWORK, check_free, files_of_encoding
from pyg_modules.datasets.encoding import ENCODING_FILE, METRICS_FILE, Encoding, load_encoding
from pyg_modules.datasets.named import DATASETS
from pyg_modules.experiment.run_folder import LABELS_FILE, REPORT_FILE
from pyg_modules.modules.cut import cut
from pyg_modules.modules.split import split
from pyg_modules.nn.synchronous_graph import SynchronousGraph
from pyg_modules.parallel.export import export_parts, exported_files
from pyg_modules.partition.methods import partition_units
from pyg_modules.partition.metrics import cut_fraction, normalized_cut
from pyg_modules.report.owned_units import sizes_in_words


def report(options: Namespace) -> None:
    """Write the page of a run again; or that of a network, measured on a file.

    Raises:
        Refused: If the folder holds no complete run, or no network, or cannot be written to.
    """
    with refusals(), uninterrupted(f"the page is in {options.folder}"):
        if options.data is None:
            from pyg_modules.report.html.write import write_report

            page = write_report(options.folder)
        else:
            page = _report_of_network(options.folder, options.data)
    print(f"wrote {page}")


def _report_of_network(folder: Path, file: Path) -> Path:
    from pyg_modules.report.html.layer_report import report as report_of_layer

    if is_there(folder / METRICS_FILE):
        raise ValueError(
            f"Expected the folder of a network that is no run (got {folder}, with a run in it)."
            f" Leave --data out, or name {folder / 'free'} or {folder / 'regularized'}."
        )
    layer, encoding, x, y, notes = encode_file(folder, file)
    if y is None:
        raise ValueError(
            f"Expected the target {encoding.target.name!r} in {file} (got no such column, or an"
            f" empty one). Add it."
        )
    for note in notes:
        print(f"data: {note}")
    labels = None
    if layer.labels is None and is_there(folder / LABELS_FILE):
        labels = torch.tensor(read_json(folder / LABELS_FILE), device="cpu")
    return report_of_layer(
        layer,
        x,
        y,
        labels=labels,
        input_names=encoding.input_names,
        output_names=encoding.output_names,
        out=folder / REPORT_FILE,
    )


def partition(options: Namespace) -> None:
    """Cut a network into the modules that its weights show.

    Raises:
        Refused: If the folder holds no network, or one that is cut, or ``--out`` is taken.
    """
    out = options.out
    with refusals():
        check_free(out, NETWORK, overwrite=options.overwrite)
        layer = SynchronousGraph.load(options.folder)
        if layer.labels is not None:
            raise ValueError(
                f"Expected a network that is not cut (got {options.folder}, which is). Of a run,"
                f" take the network before the cut: {options.folder / 'regularized'} or"
                f" {options.folder / 'free'}."
            )
        labels = partition_units(layer, options.num_modules, scope=options.scope)
        replaced = files_of_encoding(out, REPORT_FILE) if options.overwrite else ()
        with uninterrupted(f"the network is in {out}"), staged_folder(out, replaced) as stage:
            cut(layer, labels).save(stage)
            write_json(stage / LABELS_FILE, labels.tolist())
            encoding = _save_encoding_of(options.folder, stage)
    edges = layer.graph.edge_index, layer.edge_weight().detach(), labels
    print(f"modules of {sizes_in_words(layer.graph, labels)};", end=" ")
    print(f"normalized cut {normalized_cut(*edges):.2g},", end=" ")
    print(f"{cut_fraction(*edges):.0%} of the weight was between modules")
    print_owned_names(encoding, layer.graph, labels)
    print(f"wrote {out}")


def export(options: Namespace) -> None:
    """Write every module of a cut network into a file of its own.

    Raises:
        Refused: If the folder holds no cut network, or ``--out`` is taken.
    """
    out = options.out
    with refusals():
        check_free(out, EXPORTED, overwrite=options.overwrite)
        layer = SynchronousGraph.load(options.folder)
        if layer.labels is None:
            raise ValueError(
                f"Expected a cut network (got {options.folder}, which is whole). Cut it first:"
                f" pyg-modules partition {options.folder} --out DIR."
            )
        replaced = exported_files(out) + files_of_encoding(out) if options.overwrite else ()
        with uninterrupted(f"the modules are in {out}"), staged_folder(out, replaced) as stage:
            export_parts(split(layer), stage, file_format=options.format)
            _save_encoding_of(options.folder, stage)
    print(f"wrote {out}")


def datasets(_options: Namespace) -> None:
    """Print the data sets that have names."""
    for name, info in DATASETS.items():
        print(f"{name:10} {info.description}")


def _save_encoding_of(folder: Path, stage: Path) -> Encoding | None:
    """Let a network take along how rows become its inputs, if it knows; this is returned."""
    if not is_there(folder / ENCODING_FILE):
        return None
    encoding = load_encoding(folder)
    encoding.save(stage)
    return encoding
