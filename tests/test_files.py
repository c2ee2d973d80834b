import errno
import itertools
import os
import platform
import random
import resource
import signal
import stat
import tempfile
from functools import partial
from pathlib import Path

import pytest
import safetensors.torch as safetensors
import torch

from pyg_modules import _files, _safetensors
from pyg_modules._files import is_there, read_latest, staged_folder
from tests.writers import (
    REFUSED,
    before_each_call,
    exit_of,
    fails_at_call,
    in_child,
    interleaved,
    kill,
    killed_at_call,
    killed_at_line,
    lines_of,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_files_appear_together_at_the_end(tmp_path):
    with staged_folder(tmp_path / "new") as stage:
        (stage / "a").write_text("1")
        (stage / "b").write_text("2")
        assert not (tmp_path / "new" / "a").exists()
    assert names(tmp_path / "new") == ["a", "b"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_an_interruption_leaves_the_old_files_and_nothing_new(tmp_path, error):
    (tmp_path / "a").write_text("old")

    def write_and_fail():
        with staged_folder(tmp_path) as stage:
            (stage / "a").write_text("half")
            (stage / "b").write_text("new")
            raise error

    with pytest.raises(error):
        write_and_fail()
    assert names(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_a_folder_in_the_place_of_a_file_is_found_before_anything_moves(tmp_path):
    (tmp_path / "b").mkdir()

    def write():
        with staged_folder(tmp_path) as stage:
            (stage / "a").write_text("new")
            (stage / "b").write_text("new")

    with pytest.raises(ValueError, match=r"write the file .*b \(got a folder of that name\)"):
        write()
    assert names(tmp_path) == ["b"]


def test_files_in_folders_go_into_folders(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "mine").write_text("kept")
    with staged_folder(tmp_path) as stage:
        (stage / "inner").mkdir()
        (stage / "inner" / "a").write_text("1")
    assert names(tmp_path) == ["inner"]
    assert names(tmp_path / "inner") == ["a", "mine"]


def test_a_file_in_the_place_of_a_folder_is_found_before_anything_moves(tmp_path):
    (tmp_path / "inner").write_text("mine")

    def write():
        with staged_folder(tmp_path) as stage:
            (stage / "a").write_text("new")
            (stage / "inner").mkdir()
            (stage / "inner" / "b").write_text("new")

    with pytest.raises(ValueError, match=r"got the file .*inner"):
        write()
    assert names(tmp_path) == ["inner"]


def test_a_file_in_the_way_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ValueError, match="got the file"), staged_folder(tmp_path / "file"):
        pass


NAMES = "a", "b", "inner/a", "inner/c"


def write(folder, content, names=NAMES):
    with staged_folder(folder) as stage:
        (stage / "inner").mkdir()
        for name in names:
            (stage / name).write_text(content)


def read(folder):
    """The content of all files, which is one."""
    (content,) = {read_latest(folder / name, Path.read_text) for name in NAMES}
    return content


def files_in(folder):
    """All names, hidden ones as well."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def check_after_kill(folder):
    assert read(folder) in ("old", "new", "dead")
    write(folder, "next")
    assert {(folder / name).read_text() for name in NAMES} == {"next"}
    assert names(folder) == ["a", "b", "inner"]


def test_a_writer_that_is_killed_at_any_call_leaves_all_old_or_all_new(tmp_path):
    found, number, is_killed = [], 0, True
    while is_killed:
        number += 1
        folder = tmp_path / str(number)
        write(folder, "old")
        is_killed = killed_at_call(number, folder, lambda folder=folder: write(folder, "new"))
        found.append(read(folder))
        check_after_kill(folder)
    # Up to the commit the files are the old ones, and from it on the new ones.
    assert found == sorted(found, reverse=True)
    assert found[0] == "old"
    assert found.count("new") > len(NAMES)


def test_a_writer_that_is_killed_at_random_lines_leaves_all_old_or_all_new(tmp_path):
    write(tmp_path, "old")
    last = lines_of(lambda: write(tmp_path, "old"))
    choose = random.Random(0)
    found = set()
    for _ in range(100):
        write(tmp_path, "old")
        killed_at_line(choose.randint(1, last), lambda: write(tmp_path, "new"))
        found.add(read(tmp_path))
        check_after_kill(tmp_path)
    assert found == {"old", "new"}


REPLACED = "gone", "inner/gone"


def replace(folder, content):
    with staged_folder(folder, (*NAMES, *REPLACED, "never there")) as stage:
        (stage / "inner").mkdir()
        for name in NAMES:
            (stage / name).write_text(content)


def test_what_is_replaced_and_not_written_again_goes_and_nothing_else(tmp_path):
    write(tmp_path, "old", (*NAMES, *REPLACED, "inner/mine"))
    replace(tmp_path, "new")
    assert read(tmp_path) == "new"
    assert files_in(tmp_path) == sorted([*NAMES, "inner/mine"])


def test_a_writer_that_is_killed_at_any_call_leaves_what_it_replaces_or_the_new_alone(tmp_path):
    found, number, is_killed = [], 0, True
    while is_killed:
        number += 1
        folder = tmp_path / str(number)
        write(folder, "old", (*NAMES, *REPLACED))
        is_killed = killed_at_call(number, folder, partial(replace, folder, "new"))
        found.append(read(folder))
        assert {is_there(folder / name) for name in REPLACED} == {found[-1] == "old"}
        replace(folder, "next")
        assert files_in(folder) == sorted(NAMES)
    assert found == sorted(found, reverse=True)
    assert found[0] == "old"
    assert found.count("new") > len(NAMES) + len(REPLACED)


def test_a_writer_that_replaces_removes_no_file_of_another(tmp_path):
    found = set()
    for seed in range(30):
        folder = tmp_path / str(seed)
        write(folder, "old", (*NAMES, *REPLACED))
        works = [
            partial(replace, folder, "first"),
            partial(write, folder, "second", (*NAMES, *REPLACED)),
        ]
        assert interleaved(seed, folder, works) == [0, 0]
        found.add(read(folder))
        expected = (*NAMES, *REPLACED) if read(folder) == "second" else NAMES
        assert files_in(folder) == sorted(expected)
    assert found == {"first", "second"}


@pytest.mark.parametrize("once", [True, False])
def test_a_removal_that_fails_loses_nothing(tmp_path, once):
    number, is_refused = 0, False
    while is_refused is not None:
        number += 1
        folder = tmp_path / str(number)
        write(folder, "old", (*NAMES, *REPLACED))
        work = partial(replace, folder, "new")
        is_refused = fails_at_call(number, errno.ENOSPC, folder, work, once=once)
        assert {is_there(folder / name) for name in REPLACED} == {read(folder) == "old"}
        replace(folder, "next")
        assert files_in(folder) == sorted(NAMES)
    assert number > 10


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077])
def test_files_of_tensors_may_be_read_by_whom_others_may_be(tmp_path, mask):
    before = os.umask(mask)
    try:
        _safetensors.write_tensors(tmp_path / "a.safetensors", {"a": torch.arange(3)})
        (tmp_path / "b").write_text("b")
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a.safetensors", "b")]
    assert modes == [0o666 & ~mask] * 2


@pytest.mark.parametrize("once", [True, False])
def test_a_call_that_fails_loses_nothing_and_leaves_nothing_behind(tmp_path, once):
    codes = itertools.cycle([errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EROFS])
    number, is_refused = 0, False
    while is_refused is not None:
        number += 1
        folder = tmp_path / str(number)
        write(folder, "old")
        work = lambda folder=folder: write(folder, "new")  # noqa: E731
        is_refused = fails_at_call(number, next(codes), folder, work, once=once)
        if not is_refused:
            assert read(folder) == "new"
        elif once and not (folder / ".committed").exists():
            assert read(folder) == "old"
        if once and not (folder / ".committed").exists():
            assert files_in(folder) == sorted(NAMES)
        check_after_kill(folder)
    assert number > 10


def test_a_folder_that_could_not_be_written_is_not_left_behind(tmp_path):
    number, is_refused = 0, False
    while is_refused is not None:
        number += 1
        folder = tmp_path / str(number) / "deep"
        work = lambda folder=folder: write(folder, "new")  # noqa: E731
        is_refused = fails_at_call(number, errno.ENOSPC, folder, work, once=True)
        if is_refused and folder.exists():
            assert read(folder) == "new"
        elif is_refused:
            assert not folder.parent.exists()
    assert number > 10


@pytest.mark.parametrize("limit", [0, 1, 2000])
def test_a_file_that_grows_too_large_leaves_the_old_ones(tmp_path, limit):
    write(tmp_path, "old")

    def work():
        # As on a disk that is full, this comes when the bytes are written.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        write(tmp_path, "x" * 3000)

    assert exit_of(in_child(work)) == REFUSED
    assert read(tmp_path) == "old"
    assert files_in(tmp_path) == sorted(NAMES)


def test_two_writers_at_once_leave_the_files_of_one(tmp_path):
    found = set()
    for seed in range(30):
        folder = tmp_path / str(seed)
        write(folder, "old")
        works = [partial(write, folder, content) for content in ("first", "second")]
        assert interleaved(seed, folder, works) == [0, 0]
        found.add(read(folder))
        assert files_in(folder) == sorted(NAMES)
    assert found == {"first", "second"}


def test_a_writer_that_is_killed_beside_another_does_not_stop_it(tmp_path):
    def die(folder, number):
        before_each_call(folder, lambda count: kill() if count == number else None)
        write(folder, "dead")

    for seed in range(30):
        folder = tmp_path / str(seed)
        write(folder, "old")
        works = [partial(die, folder, 1 + 2 * seed), partial(write, folder, "new")]
        assert interleaved(seed, folder, works)[1] == 0
        check_after_kill(folder)


def test_a_link_is_written_through(tmp_path):
    write(tmp_path / "data", "old")
    (tmp_path / "link").symlink_to("data")
    (tmp_path / "broken").symlink_to(tmp_path / "elsewhere")
    for name, behind in (("link", "data"), ("broken", "elsewhere")):
        for content in ("new", "newer"):
            write(tmp_path / name, content)
            assert (tmp_path / name).is_symlink()
            assert read(tmp_path / behind) == read(tmp_path / name) == content
    assert names(tmp_path) == ["broken", "data", "elsewhere", "link"]


def test_a_link_to_itself_is_refused(tmp_path):
    (tmp_path / "link").symlink_to("link")
    with pytest.raises(ValueError, match="a folder to write to"):
        write(tmp_path / "link", "new")
    assert names(tmp_path) == ["link"]


@pytest.mark.skipif(not os.access("/dev/shm", os.W_OK), reason="needs a second disk")
def test_a_link_to_another_disk_is_written_through(tmp_path):
    with tempfile.TemporaryDirectory(dir="/dev/shm") as other:
        assert os.stat(other).st_dev != tmp_path.stat().st_dev
        (tmp_path / "link").symlink_to(other)
        for content in ("old", "new"):
            write(tmp_path / "link", content)
            assert read(Path(other)) == content
        assert files_in(Path(other)) == sorted(NAMES)


def test_the_present_folder_can_be_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for content in ("old", "new"):
        write(".", content)
        assert read(tmp_path) == content
    assert names(tmp_path) == ["a", "b", "inner"]


def test_a_present_folder_that_was_deleted_is_refused(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(ValueError, match="Expected a folder"):
        write(".", "new")


def test_a_link_inside_is_refused_before_anything_moves(tmp_path):
    write(tmp_path / "folder", "old", ["a"])
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "folder" / "inner").rmdir()
    (tmp_path / "folder" / "inner").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match=r"folders in .*folder \(got the link .*inner\)"):
        write(tmp_path / "folder", "new")
    assert (tmp_path / "folder" / "a").read_text() == "old"
    assert names(tmp_path / "folder") == ["a", "inner"]
    assert names(tmp_path / "elsewhere") == []


def test_another_disk_inside_is_refused_before_anything_moves(tmp_path, monkeypatch):
    write(tmp_path, "old")
    stat_of = Path.stat

    def with_a_disk_mounted(path, **settings):
        found = stat_of(path, **settings)
        if path != tmp_path / "inner":
            return found
        return os.stat_result([*found[:2], found.st_dev + 1, *found[3:10]])

    monkeypatch.setattr(Path, "stat", with_a_disk_mounted)
    with pytest.raises(ValueError, match=r"on one disk \(got .*inner on another"):
        write(tmp_path, "new")
    assert read(tmp_path) == "old"
    assert names(tmp_path) == ["a", "b", "inner"]


def test_links_in_what_was_committed_lead_nowhere(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a").write_text("mine")
    hostile = tmp_path / "hostile"
    hostile.mkdir()
    (hostile / ".committed").symlink_to(tmp_path / "mine")
    with pytest.raises(ValueError, match="there is a link"):
        write(hostile, "new")
    (hostile / ".committed").unlink()
    (hostile / ".committed" / "inner").mkdir(parents=True)
    (hostile / ".committed" / "inner" / "a").write_text("theirs")
    (hostile / "inner").symlink_to(tmp_path / "mine")
    with pytest.raises(ValueError, match="there is a link"):
        write(hostile, "new")
    assert (tmp_path / "mine" / "a").read_text() == "mine"


def test_what_dead_writers_left_is_deleted_and_what_others_write_is_not(tmp_path):
    machine, token = platform.node(), _files._TOKEN
    ended = exit_of_a_process()
    dead = [
        ".unfinished-abcdefgh",  # Of an earlier version.
        f".unfinished-{ended}-01234567-{machine}-abcdefgh",
        # Of a process that had the number of this one.
        f".unfinished-{os.getpid()}-01234567-{machine}-abcdefgh",
    ]
    running = [
        f".unfinished-{os.getpid()}-{token}-{machine}-abcdefgh",
        f".unfinished-{os.getppid()}-01234567-{machine}-abcdefgh",
        f".unfinished-{ended}-01234567-another-machine-abcdefgh",
    ]
    for name in (*dead, *running):
        (tmp_path / name / "inner").mkdir(parents=True)
        (tmp_path / name / "inner" / "a").write_text("half")
    write(tmp_path, "new")
    assert names(tmp_path) == sorted([*running, "a", "b", "inner"])


def exit_of_a_process():
    child = in_child(lambda: None)
    exit_of(child)
    return child


def test_a_file_that_a_writer_moves_while_it_is_opened_is_read_at_its_place(tmp_path, monkeypatch):
    committed = tmp_path / ".committed"
    committed.mkdir()
    expected = {"a": torch.arange(3)}
    safetensors.save_file(expected, committed / "model.safetensors")

    def load_file(path):
        """As it is where the file is gone when torch opens it, too."""
        if path.parent == committed:
            os.rename(path, tmp_path / path.name)
            raise RuntimeError(f"unable to open file <{path}> in read-only mode")
        return load(path)

    load = safetensors.load_file
    monkeypatch.setattr(safetensors, "load_file", load_file)
    found = _safetensors.read_tensors(tmp_path / "model.safetensors")
    assert torch.equal(found["a"], expected["a"])
