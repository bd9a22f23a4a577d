"""Nothing is written, emptied or deleted through a link that stands in an output folder."""

import os

import pytest

from emocore.errors import UserError
from emocore.storage.files import write_json, write_text
from emocore.storage.folder import folder_lock, output_folder, tables_lock
from emocore.storage.local import clear_unfinished

CONFIG = {"command": "label", "options": {"seed": 0}}


def enter(out):
    with output_folder(str(out), CONFIG, "summary.json") as folder:
        return folder


@pytest.fixture
def thesis(tmp_path):
    path = tmp_path / "thesis.tex"
    path.write_text("years of work")
    yield path
    assert path.read_text() == "years of work"


@pytest.fixture
def out(tmp_path):
    enter(tmp_path / "out")
    return tmp_path / "out"


@pytest.mark.parametrize(
    "name", [".lock", "config.json", ".archive.sqlite", "summary.json", "report.html", "labels/000000.parquet"]
)
def test_a_link_in_the_place_of_a_file_of_ours(out, thesis, name):
    (out / name).parent.mkdir(exist_ok=True)
    (out / name).unlink(missing_ok=True)
    (out / name).symlink_to(thesis)
    with pytest.raises(UserError, match=r"is a link: nothing is written through one, so take it away") as error:
        enter(out)
    assert str(out / name) in str(error.value)


@pytest.mark.parametrize("name", ["labels", "failures", ".journals", "features", "features/article-160"])
def test_a_link_in_the_place_of_a_folder_of_ours(out, tmp_path, thesis, name):
    (out / name).parent.mkdir(exist_ok=True)
    (out / name).symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(UserError, match="is a link"):
        enter(out)


def test_a_link_to_nowhere_makes_no_file_there(out, tmp_path):
    (out / ".lock").unlink()
    (out / ".lock").symlink_to(tmp_path / "made")
    with pytest.raises(UserError, match="is a link"), folder_lock(out, "busy"):
        pass
    assert not (tmp_path / "made").exists()


def test_a_new_folder_with_a_link_for_its_lock(tmp_path, thesis):
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / ".lock").symlink_to(thesis)
    with pytest.raises(UserError, match="is a link"):
        enter(tmp_path / "new")


def test_a_pipe_is_not_waited_for(out):
    (out / ".lock").unlink()
    os.mkfifo(out / ".lock")
    with pytest.raises(UserError, match="is no file"):
        enter(out)
    with pytest.raises(UserError, match="is no file"), folder_lock(out, "busy"):
        pass


def test_the_lock_keeps_what_it_holds(out):
    (out / ".lock").write_text("kept")
    enter(out)
    assert (out / ".lock").read_text() == "kept"


def test_tables_that_are_read_lock_no_link(out, thesis):
    (out / ".lock").unlink()
    (out / ".lock").symlink_to(thesis)
    with pytest.raises(UserError, match="is a link"), tables_lock([str(out)]):
        pass


def test_the_folder_itself_may_be_reached_by_a_link(tmp_path, out):
    (tmp_path / "link").symlink_to(out)
    enter(tmp_path / "link")


@pytest.mark.parametrize("write", [write_text, write_json])
def test_a_link_under_the_name_of_an_unfinished_file(out, thesis, write):
    (out / ".config.json.tmp").symlink_to(thesis)
    write(out / "config.json", "{}")
    assert not (out / "config.json").is_symlink()


def test_unfinished_parts_of_every_depth_are_cleared(out):
    for name in (".a.tmp", "labels/.b.tmp", "features/article-160/.c.tmp"):
        (out / name).parent.mkdir(exist_ok=True, parents=True)
        (out / name).touch()
    clear_unfinished(out)
    assert not list(out.rglob(".*.tmp"))
