"""What the walk passes over is counted by suffix, so that no file of an archive goes without a word."""

import os
import zipfile
from collections import Counter
from pathlib import Path

from emocore.corpora.listing import walk_media
from emocore.corpora.scan import describe_passed_over, walk
from emocore.storage.folder import output_folder


def put(root, *paths):
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
    return str(root)


def passed_over(root, stills=False):
    counts = Counter()
    listed = list(walk(root, stills, passed_over=counts))
    return dict(counts), len(listed)


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
    counts = Counter()
    assert len(list(walk_media(roots, [], passed_over=counts))) == 2
    assert counts == {".txt": 2}
    assert describe_passed_over(counts) == "passed over as no media: 2 .txt"
