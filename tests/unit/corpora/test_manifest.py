"""Manifests: columns, raters, and files that are not there."""

import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from emocore.corpora.listing import list_corpora, walk_media
from emocore.errors import UserError


@pytest.fixture
def write(tmp_path):
    for name in ("a.wav", "b.wav", "c d.wav"):
        (tmp_path / name).write_bytes(b"sound")

    def write_manifest(text, name="m.csv"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write_manifest


def clips(path, **options):
    return list_corpora([path], **options).clips.to_pylist()


def test_known_columns_say_what_they_say_and_others_are_extra(write, tmp_path):
    (row,) = clips(write("Path,EMOTION,actor,gender,split,repetition,Age,Site\na.wav,Fear,01,F,dev,2,34,x\n"))
    assert row["path"] == str(tmp_path / "a.wav")
    assert (row["clip"], row["take"], row["bytes"]) == ("a.wav", "a.wav", 5)
    assert (row["emotion"], row["actor"], row["gender"], row["split"]) == (
        "fearful",
        "01",
        "female",
        "validation",
    )
    assert (row["repetition"], row["modality"]) == (2, None)
    assert (row["age"], row["language"], row["extra"]) == (34, None, [("Site", "x")])
    assert row["soft_label"] == [0, 0, 0, 0, 0, 1, 0, 0]


def test_an_age_or_a_language_in_words_stays_as_it_is_written(write):
    text = "path,age,language\na.wav,twenties,German\nb.wav,,DE\nc d.wav,1.5,nld\n"
    found = [(row["age"], row["language"], row["extra"]) for row in clips(write(text))]
    worded = [("age", "twenties"), ("language", "German")]
    assert found == [(None, None, worded), (None, "de", None), (None, "nld", [("age", "1.5")])]


def test_raters_of_other_ages_leave_it_unknown_and_empty_segments_are_none(write):
    (row,) = clips(write("path,emotion,age,language,segment_end_seconds\na.wav,sad,34,de,\na.wav,sad,51,de,\n"))
    assert (row["age"], row["language"], row["segment_end_seconds"]) == (None, "de", None)


def test_parquet_cells_become_strings(write, tmp_path):
    table = pa.table({"path": ["a.wav", "b.wav"], "actor": pa.array([1, None]), "emotion": ["sad", None]})
    pq.write_table(table, tmp_path / "m.parquet")
    rows = clips(tmp_path / "m.parquet")
    write("")
    assert [(row["actor"], row["emotion"]) for row in rows] == [("1", "sad"), (None, None)]
    assert rows[1]["soft_label"] == [0] * 8


def test_raters_become_shares_and_a_majority(write):
    text = "path,emotion,rater,site\na.wav,sad,x,s\na.wav,happy,y,s\na.wav,happy,z,s\na.wav,,w,s\nb.wav,,x,s\n"
    first, second = clips(write(text))
    assert first["emotion"] == "happy"
    assert first["soft_label"] == pytest.approx([0, 0, 2 / 3, 1 / 3, 0, 0, 0, 0])
    assert first["extra"] == [("site", "s")]  # in `rater` the rows differ
    assert (second["emotion"], second["soft_label"]) == (None, [0] * 8)


def test_of_a_tie_the_earlier_emotion_wins(write):
    (row,) = clips(write("path,emotion\na.wav,surprised\na.wav,calm\n"))
    assert row["emotion"] == "calm"


def test_raters_may_differ_in_the_emotion_only(write):
    manifest = write("path,actor\na.wav,01\n./a.wav,02\n")
    with pytest.raises(UserError) as error:
        clips(manifest)
    assert str(error.value) == (
        f"{str(manifest)!r}, row 1 and row 2 name one path but disagree about actor, '01' and '02': "
        "raters may differ in the emotion only."
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("file,emotion\na.wav,sad\n", r"has no column 'path', only \['file', 'emotion'\]: expected path"),
        ("", r"has no column 'path', only \[\]"),
        ("path,emotion\n", "has no rows: expected one for every file"),
        ("path,emotion\na.wav,bored\n", r"Unknown emotion 'bored' \(1 row\) in '.*': expected one of neutral"),
        ("path,split\na.wav,holdout\n", "row 1: Unknown split 'holdout': expected one of train"),
        ("path,gender\na.wav,x\n", "row 1: gender is 'x', expected one of female, f, male, m, or nothing"),
        ("path,modality\na.wav,video\n", "row 1: modality is 'video', expected one of audio-video"),
        ("path,repetition\na.wav,one\n", "row 1: repetition is 'one', expected a whole number"),
        ("path,emotion\n,sad\n", "row 1: path is empty, expected a file"),
        ("path,emotion\ns3://b/a.wav,sad\n", "row 1: 's3://b/a.wav' is a URL and this version reads local"),
        ("path,emotion\na.wav\n", "cannot be read, expected UTF-8 CSV or Parquet: row 1 has 1 cells for 2"),
        ("path,path\na.wav,b.wav\n", "has two columns 'path': expected every name once"),
        ('path,emotion\n"a.wav,sad\n', "cannot be read, expected UTF-8 CSV or Parquet"),
    ],
)
def test_a_wrong_manifest_is_one_sentence(write, text, sentence):
    manifest = write(text)
    with pytest.raises(UserError, match=sentence) as error:
        clips(manifest)
    assert repr(str(manifest)) in str(error.value)


