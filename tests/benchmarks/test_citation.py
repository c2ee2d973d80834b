import json
from itertools import product

import pytest
import torch
from torch_geometric.data import Data

from benchmarks.accuracy import citation
from tests.strategies import generator


@pytest.fixture
def papers(monkeypatch):
    """Two sets of 40 papers, and no files."""
    draw, node = generator(0), torch.arange(40)
    x = (torch.rand(40, 12, generator=draw) < 0.3).float()
    edges = torch.randint(40, (2, 120), generator=draw)
    masks = {
        "train_mask": node % 4 < 2,
        "val_mask": node % 4 == 2,
        "test_mask": node % 4 == 3,
    }
    data = Data(x=x, edge_index=edges, y=node % 3, words=x.nonzero().T, **masks)
    monkeypatch.setattr(citation, "load", lambda *_: data)


@pytest.mark.usefixtures("papers")
def test_the_quick_benchmark_of_citations_measures_every_network(tmp_path, capsys):
    out = tmp_path / "citation.json"
    with pytest.raises(SystemExit):
        citation.main(["--quick", "--data-root", str(tmp_path), "--out", str(out)])
    for name in ("Cora", "CiteSeer"):
        (tmp_path / "Planetoid" / name / "raw").mkdir(parents=True)
    citation.main(["--quick", "--data-root", str(tmp_path), "--out", str(out)])
    sets = json.loads(out.read_text())["sets"]
    assert list(sets) == ["Cora", "CiteSeer"]
    for result in sets.values():
        assert list(result["trials"]) == ["GCN", "SynchronousConv"]
        assert [(one["seed"], one["row"]) for one in result["runs"]] == list(
            product(range(2), citation.ROWS)
        )
        sizes = {one["row"]: one["num_parameters"] for one in result["runs"]}
        # 12 words and 3 classes; 11 hidden units, each with an input of its own.
        assert sizes["GCN"] == 12 * 32 + 32 + 32 * 3 + 3
        among, whole = 11 * 11, 12 * 11 + 2 * (11 + 11 * 11 + 11 * 3) + 11 + 3
        assert sizes["SynchronousConv"] == whole
        # Blocks of 3, 3, 3 and 2 units.
        cut = whole - 2 * (among - 3 * 9 - 4)
        assert [sizes[row] for row in list(citation.ROWS)[2:]] == [cut] * 4
    printed = capsys.readouterr().out
    assert all(f"| CiteSeer: {row} |" in printed for row in citation.ROWS)
