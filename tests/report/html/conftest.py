import shutil

import pytest

from pyg_modules.datasets import Dataset, load_dataset
from pyg_modules.experiment import ExperimentConfig, run_experiment, write_run
from pyg_modules.report.html import write_report


@pytest.fixture(scope="session")
def run():
    """A small run on some of the digits."""
    whole = load_dataset("digits")
    parts = (whole.train_x[:200], whole.train_y[:200], whole.test_x[:100], whole.test_y[:100])
    config = ExperimentConfig(num_modules=3, num_hidden=13, steps=3, epochs=8, finetune_epochs=2)
    return run_experiment(Dataset("digits", *parts, image_shape=(8, 8)), config)


@pytest.fixture(scope="session")
def report(run, tmp_path_factory):
    """The page of the run, alone in its folder."""
    folder = tmp_path_factory.mktemp("run")
    write_run(run, folder)
    alone = tmp_path_factory.mktemp("alone") / "page.html"
    return shutil.move(write_report(folder), alone)


@pytest.fixture(scope="session")
def browser():
    """Chromium without a window."""
    executable = shutil.which("chromium")
    if executable is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable, args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()
