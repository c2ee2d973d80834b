import pytest

from pyg_modules._files import staged_folder


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
