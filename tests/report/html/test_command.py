import shlex
from dataclasses import fields, replace

from pyg_modules.cli.parser import make_parser
from pyg_modules.experiment import ExperimentConfig
from pyg_modules.report.html.command import train_command


def test_the_command_has_the_settings_of_the_run(run):
    name, *arguments = shlex.split(" ".join(train_command(run, "runs/x")))
    assert name == "pyg-modules"
    options = make_parser().parse_args(arguments)
    assert options.command == "train"
    assert (options.dataset, str(options.out)) == ("digits", "runs/x")
    settings = {field.name: getattr(options, field.name) for field in fields(ExperimentConfig)}
    assert ExperimentConfig(**settings) == run.config


def test_names_are_quoted_for_a_shell(run):
    pieces = train_command(replace(run, dataset="a; rm b"), "my 'runs'/$HOME")
    arguments = shlex.split(" ".join(pieces))
    assert arguments[3] == "a; rm b"
    assert arguments[-1] == "my 'runs'/$HOME"
    assert pieces[:2] == ["pyg-modules train", "--dataset 'a; rm b'"]


def test_names_that_begin_with_a_hyphen_are_no_options(run):
    _, *arguments = shlex.split(" ".join(train_command(replace(run, dataset="-x"), "-out")))
    assert arguments[:2] == ["train", "--dataset=-x"]
    assert arguments[-1] == "--out=-out"
