"""Listings: order, names, links, zips, and everything a disk can hold."""

import os
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emocore.corpora import scan as scan_module
from emocore.corpora.leave_out import LeaveOut
from emocore.corpora.listing import list_corpora, walk_media
from emocore.errors import UserError
from emocore.media.source import open_source
from emocore.schema import FAILURES, LISTING

HAPPY, SAD = "03-01-03-01-01-01-01", "03-01-04-01-01-01-02"


def put(root, *paths):
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x" * 3)
    return root


def put_zip(path, *members):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for member in members:
            archive.writestr(member, b"" if member.endswith("/") else b"x" * 4)
    return path


def clips(*roots, **options):
    return list_corpora(roots, **options).clips["clip"].to_pylist()


def walked(*roots, exclude=()):
    """The rows of an archive, in path order."""
    failures = []
    rows = sorted(
        (row for row, _ in walk_media(roots, failures, leave_out=LeaveOut(exclude))), key=lambda row: row["path"]
    )
    assert not failures
    return rows


def reasons(listing, root):
    rows = listing.failures.to_pylist()
    return {row["path"].removeprefix(f"{root}/"): row["reason"] for row in rows}


def test_a_ravdess_corpus(tmp_path):
    put(
        tmp_path,
        f"Actor_01/{HAPPY}.WAV",
        f"Actor_02/{SAD}.mp4",
        "Actor_02/03-01-09-01-01-01-02.wav",
        "notes.txt",
    )
    listing = list_corpora([tmp_path])
    assert listing.clips.schema == LISTING and listing.failures.schema == FAILURES
    assert listing.clips.drop_columns(["soft_label"]).slice(0, 1).to_pylist() == [
        {
            "clip": HAPPY,
            "take": HAPPY[3:],
            "path": f"{tmp_path}/Actor_01/{HAPPY}.WAV",
            "bytes": 3,
            "corpus": "ravdess",
            "modality": "audio-only",
            "channel": "speech",
            "emotion": "happy",
            "intensity": "normal",
            "statement": "kids",
            "repetition": 1,
            "actor": "01",
            "gender": "male",
            "age": None,
            "language": "en",
            "segment_start_seconds": None,
            "segment_end_seconds": None,
            "split": None,
            "extra": None,
        }
    ]
    assert listing.clips["soft_label"].to_pylist() == [[0, 0, 1, 0, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0, 0, 0]]
    (failure,) = listing.failures.to_pylist()
    assert (failure["stage"], failure["reason"], failure["attempts"]) == ("list", "bad_name", 1)
    assert failure["detail"].startswith("'03-01-09-01-01-01-02.wav' has emotion '09', expected one of 01, 02")


def test_a_folder_a_zip_and_a_folder_of_zips_hold_the_same(tmp_path):
    names = [f"Actor_01/{HAPPY}.wav", f"Actor_02/{SAD}.wav"]
    put(tmp_path / "plain", *names)
    put_zip(tmp_path / "one.zip", *names, "Actor_01/", "__MACOSX/Actor_01/._a.wav", "inner.zip", "._b.wav")
    put_zip(tmp_path / "zips/deep/1.zip", names[0])
    put_zip(tmp_path / "zips/2.zip", names[1])
    for root in ("plain", "one.zip"):
        assert clips(tmp_path / root) == [HAPPY, SAD]
    listing = list_corpora([tmp_path / "zips"])
    paths = [f"{tmp_path}/zips/2.zip!/{names[1]}", f"{tmp_path}/zips/deep/1.zip!/{names[0]}"]
    assert listing.clips["path"].to_pylist() == paths
    assert listing.clips["bytes"].to_pylist() == [4, 4]
    with open_source(paths[0]) as stream:
        assert stream.read() == b"xxxx"


def test_ids_in_a_labelled_folder_and_zip_are_paths_below_the_root(tmp_path):
    put(tmp_path / "c", "sad/b.wav")
    put_zip(tmp_path / "c/happy.zip", "x/a.wav")
    rows = list_corpora([tmp_path / "c"]).clips.to_pylist()
    assert [(row["clip"], row["take"], row["emotion"]) for row in rows] == [
        ("happy.zip!/x/a.wav", "happy.zip!/x/a.wav", "happy"),
        ("sad/b.wav", "sad/b.wav", "sad"),
    ]
    assert clips(tmp_path / "c/happy.zip") == ["x/a.wav"]


@given(
    st.permutations(["b/1.wav", "B/1.wav", "a b.wav", "a/\n.wav", "a-/1.wav", "\U0001f600.wav", "\ufffd.wav", "a.wav"])
)
def test_the_order_is_by_code_points_whatever_was_made_first(tmp_path_factory, paths):
    root = put(tmp_path_factory.mktemp("order"), *paths)
    assert clips(root) == sorted(paths)


