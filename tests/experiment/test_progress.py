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


def test_what_else_there_is_to_say_stands_behind_the_losses(capsys):
    stream = io.StringIO()
    for progress in (LineProgress(stream), BarProgress(), NoProgress()):
        with progress.phase(
            "regularized", 2, lambda epoch: f"phase {['ramp', 'full'][epoch - 1]}"
        ) as told:
            told(1, {"task": 0.5})
            told(2, {"task": 0.25})
    assert stream.getvalue() == "regularized: epoch 2/2  task 0.2500  phase full\n"
    assert "task 0.2500  phase full" in capsys.readouterr().out


def test_no_progress_prints_nothing(capsys):
    run(NoProgress(), 12)
    assert capsys.readouterr() == ("", "")


def test_bars_show_the_name_the_epochs_and_the_losses(capsys):
    run(BarProgress(), 12)
    printed = capsys.readouterr().out
    assert "free" in printed
    assert "12/12" in printed
    assert "task 0.0833  ncut 0.5000" in printed