def test_other_encodings_and_broken_parquet_are_one_sentence(tmp_path):
    (tmp_path / "m.csv").write_bytes("path\nK\u00e4se.wav\n".encode("latin-1"))
    (tmp_path / "m.parquet").write_bytes(b"no parquet")
    for name in ("m.csv", "m.parquet"):
        with pytest.raises(UserError, match="cannot be read, expected UTF-8 CSV or Parquet"):
            list_corpora([tmp_path / name])


def test_missing_files_are_failures_and_the_rest_is_listed(write, tmp_path):
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("in/x.wav", b"sounds")
    text = "path\nz.zip!/in/x.wav\nz.zip!/y.wav\nno.zip!/y.wav\nnone.wav\nc d.wav\n"
    listing = list_corpora([write(text)])
    assert [(row["clip"], row["bytes"]) for row in listing.clips.to_pylist()] == [
        ("c d.wav", 5),
        ("z.zip!/in/x.wav", 6),
    ]
    failures = listing.failures.to_pylist()
    missing = ["no.zip!/y.wav", "none.wav", "z.zip!/y.wav"]
    assert [row["path"] for row in failures] == [f"{tmp_path}/{name}" for name in missing]
    assert {(row["stage"], row["reason"]) for row in failures} == {("list", "not_found")}


def test_options_reach_manifests(write):
    (row,) = clips(write("path,emotion,actor\na.wav,bored,\n"), mapping={"bored": "calm"}, actor_from=r"^(\w)\.")
    assert (row["emotion"], row["actor"]) == ("calm", "a")


def test_to_label_a_manifest_only_its_paths_count(write):
    ((row, _),) = walk_media([write("path,emotion\na.wav,bored\na.wav,angry\n")], [])
    assert row["clip"] == "a.wav" and "emotion" not in row


def test_all_unknown_labels_are_told_at_once(write):
    with pytest.raises(UserError) as error:
        clips(write("path,emotion\na.wav,Langeweile\nb.wav,Wut\nc d.wav,odd\nd.wav,Langeweile\n"))
    assert "Unknown emotions 'Langeweile' (2 rows), 'odd' (1 row) in " in str(error.value)
    assert "a mapping for each (--map Langeweile=EMOTION), or a set of your own (--emotions" in str(error.value)


@pytest.mark.parametrize(
    ("text", "emotions"),
    [
        ("path, emotion ,\n a.wav , sad ,\n,,\n b.wav,HAPPY,\n\n  ,\n", ["sad", "happy"]),  # blanks, empty last lines
        ("path;emotion\r\na.wav;sad\r\nb.wav;Freude\r\n;\r\n", ["sad", "happy"]),
        ("emotion\tpath\nsad\ta.wav\nhappy\tb.wav\n", ["sad", "happy"]),
        ("sep=;\npath;emotion\na.wav;sad\nb.wav;happy\n", ["sad", "happy"]),
        ('path,emotion,note\na.wav,sad,"one; two\nthree; four"\nb.wav,happy,\n', ["sad", "happy"]),
    ],
)
def test_manifests_as_spreadsheets_write_them(write, tmp_path, text, emotions):
    rows = clips(write(text))
    assert [row["path"] for row in rows] == [f"{tmp_path}/a.wav", f"{tmp_path}/b.wav"]
    assert [row["clip"] for row in rows] == ["a.wav", "b.wav"]
    assert [row["emotion"] for row in rows] == emotions


def test_a_delimiter_other_than_the_comma_is_told(write, capsys):
    manifest = write("path;emotion\na.wav;sad\n")
    clips(manifest)
    assert capsys.readouterr().out == f"{manifest}: read as cells parted by ';'\n"
    clips(write("path\temotion\na.wav\tsad\n", "m.tsv"))
    assert "parted by tabs" in capsys.readouterr().out
    clips(write("path,emotion\na.wav,sad\n"))
    assert not capsys.readouterr().out


def test_row_numbers_count_what_the_spreadsheet_shows(write):
    with pytest.raises(UserError, match="row 3: gender is 'x'"):
        clips(write("path,gender\na.wav,f\n,\nb.wav,x\n"))


def test_backslashes_are_read_where_that_finds_the_file(write, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/d.wav").write_bytes(b"sound")
    (tmp_path / "odd\\e.wav").write_bytes(b"sound")  # such a name is possible here
    (tmp_path / "f.wav ").write_bytes(b"sound")
    listing = list_corpora([write("path\nsub\\d.wav\nodd\\e.wav\nf.wav \nC:\\tapes\\g.wav\n")])
    assert listing.clips["clip"].to_pylist() == ["f.wav ", "odd\\e.wav", "sub/d.wav"]
    (failure,) = listing.failures.to_pylist()
    assert failure["reason"] == "not_found" and "with / in place of its backslashes" in failure["detail"]