def test_the_order_does_not_follow_the_file_system(tmp_path, monkeypatch):
    put(tmp_path, "a/1.wav", "b/1.wav", "b/2.wav", "c.wav")
    (tmp_path / "0").symlink_to(tmp_path / "b")
    forward = walked(tmp_path)
    scandir = os.scandir

    class Backwards:
        def __init__(self, path):
            with scandir(path) as entries:
                self.entries = sorted(entries, key=lambda entry: entry.name, reverse=True)

        def __enter__(self):
            return iter(self.entries)

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(scan_module.os, "scandir", Backwards)
    assert walked(tmp_path) == forward
    assert [row["clip"] for row in forward] == ["a/1.wav", "b/1.wav", "b/2.wav", "c.wav"]


def test_linked_folders_are_entered_once_and_loops_end(tmp_path):
    put(tmp_path, "c/z/1.wav", "elsewhere/2.wav")
    for link, target in {"c/a": "c/z", "c/z/up": "c", "c/m": "elsewhere", "c/n": "elsewhere"}.items():
        (tmp_path / link).symlink_to(tmp_path / target)
    assert clips(tmp_path / "c") == ["m/2.wav", "z/1.wav"]


def test_hidden_files_are_skipped(tmp_path):
    put(tmp_path, "happy/._1.wav", ".trash/2.wav", "__MACOSX/3.wav", "happy/4.wav")
    assert clips(tmp_path) == ["happy/4.wav"]


