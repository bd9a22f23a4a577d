"""What --verify and a rerun make of unpacked files that were damaged, lost, or have outlived their zip."""

import json
import os
import re
import zipfile

import pytest
from serving import CLIPS, below, zipped

from emocore.corpora.download.unpack import unpack, whole_without_zip
from emocore.corpora.download.unpacked import UNPACKED

ACTORS = ["01", "02"]
NAME = "Actor_01/03-01-01-01-01-01-01.wav"
OTHER = "Actor_02/03-01-03-01-01-01-02.wav"


@pytest.fixture
def unpacked(packed, tmp_path):
    """A folder that the zip a.zip was unpacked into."""
    unpack([packed(CLIPS)], str(tmp_path / "U"), ACTORS)
    return tmp_path / "U"


def again(unpacked, *, verify=False, actors=ACTORS):
    return unpack([unpacked.parent / "a.zip"], str(unpacked), actors, verify=verify)


def rot(file):
    """Change a byte, and nothing that a look at the folder shows."""
    status = file.stat()
    file.write_bytes(bytes([file.read_bytes()[0] ^ 1]) + file.read_bytes()[1:])
    os.utime(file, ns=(status.st_mtime_ns, status.st_mtime_ns))


def refuse(*arguments):
    raise AssertionError("read again")


def test_what_was_unpacked_is_known_without_reading(unpacked, monkeypatch):
    monkeypatch.setattr("emocore.corpora.download.unpacked._crc32", refuse)
    assert again(unpacked).restored == 0


def test_verify_reports_and_restores_what_changed_without_a_trace(unpacked, capsys):
    rot(unpacked / NAME)
    (unpacked / OTHER).unlink()
    capsys.readouterr()
    done = again(unpacked, verify=True)
    assert (done.files, done.restored) == (4, 2)
    out = capsys.readouterr().out
    assert re.search(rf"U/{NAME} has CRC [0-9a-f]{{8}}, expected [0-9a-f]{{8}}: it is unpacked anew\n", out)
    assert f"U/{OTHER} is missing: it is unpacked anew\n" in out
    assert below(unpacked) == CLIPS
    assert again(unpacked, verify=True).restored == 0


@pytest.mark.parametrize("content", [b"9", b"", b"longer"])
def test_a_rerun_restores_what_was_written_over(unpacked, content):
    (unpacked / NAME).write_bytes(content)
    assert again(unpacked).restored == 1
    assert below(unpacked) == CLIPS


def test_a_file_that_nobody_wrote_down_is_read_and_kept_or_replaced(unpacked, packed, capsys):
    (unpacked / UNPACKED).unlink()
    (unpacked / NAME).write_bytes(b"9")  # of the right size
    before = (unpacked / OTHER).stat().st_mtime_ns
    assert again(unpacked).restored == 1
    assert below(unpacked) == CLIPS and (unpacked / OTHER).stat().st_mtime_ns == before


@pytest.mark.parametrize("text", ["", "{", "[]", '{"files": {"a": 1}}', '{"files": {"a": {"archive": "a.zip"}}}'])
def test_a_record_that_cannot_be_read_is_made_anew(unpacked, text):
    whole = json.loads((unpacked / UNPACKED).read_text())
    (unpacked / UNPACKED).write_text(text)
    assert again(unpacked).restored == 0
    assert json.loads((unpacked / UNPACKED).read_text()) == whole


def test_a_file_that_cannot_be_read_is_restored(unpacked, monkeypatch, capsys):
    def broken(file):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("emocore.corpora.download.unpacked._crc32", broken)
    assert again(unpacked, verify=True).restored == 4
    assert "cannot be read (Input/output error): it is unpacked anew" in capsys.readouterr().out


def test_another_version_of_a_zip_replaces_its_files(unpacked, packed):
    assert unpack([packed({**CLIPS, NAME: b"2"})], str(unpacked), ACTORS).restored == 1
    assert (unpacked / NAME).read_bytes() == b"2"


def test_what_was_written_down_stands_in_for_a_zip_that_is_gone(unpacked, capsys):
    assert whole_without_zip(["a.zip", "b.zip"], str(unpacked), ACTORS) == {"a.zip": 4}
    rot(unpacked / NAME)
    assert whole_without_zip(["a.zip"], str(unpacked), ["02"]) == {"a.zip": 2}
    assert whole_without_zip(["a.zip"], str(unpacked), ACTORS) == {}
    assert f"U/{NAME} has CRC" in capsys.readouterr().out
    assert whole_without_zip(["a.zip"], str(unpacked.parent), ACTORS) == {}


def test_actors_who_were_never_unpacked_need_the_zip(packed, tmp_path, capsys):
    unpack([packed(CLIPS)], str(tmp_path / "U"), ["01"])
    assert whole_without_zip(["a.zip"], str(tmp_path / "U"), ["01"]) == {"a.zip": 2}
    assert whole_without_zip(["a.zip"], str(tmp_path / "U"), ACTORS) == {}
    assert "is missing" not in capsys.readouterr().out
    assert again(tmp_path / "U").restored == 0  # what is new was not damaged
    assert whole_without_zip(["a.zip"], str(tmp_path / "U"), ACTORS) == {"a.zip": 4}


def test_unpacking_some_actors_forgets_no_others(unpacked, monkeypatch):
    again(unpacked, actors=["01"])
    monkeypatch.setattr("emocore.corpora.download.unpacked._crc32", refuse)
    again(unpacked)


def test_the_job_verifies_unpacked_files_with_the_zip_and_without(job, record, tmp_path):
    name, clip = "Video_Song_Actor_01.zip", "Actor_01/01-01-01-01-01-01-01.mp4"
    record.files[name] = zipped(actors=["01"])
    command = [
        "ravdess",
        "--subset",
        "video-song",
        "--actors",
        "1",
        "--dest",
        tmp_path / "D",
        "--unpack",
        tmp_path / "U",
    ]
    assert job(*command).code == 0
    rot(tmp_path / "U" / clip)
    found = job(*command, "--verify")
    assert f"U/{clip} has CRC" in found.out and found.out.endswith("U has 1 file of these actors, 1 of them restored\n")
    record.requests.clear()
    (tmp_path / "D" / name).unlink()
    alone = job(*command, "--verify")
    sentence = (
        f"{name} is not in {tmp_path}/D, but what was unpacked from it into {tmp_path}/U is whole (1 file); without "
        "--verify it is fetched"
    )
    assert sentence in alone.out and alone.out.endswith("U has 1 file of these actors\n") and not record.requests
    rot(tmp_path / "U" / clip)
    restored = job(*command, "--verify")
    assert "its zip is needed again" in restored.out and "fetched 1 of 1 file" in restored.out
    with zipfile.ZipFile(tmp_path / "D" / name) as archive:
        assert (tmp_path / "U" / clip).read_bytes() == archive.read(clip)
