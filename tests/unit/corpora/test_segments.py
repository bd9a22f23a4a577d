"""Manifests of segments: several clips of one file, that stay together."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from emocore.corpora.corpus import Corpus
from emocore.corpora.fingerprint import fingerprint
from emocore.corpora.listing import list_corpora, walk_media
from emocore.corpora.segments import cut
from emocore.datasets.groups import groups
from emocore.datasets.protocols import draw_validation, inner_folds
from emocore.datasets.selection import select
from emocore.errors import UserError
from emocore.media.fragment import Segment


@pytest.fixture
def write(tmp_path):
    for name in ("a.wav", "b.wav"):
        (tmp_path / name).write_bytes(b"sound")

    def write_manifest(text, name="m.csv"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write_manifest


def clips(path, **options):
    return list_corpora([path], **options).clips.to_pylist()


def places(path):
    return [(row["clip"], row["segment_start_seconds"], row["segment_end_seconds"]) for row in clips(path)]


def test_segments_of_a_file_are_clips_of_one_take(write, tmp_path):
    text = "path,start_seconds,end_seconds,emotion,actor\na.wav,12.5,14,sad,1\na.wav,0.001,1.5,happy,2\nb.wav,,,sad,1\n"
    first, second, third = clips(write(text))
    assert (first["clip"], first["path"]) == ("a.wav#t=0.001,1.5", f"{tmp_path}/a.wav#t=0.001,1.5")
    assert (second["path"], second["bytes"], second["emotion"]) == (f"{tmp_path}/a.wav#t=12.5,14.0", 5, "sad")
    assert (second["segment_start_seconds"], second["segment_end_seconds"]) == (12.5, 14.0)
    assert first["take"] == second["take"] == f"{tmp_path}/a.wav" and first["extra"] is None
    assert (third["path"], third["segment_start_seconds"], third["take"]) == (f"{tmp_path}/b.wav", None, "b.wav")


@pytest.mark.parametrize(
    ("names", "start", "end"),
    [
        ("start,end", "1.5", "3"),
        ("Start_Seconds,END_SECONDS", "1.5", "3."),
        ("segment_start_seconds,segment_end_seconds", "1.5e0", "3.0"),
        ("start,end", "0 days 00:00:01.500000", "0 days 00:00:03"),
        ("start,end", "0:00:01.5", "00:00:03.000"),
    ],
)
def test_begins_and_ends_as_people_and_tools_write_them(write, names, start, end):
    assert places(write(f"path,{names}\na.wav,{start},{end}\n")) == [("a.wav#t=1.5,3.0", 1.5, 3.0)]


def test_a_segment_without_an_end_goes_to_the_end_and_without_both_it_is_the_file(write):
    text = "path,start,end\na.wav,2,\na.wav,,2\na.wav,0 days 00:00:00,NaT\nb.wav,,\n"
    assert places(write(text)) == [
        ("a.wav", None, None),
        ("a.wav#t=0.0,2.0", 0.0, 2.0),
        ("a.wav#t=2.0", 2.0, None),
        ("b.wav", None, None),
    ]


def test_durations_and_numbers_of_parquet(write, tmp_path):
    write("")
    times = {
        "start": pa.array([1_500_000_000, 0], pa.duration("ns")),
        "end": pa.array([3_000, None], pa.duration("ms")),
    }
    pq.write_table(pa.table({"path": ["a.wav", "b.wav"], **times}), tmp_path / "m.parquet")
    assert places(tmp_path / "m.parquet") == [("a.wav#t=1.5,3.0", 1.5, 3.0), ("b.wav", None, None)]
    pq.write_table(pa.table({"path": ["a.wav"], "start": [1e-5], "end": [0.1 + 0.2]}), tmp_path / "m.parquet")
    assert places(tmp_path / "m.parquet")[0][1:] == (1e-5, 0.1 + 0.2)


def test_rows_of_one_segment_are_raters(write):
    text = "path,start,end,emotion\na.wav,1,2,sad\na.wav,1.0,2.00,happy\na.wav,1,2,happy\na.wav,2,3,sad\n"
    first, second = clips(write(text))
    assert (first["emotion"], second["emotion"]) == ("happy", "sad")
    assert first["soft_label"] == pytest.approx([0, 0, 2 / 3, 1 / 3, 0, 0, 0, 0])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("path,start,end\na.wav,2,1\n", "row 1: the segment begins at 2 s and ends at 1 s, expected an end behind"),
        ("path,start,end\na.wav,,\na.wav,2,2\n", "row 2: the segment begins at 2 s and ends at 2 s"),
        ("path,start,end\na.wav,-1,2\n", "row 1: start is '-1', expected seconds from the begin of the file on"),
        ("path,start_seconds\na.wav,nan\n", "row 1: start_seconds is 'nan', expected seconds"),
        ("path,start,end\na.wav,1,inf\n", "row 1: end is 'inf', expected seconds"),
        ('path,start,end\na.wav,"1,5",2\n', "row 1: start is '1,5', expected seconds"),
        ("path,start,start_seconds\na.wav,1,1\n", "row 1: start_seconds and start both say one thing"),
        ('path,start,end\n"a.wav#t=1,2",1,3\n', "row 1: 'a.wav#t=1,2' names another segment than the cells"),
    ],
)
def test_nonsense_is_one_sentence_with_the_row(write, text, sentence):
    with pytest.raises(UserError, match=sentence):
        clips(write(text))


def test_the_path_of_a_labelled_segment_comes_back(write, tmp_path):
    """`labels/` has such paths, and no columns of times."""
    assert places(write(f'path,emotion\n"{tmp_path}/a.wav#t=1.5,3.0",sad\n"a.wav#t=1,2",happy\n')) == [
        ("a.wav#t=1.0,2.0", 1.0, 2.0),
        (f"{tmp_path}/a.wav#t=1.5,3.0", 1.5, 3.0),
    ]
    (tmp_path / "a.wav#t=1,2").write_bytes(b"odd")
    assert places(write('path\n"a.wav#t=1,2"\n')) == [("a.wav#t=1,2", None, None)]


def test_label_reads_segments_of_a_manifest_too(write, tmp_path):
    found = [row for row, _ in walk_media([write("path,start,end,emotion\na.wav,1,2,bored\na.wav,2,3,x\n")], [])]
    assert [row["path"] for row in found] == [f"{tmp_path}/a.wav#t=1.0,2.0", f"{tmp_path}/a.wav#t=2.0,3.0"]
    assert [(row["segment_start_seconds"], row["bytes"], "emotion" in row) for row in found] == [
        (1.0, 5, False),
        (2.0, 5, False),
    ]


def test_each_segment_of_a_file_that_is_gone_is_a_failure(write, tmp_path):
    listing = list_corpora([write("path,start,end\nno.wav,1,2\nno.wav,2,3\na.wav,1,2\n")])
    assert listing.failures["path"].to_pylist() == [f"{tmp_path}/no.wav#t=1.0,2.0", f"{tmp_path}/no.wav#t=2.0,3.0"]


def test_names_are_asked_of_the_file_whatever_the_segment(write):
    manifest = write("path,start,end\na.wav,1,2\nb.wav,1,2\n")
    listing = list_corpora([manifest], exclude=("b.wav",), actor_from=r"^(\w)\.wav$")
    assert listing.clips.select(["clip", "actor"]).to_pylist() == [{"clip": "a.wav#t=1.0,2.0", "actor": "a"}]
    assert groups(listing.clips, actor_from=r"^(\w)\.wav$").values.tolist() == ["a"]


def test_a_file_that_changes_changes_the_corpus(write, tmp_path):
    listing = list_corpora([write("path,start,end\na.wav,1,2\n")])
    before = fingerprint(listing)
    (tmp_path / "a.wav").write_bytes(b"other")
    assert fingerprint(listing) != before


def segments(write, column="", value=""):
    rows = [f"{name}.wav,{n},{n + 1},sad{value}" for name in "ab" for n in range(5)]
    return list_corpora([write("\n".join([f"path,start,end,emotion{column}", *rows]))]).clips


def test_where_nobody_is_known_the_segments_of_a_file_stay_together(write):
    found = segments(write)
    rows = np.arange(found.num_rows)
    files = np.array([path.partition("#")[0] for path in found["path"].to_pylist()])
    for train, test in [*inner_folds(found, rows, 5, 0), draw_validation(found, rows, 0)]:
        assert not set(files[train]) & set(files[test])
    assert len(inner_folds(found, rows, 5, 0)) == 2


def test_all_segments_of_a_take_are_selected(write):
    """Of whole files one a take is read: the sound, or the film, of one performance."""
    found = segments(write, ",modality", ",audio-only")
    assert select(found, media="audio").num_rows == 10


def test_the_whole_of_a_file_and_its_segments_are_of_one_take_whatever_names_them(write, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    first, second = write("path,start,end\na.wav,1,2\n"), write("path\na.wav\n", "whole.csv")
    third = write("path,start,end\nlink/a.wav,2,3\n", "linked.csv")
    found = list_corpora([first, second, third]).clips
    assert found.num_rows == 3 and set(found["take"].to_pylist()) == {f"{tmp_path}/a.wav"}


def test_a_corpus_of_ones_own_may_cut_files(write, tmp_path):
    write("")
    halves = Corpus(
        name="halves",
        rows=lambda files, _: (
            [cut({**file.row(), "clip": file.below}, Segment(n, n + 1)) for file in files for n in (0.0, 1.0)],
            [],
        ),
    )
    found, _ = halves.rows([], None)
    assert found == []
    from emocore.corpora import listing  # noqa: PLC0415 - whose own way it goes

    rows, _ = listing._rows(str(tmp_path), halves, None, False, listing.LeaveOut())
    assert sorted(row["real"] for row in rows)[:2] == [f"{tmp_path}/a.wav#t=0.0,1.0", f"{tmp_path}/a.wav#t=1.0,2.0"]