def test_what_cannot_be_listed_is_a_failure_and_the_rest_is_listed(tmp_path):
    put(tmp_path, "good.wav")
    (tmp_path / "gone.wav").symlink_to(tmp_path / "nowhere.wav")
    (tmp_path / "self.wav").symlink_to(tmp_path / "self.wav")
    (tmp_path / "bad.zip").write_bytes(b"no zip")
    os.mkfifo(tmp_path / "pipe.wav")
    (Path(os.fsdecode(os.fsencode(tmp_path) + b"/K\xe4se.wav"))).write_bytes(b"x")
    put_zip(tmp_path / "locked.zip", "s.wav")
    data = bytearray((tmp_path / "locked.zip").read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1  # the encryption flag in the central directory
    (tmp_path / "locked.zip").write_bytes(data)
    listing = list_corpora([tmp_path])
    assert listing.clips["clip"].to_pylist() == ["good.wav"]
    assert reasons(listing, tmp_path) == {
        "gone.wav": "not_found",
        "self.wav": "not_found",
        "bad.zip": "broken",
        "pipe.wav": "unsupported",
        "K\\udce4se.wav": "bad_name",
        "locked.zip!/s.wav": "unsupported",
    }


def test_a_folder_that_may_not_be_entered_is_a_failure(tmp_path, monkeypatch):
    put(tmp_path, "a/1.wav", "b/2.wav")
    scandir = os.scandir

    def refuse(path):
        if Path(path).name == "a":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(scan_module.os, "scandir", refuse)  # root may enter any folder
    listing = list_corpora([tmp_path])
    assert listing.clips["clip"].to_pylist() == ["b/2.wav"]
    assert reasons(listing, tmp_path) == {"a": "not_permitted"}


def test_equal_ids_keep_their_folder(tmp_path):
    put(tmp_path / "c", f"Actor_01/{HAPPY}.wav", f"copy/Actor_01/{HAPPY}.wav", f"copy/Actor_01/{HAPPY}.flac")
    put(tmp_path / "d", f"Actor_01/{HAPPY}.wav", f"{HAPPY}.wav")
    listing = list_corpora([tmp_path / "c", tmp_path / "d"])
    assert listing.clips["clip"].to_pylist() == [
        HAPPY,
        f"{HAPPY}@copy/Actor_01",
        f"{HAPPY}@{tmp_path}/c/copy/Actor_01",
        f"{HAPPY}@{tmp_path}/d",
        f"{HAPPY}@Actor_01",
    ]
    assert set(listing.clips["take"].to_pylist()) == {HAPPY[3:]}


def test_a_file_reached_twice_is_listed_once(tmp_path):
    put(tmp_path / "c", "happy/1.wav", "sad/2.wav")
    (tmp_path / "link").symlink_to(tmp_path / "c")
    (tmp_path / "m.csv").write_text("path\nc/happy/1.wav\n")
    roots = [tmp_path / "c", tmp_path / "c/../c/happy", tmp_path / "link", tmp_path / "m.csv"]
    assert clips(*roots) == ["happy/1.wav", "sad/2.wav"]


def test_takes_of_two_corpora_are_not_confused(tmp_path):
    put(tmp_path, "a/x/1.wav", "b/x/1.wav")
    for name in ("a", "b"):
        (tmp_path / name / "m.csv").write_text("path,take\nx/1.wav,t1\n")
    folders = list_corpora([tmp_path / "a", tmp_path / "b"]).clips
    assert len(set(folders["take"].to_pylist())) == 2
    manifests = list_corpora([tmp_path / "a/m.csv", tmp_path / "b/m.csv"]).clips
    assert manifests["take"].to_pylist() == ["t1", f"t1@{tmp_path}/b/m.csv"]


def test_an_archive_needs_no_labels_and_no_grammar(tmp_path):
    put(tmp_path, "a/happy/1.wav", "a/bored/2.wav", f"a/{HAPPY}.wav", "a/03-01-99-01-01-01-01.wav", "one.mp4")
    rows = walked(tmp_path / "a", tmp_path / "one.mp4")
    assert [row["clip"] for row in rows] == [
        f"{HAPPY}.wav",
        "03-01-99-01-01-01-01.wav",
        "bored/2.wav",
        "happy/1.wav",
        "one.mp4",
    ]
    assert not any({"emotion", "actor"} & row.keys() for row in rows)


@pytest.mark.parametrize("read", [lambda root: list_corpora([root]), walked])
def test_a_wrong_root_is_one_sentence(tmp_path, read):
    put(tmp_path, "empty/notes.txt")
    with pytest.raises(UserError, match=r"'.*/none' does not exist: expected a folder, a zip, "):
        read(tmp_path / "none")
    with pytest.raises(UserError, match=r"'' does not exist"):
        read("")
    with pytest.raises(UserError, match=r"/empty' holds no media: expected files ending in \.3g2, \.3gp, .*\.wmv"):
        read(tmp_path / "empty")
    with pytest.raises(UserError, match=r"notes.txt' is none of these: expected a folder, a zip, "):
        read(tmp_path / "empty/notes.txt")
    for url in ("s3://bucket/corpus", Path("gs://bucket/corpus")):
        with pytest.raises(UserError, match=r"is a URL and this version reads local paths only: copy or mount"):
            read(url)


def test_the_kind_can_be_said(tmp_path):
    put(tmp_path, f"happy/{SAD}.wav", "sad/x.wav")
    assert list_corpora([tmp_path]).clips["emotion"].to_pylist() == ["sad"]
    assert list_corpora([tmp_path], kind="folder").clips["emotion"].to_pylist() == ["happy", "sad"]
    with pytest.raises(UserError, match=r"is no manifest: expected a file ending in \.csv, \.tsv or \.parquet"):
        list_corpora([tmp_path], kind="manifest")
    with pytest.raises(UserError, match="Unknown emotion 'sleepy'"):
        list_corpora([tmp_path], mapping={"happy": "sleepy"})


STORAGE = ("@eaDir", "#recycle", "$RECYCLE.BIN", ".Trash-1000", "lost+found", "__MACOSX", "System Volume Information")


def test_what_storage_keeps_for_itself_is_left_out_and_counted(tmp_path, capsys):
    put(tmp_path, "a/1.wav", *(f"a/{name}/1.wav" for name in STORAGE), "b/@EADIR/deep/2.wav", "@eaDir.wav")
    put_zip(tmp_path / "z.zip", "x/3.wav", "__MACOSX/x/3.wav")
    assert [row["clip"] for row in walked(tmp_path)] == ["@eaDir.wav", "a/1.wav", "z.zip!/x/3.wav"]
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("left out by name: ") and "@eaDir (2)" in line and "__MACOSX (2)" in line
    assert clips(tmp_path) == ["@eaDir.wav", "a/1.wav", "z.zip!/x/3.wav"]


def test_names_and_paths_can_be_excluded(tmp_path, capsys):
    put(tmp_path, "raw/1.wav", "a/raw/2.wav", "a/3_noise.wav", "a/4.WAV", "m.txt")
    exclude = ("*_NOISE.wav", "raw/*")
    assert clips(tmp_path, exclude=exclude) == [row["clip"] for row in walked(tmp_path, exclude=exclude)]
    assert clips(tmp_path, exclude=exclude) == ["a/4.WAV", "a/raw/2.wav"]
    assert "left out by name: " in capsys.readouterr().out
    (tmp_path / "m.csv").write_text("path\na/4.WAV\na/3_noise.wav\n")
    assert clips(tmp_path / "m.csv", exclude=exclude) == ["a/4.WAV"]
    with pytest.raises(UserError, match="holds no media"):
        list_corpora([tmp_path], exclude=["*"])
    with pytest.raises(UserError, match="--exclude '' names nothing: give a name, a path or a glob"):
        list_corpora([tmp_path], exclude=["/"])


def test_names_of_which_a_part_are_of_a_corpus_do_not_lose_its_labels(tmp_path, capsys):
    put(tmp_path, f"Actor_01/{HAPPY}.wav", *(f"Actor_01/{HAPPY}_{n}.wav" for n in range(3)))
    with pytest.raises(UserError) as error:
        list_corpora([tmp_path])
    assert str(error.value) == (
        f"'{tmp_path}': 1 file of 4 is named as ravdess names them, the others are not (such as "
        f"'Actor_01/{HAPPY}_0.wav'), and no folder names an emotion: leave the others out (--exclude GLOB), give "
        "--corpus ravdess, by which they are failures, or a manifest that labels all."
    )
    assert clips(tmp_path, exclude=["*_[0-9].wav"]) == [HAPPY]
    assert clips(tmp_path, kind="ravdess") == [HAPPY]
    put(tmp_path / "by folder", f"happy/{HAPPY}.wav", "happy/1.wav", "sad/2.wav")
    capsys.readouterr()
    assert list_corpora([tmp_path / "by folder"]).clips["emotion"].to_pylist() == ["happy", "happy", "sad"]
    assert "labels are those of the folders; 1 file of 3 named as by ravdess" in capsys.readouterr().out
