"""Unpacking: the actors asked for, whole files only, and nothing outside the folder."""

import re
import stat
import zipfile
from types import SimpleNamespace

import pytest
from serving import CLIPS, below, watch_disk

from emocore.corpora.download.unpack import check_apart, unpack
from emocore.errors import UserError


def test_only_the_chosen_actors_and_what_belongs_to_all(packed, tmp_path):
    archive = packed({**CLIPS, "README.txt": b"r", "__MACOSX/._x.wav": b"x", ".DS_Store": b"y"})
    assert unpack([archive], str(tmp_path / "U"), ["02"]).files == 3
    assert below(tmp_path / "U") == {
        "README.txt": b"r",
        "Actor_02/03-01-01-01-01-01-02.wav": b"1",
        "Actor_02/03-01-03-01-01-01-02.wav": b"3",
    }


def test_a_second_run_writes_what_is_missing_or_of_another_size(packed, tmp_path):
    archive, folder = packed(CLIPS), tmp_path / "U"
    unpack([archive], str(folder), ["01", "02"])
    kept, cut, gone = sorted(path for path in folder.rglob("*.wav"))[:3]
    before = kept.stat().st_mtime_ns
    cut.write_bytes(b"")
    gone.unlink()
    unpack([archive], str(folder), ["01", "02"])
    assert below(folder) == CLIPS
    assert kept.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("../evil.wav", "leads outside the folder"),
        ("Actor_01/../../evil.wav", "leads outside the folder"),
        ("..\\evil.wav", "leads outside the folder"),
        ("/tmp/evil.wav", "leads outside the folder"),
        ("C:/evil.wav", "leads outside the folder"),
        ("C:evil.wav", "leads outside the folder"),
        ("Actor_01\\evil.wav", "no folder can hold"),
    ],
)
def test_a_name_that_leads_outside_is_refused_before_anything_is_written(packed, tmp_path, name, fault):
    archive = packed({**CLIPS, name: b"evil"})
    with pytest.raises(UserError, match=rf"a\.zip holds {re.escape(repr(name))}, which {fault}: nothing was unpacked"):
        unpack([packed(CLIPS, "good.zip"), archive], str(tmp_path / "U"), ["01"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip", "good.zip"]


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_a_link_or_device_in_a_zip_is_refused(packed, tmp_path, kind):
    link = zipfile.ZipInfo("Actor_01")
    link.external_attr = (kind | 0o777) << 16
    with pytest.raises(UserError, match="holds 'Actor_01', which is a link or a device: nothing was unpacked"):
        unpack([packed({link: b"/etc", **CLIPS})], str(tmp_path / "U"), ["01"])
    assert not (tmp_path / "U").exists()


def test_an_encrypted_member_is_refused(packed, tmp_path):
    archive = packed({"03-01-01-01-01-01-01.wav": b"1"})
    content = bytearray(archive.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= 1
    archive.write_bytes(content)
    with pytest.raises(UserError, match=r"which is encrypted"):
        unpack([archive], str(tmp_path / "U"), ["01"])


def test_a_link_in_the_folder_is_not_followed_outside(packed, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "U").mkdir()
    (tmp_path / "U" / "Actor_01").symlink_to(outside)
    with pytest.raises(UserError, match="is a link that leads outside"):
        unpack([packed(CLIPS)], str(tmp_path / "U"), ["01"])
    assert not list(outside.iterdir())


def test_a_link_in_place_of_a_file_is_replaced_not_written_through(packed, tmp_path):
    name = "03-01-01-01-01-01-01.wav"
    (tmp_path / "precious").write_bytes(b"p")
    (tmp_path / "U").mkdir()
    (tmp_path / "U" / name).symlink_to(tmp_path / "precious")
    unpack([packed({name: b"1"})], str(tmp_path / "U"), ["01"])
    assert (tmp_path / "precious").read_bytes() == b"p"
    assert (tmp_path / "U" / name).read_bytes() == b"1"


def test_a_member_with_a_wrong_crc_leaves_no_file(packed, tmp_path):
    archive = packed({"03-01-01-01-01-01-01.wav": b"content"})
    archive.write_bytes(archive.read_bytes().replace(b"content", b"CONTENT"))
    with pytest.raises(UserError, match=r"holds '03-01-01-01-01-01-01\.wav', which cannot be read \(Bad CRC-32"):
        unpack([archive], str(tmp_path / "U"), ["01"])
    assert below(tmp_path / "U") == {}


def test_what_is_no_zip_is_one_sentence(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"no zip")
    with pytest.raises(UserError, match=r"a\.zip cannot be unpacked \(File is not a zip file\): run the same command"):
        unpack([tmp_path / "a.zip"], str(tmp_path / "U"), ["01"])


def test_too_little_space_is_said_before_anything_is_written(packed, tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1))
    with pytest.raises(UserError, match=r"U has 0\.0 MB free, and unpacking takes 0\.0 MB: free some space"):
        unpack([packed(CLIPS)], str(tmp_path / "U"), ["01", "02"])
    assert below(tmp_path / "U") == {}


@pytest.mark.parametrize(("dest", "folder"), [("D", "D"), ("D", "D/U"), ("U/D", "U"), ("D", "D/x/../U")])
def test_zips_and_clips_lie_apart(tmp_path, dest, folder):
    with pytest.raises(UserError, match="lie in one another, and as a corpus would hold every clip twice"):
        check_apart(str(tmp_path / dest), str(tmp_path / folder))
    check_apart(str(tmp_path / "D"), str(tmp_path / "DU"))


def test_a_power_cut_leaves_no_half_file_with_a_whole_name(packed, tmp_path, monkeypatch):
    archive, folder = packed(CLIPS), tmp_path / "U"
    seen = watch_disk(monkeypatch)
    unpack([archive], str(folder), ["01", "02"])
    for name in CLIPS:
        begin = str((folder / name).with_name(f".{(folder / name).name}."))
        assert [event for event, path in seen if path.startswith(begin)] == ["sync", "name"]
    last = max(i for i, (event, path) in enumerate(seen) if event == "name" and ".wav." in path)
    folders = [str(folder / "Actor_01"), str(folder / "Actor_02"), str(folder)]
    assert {path for event, path in seen[last:] if event == "sync" and path in folders} == set(folders)
    written = [event for event, path in seen[last:] if f"{folder}/..unpacked.json." in path]
    assert "name" in written  # what is written down is on the disk already
