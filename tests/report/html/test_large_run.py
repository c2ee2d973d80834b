import pytest

from benchmarks.report.large_run import large_run
from pyg_modules.modules import check_independence
from pyg_modules.report.html.page import render_page
from pyg_modules.train import seeded


# Its modules are random.
@pytest.mark.filterwarnings("ignore:.* units take no part any more")
def test_the_run_that_is_measured_has_as_many_edges_as_it_says():
    with seeded(0):
        run = large_run(num_hidden=50, num_edges=1000, num_modules=8)
    assert run.finetuned.graph.num_edges == 1000
    assert run.regularized.graph.num_edges == 2000
    assert sum(run.module_sizes) == run.config.num_hidden == 50
    assert check_independence(run.finetuned, run.samples[:1]).paths == 0
    page = render_page(run, "runs/large")
    assert "Of 1,000 edges, the 500" in page
    assert "not drawn" not in page
