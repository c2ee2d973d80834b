import io

from pyg_modules.experiment import BarProgress, LineProgress, NoProgress


def run(progress, epochs):
    with progress.phase("free", epochs) as on_epoch:
        for epoch in range(1, epochs + 1):
            on_epoch(epoch, {"task": 1 / epoch, "ncut": 0.5})


def test_lines_come_every_tenth_epoch_and_at_the_end():
    stream = io.StringIO()
    run(LineProgress(stream), 12)
    assert stream.getvalue().splitlines() == [
        "free: epoch 10/12  task 0.1000  ncut 0.5000",
        "free: epoch 12/12  task 0.0833  ncut 0.5000",
    ]


def test_no_progress_prints_nothing(capsys):
    run(NoProgress(), 12)
    assert capsys.readouterr() == ("", "")


def test_bars_show_the_name_the_epochs_and_the_losses(capsys):
    run(BarProgress(), 12)
    printed = capsys.readouterr().out
    assert "free" in printed
    assert "12/12" in printed
    assert "task 0.0833  ncut 0.5000" in printed
