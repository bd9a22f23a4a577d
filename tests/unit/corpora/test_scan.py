"""What the walk passes over is counted by suffix, so that no file of an archive goes without a word."""

import os
import zipfile
from pathlib import Path

import pytest

from emocore.corpora.leave_out import LeaveOut, describe_passed_over
from emocore.corpora.listing import list_corpora, walk_media
from emocore.corpora.scan import walk
from emocore.storage.folder import output_folder


def put(root, *paths):
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
    return str(root)


def passed_over(root, stills=False):
    leave_out = LeaveOut()
    listed = list(walk(root, stills, leave_out))
    return dict(leave_out.unlisted.passed_over), len(listed)


def test_what_is_no_media_by_its_suffix_is_counted(tmp_path):
    root = put(tmp_path, "a.wav", "a.MP4", "b.txt", "c/d.TXT", "c/README", "c/x.y/z.doc", "c/e.tar.gz", "c/f.")
    assert passed_over(root) == ({".txt": 2, "": 1, ".doc": 1, ".gz": 1, ".": 1}, 2)


def test_stills_are_passed_over_only_by_models_of_sound(tmp_path):
    root = put(tmp_path, "a.wav", "b.jpg", "c.png")
    assert passed_over(root) == ({".jpg": 1, ".png": 1}, 1)
    assert passed_over(root, stills=True) == ({}, 3)


def test_hidden_files_do_not_count(tmp_path):
    root = put(tmp_path, ".DS_Store", "._a.wav", ".git/config", "__MACOSX/a.txt", "a.wav")
    assert passed_over(root) == ({}, 1)


def test_members_of_zips_count_and_their_folders_do_not(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("a.wav", "folder/", "folder/b.txt", "v1.2/notes", ".hidden/c.txt", "inner.zip"):
            archive.writestr(name, b"")
    expected = {".txt": 1, "": 1, ".zip": 1}
    assert passed_over(str(tmp_path)) == (expected, 1)
    assert passed_over(str(tmp_path / "a.zip")) == (expected, 1)


def test_what_our_own_commands_wrote_does_not_count(tmp_path):
    put(tmp_path, "a.wav", "b.txt")
    with output_folder(str(tmp_path / "out"), {"command": "label"}, "summary.json") as folder:
        put(folder.path, "labels/000000.parquet", "report.html")
        assert passed_over(str(tmp_path)) == ({".txt": 1}, 1)
    put(tmp_path, "output/c.txt", "theirs/config.json")
    assert passed_over(str(tmp_path)) == ({".txt": 2, ".json": 1}, 1)


def test_a_linked_folder_counts_once(tmp_path):
    put(tmp_path, "a/b.txt", "a/a.wav")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert passed_over(str(tmp_path)) == ({".txt": 1}, 1)


def test_a_suffix_that_is_no_text_can_be_written(tmp_path):
    Path(os.fsdecode(bytes(tmp_path) + b"/a.\xff")).write_bytes(b"x")
    counts, _ = passed_over(put(tmp_path, "a.wav"))
    assert list(counts.values()) == [1]
    assert "".join(counts).encode()


def test_an_archive_of_several_roots_has_one_count(tmp_path):
    roots = [put(tmp_path / name, "a.wav", "b.txt") for name in ("one", "two")]
    leave_out = LeaveOut()
    assert len(list(walk_media(roots, [], leave_out=leave_out))) == 2
    assert leave_out.unlisted.passed_over == {".txt": 2}
    assert describe_passed_over(leave_out.unlisted.passed_over) == "passed over as no media: 2 .txt"


@pytest.fixture
def linked(tmp_path):
    """An archive with links to a folder, a file and a zip elsewhere, within itself, to nothing, and to no media."""
    put(tmp_path, "elsewhere/deep/b.wav", "c.wav", "notes.txt", "archive/a.wav", "archive/sub/d.wav", "archive-2/e.wav")
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as file:
        file.writestr("f.wav", b"x")
    archive = tmp_path / "archive"
    links = {"1": "../elsewhere", "2.wav": "../c.wav", "3.zip": "../z.zip", "4": "../archive-2"}
    for name, target in {
        **links,
        "5": "sub",
        "6.wav": "a.wav",
        "7.wav": "../gone.wav",
        "8.txt": "../notes.txt",
    }.items():
        (archive / name).symlink_to(target)
    return archive


def listed(root, **options):
    leave_out = LeaveOut(**options)
    found = list(walk(str(root), leave_out=leave_out))
    return sorted(item.below for item in found if not isinstance(item, dict)), leave_out.unlisted


def test_links_that_lead_out_of_an_archive_are_told(linked):
    below, unlisted = listed(linked)
    assert below == ["1/deep/b.wav", "2.wav", "3.zip!/f.wav", "4/e.wav", "6.wav", "a.wav", "sub/d.wav"]
    assert (unlisted.links_out, unlisted.links_left_out) == (4, 0)
    (line,) = unlisted.lines()
    link, target = unlisted.link_out.split(" (to ")
    assert Path(link).is_symlink() and Path(link).parent == linked and os.path.realpath(link) == target.rstrip(")")
    assert line == f"4 links followed to what lies elsewhere, such as {link} (to {target}: --no-follow leaves links out"


def test_no_follow_leaves_links_out_wherever_they_lead(linked):
    below, unlisted = listed(linked, no_follow=True)
    assert below == ["a.wav", "sub/d.wav"]
    assert (unlisted.links_out, unlisted.links_left_out) == (0, 7)
    assert unlisted.passed_over == {".txt": 1}
    assert unlisted.lines() == ["left out: 7 links"]
    assert listed(linked / "1", no_follow=True)[0] == ["deep/b.wav"]  # named by the user


def test_a_root_of_root_is_left_by_no_link(tmp_path):
    leave_out = LeaveOut()
    (tmp_path / "a").symlink_to("/")
    assert not leave_out.has_link(str(tmp_path / "a"), "/")
    assert leave_out.unlisted.links_out == 0


def test_a_corpus_says_what_it_holds_beside_its_clips(linked, capsys):
    put(linked, "@eaDir/a.wav", "b.txt")
    listing = list_corpora([linked])
    assert listing.clips.num_rows == 7
    assert listing.unlisted.to_json() == {
        "passed_over": {".txt": 2},
        "left_out": {"@eaDir": 1},
        "links_left_out": 0,
        "links_out": 4,
    }
    assert "4 links followed" in capsys.readouterr().out
    assert list_corpora([linked], no_follow=True).clips.num_rows == 2
    assert "left out: 7 links" in capsys.readouterr().out
