"""Annotations of RTTM, EAF, TextGrid and audformat: written by their own libraries, read as segments."""

import sys

import audformat
import pandas as pd
import pytest
from praatio import textgrid
from pympi import Elan

from emocore.corpora.annotations.catalogue import READERS, reader_of
from emocore.corpora.listing import check_media, list_corpora, walk_media
from emocore.errors import UserError

SAID = [(0.5, 2.25, "happy"), (3.0, 4.001, "sad")]
FOUND = [("a.wav#t=0.5,2.25", "happy"), ("a.wav#t=3.0,4.001", "sad")]


@pytest.fixture
def folder(tmp_path):
    for name in ("a.wav", "b.wav"):
        (tmp_path / name).write_bytes(b"sound")
    return tmp_path


def rttm(folder, text=None):
    lines = [f"SPEAKER a 1 {start} {round(end - start, 3)} <NA> <NA> anna <NA> <NA>\n" for start, end, _ in SAID]
    (folder / "a.rttm").write_text("".join(lines) if text is None else text)
    return folder / "a.rttm"


def eaf(folder, tiers=None, link="./a.wav", name="x.eaf", origin=None, people=None):
    file = Elan.Eaf(author="test")
    if link:
        file.add_linked_file(f"file:///elsewhere/{link}", relpath=link, mimetype="audio/x-wav", time_origin=origin)
    for tier, said in (tiers or {"emotion": SAID}).items():
        file.add_tier(tier, part=(people or {}).get(tier))
        for start, end, text in said:
            file.add_annotation(tier, round(1000 * start), round(1000 * end), text)
    file.remove_tier("default")
    file.to_file(str(folder / name))
    return folder / name


def praat(folder, tiers=None):
    grid = textgrid.Textgrid()
    for tier, said in (tiers or {"emotion": SAID}).items():
        grid.addTier(textgrid.IntervalTier(tier, said, 0, 10))
    grid.addTier(textgrid.PointTier("clicks", [(1.0, "happy")], 0, 10))
    grid.save(str(folder / "a.TextGrid"), format="long_textgrid", includeBlankSpaces=True)
    return folder / "a.TextGrid"


def database(folder, **tables):
    made = audformat.Database("test")
    made.schemes["emotion"] = audformat.Scheme("str", labels=["anger", "happiness", "sadness"])
    made.schemes["speaker"] = audformat.Scheme(
        "str", labels={"anna": {"gender": "female", "age": 31}, "ben": {"gender": "other"}}
    )
    made["files"] = audformat.Table(audformat.filewise_index(["a.wav", "b.wav"]))
    made["files"]["speaker"] = audformat.Column(scheme_id="speaker")
    made["files"]["speaker"].set(["anna", "ben"])
    times = [pd.to_timedelta([0.5, 3.0, 0.0], unit="s"), pd.to_timedelta([2.25, 4.001, None], unit="s")]
    made.splits["dev"] = audformat.Split("dev")
    for name in tables or ("labels",):
        table = made[name] = audformat.Table(
            audformat.segmented_index(["a.wav", "a.wav", "b.wav"], *times), split_id="dev"
        )
        for rater, said in {
            "emotion": ["happiness", "sadness", None],
            "emotion.r2": ["happiness", "anger", None],
        }.items():
            table[rater] = audformat.Column(scheme_id="emotion")
            table[rater].set(said)
    made.save(str(folder))
    return folder


def clips(*roots, **options):
    return list_corpora(roots, **options).clips.to_pylist()


@pytest.mark.parametrize("write", [eaf, praat])
def test_labels_that_are_emotions_are_the_segments(folder, write):
    assert [(row["clip"], row["emotion"]) for row in clips(write(folder))] == FOUND
    assert {(row["take"], row["actor"], row["extra"]) for row in clips(write(folder))} == {
        (f"{folder}/a.wav", None, None)
    }


def test_the_speaker_of_rttm_is_the_actor_and_other_lines_are_passed_over(folder):
    rows = clips(rttm(folder))
    assert [(row["clip"], row["actor"], row["emotion"]) for row in rows] == [(clip, "anna", None) for clip, _ in FOUND]
    more = ";; a comment\n\nSPKR-INFO a 1 <NA> <NA> <NA> unknown anna <NA> <NA>\nSPEAKER b 1 1 1 <NA> <NA> <NA> <NA>\n"
    (row,) = clips(rttm(folder, more))
    assert (row["clip"], row["actor"]) == ("b.wav#t=1.0,2.0", None)


def test_sums_of_decimals_are_decimals(folder):
    (row,) = clips(rttm(folder, "SPEAKER a 1 0.1 0.2 <NA> <NA> x <NA> <NA>\n"))
    assert row["clip"] == "a.wav#t=0.1,0.3"


def test_a_database_gives_raters_speakers_and_splits(folder):
    first, second, third = clips(database(folder))
    assert [(row["clip"], row["actor"], row["gender"], row["age"]) for row in (first, second, third)] == [
        ("a.wav#t=0.5,2.25", "anna", "female", 31),
        ("a.wav#t=3.0,4.001", "anna", "female", 31),
        ("b.wav", "ben", None, None),
    ]
    assert (first["emotion"], third["emotion"], first["split"]) == ("happy", None, "validation")
    assert second["soft_label"] == pytest.approx([0, 0, 0, 0.5, 0.5, 0, 0, 0])


def test_a_database_is_also_what_label_is_given_and_files_alone_will_do(folder):
    made = audformat.Database("test")
    made["files"] = audformat.Table(audformat.filewise_index(["a.wav"]))
    made["files"]["note"] = audformat.Column()
    made["files"]["note"].set(["x"])
    made.save(str(folder))
    check_media([folder])
    assert [row["clip"] for row, _ in walk_media([folder], [])] == ["a.wav"]


TWO = {"Anna": [(0.5, 1, "happy")], "Ben": [(1, 2, "angry"), (2, 3, "says so")]}


@pytest.mark.parametrize("write", [eaf, praat])
def test_tiers_are_people_and_which_are_meant_is_asked(folder, write):
    path = write(folder, TWO)
    with pytest.raises(UserError) as error:
        clips(path)
    assert str(error.value) == f"{str(path)!r} has several tiers, 'Anna', 'Ben': say which are meant (--tier NAME …)."
    rows = clips(path, tiers=("Ben", "Anna", "Zoe"))
    assert [(row["actor"], row["emotion"], row["extra"]) for row in rows] == [
        ("Anna", "happy", [("tier", "Anna")]),
        ("Ben", "angry", [("tier", "Ben")]),
        ("Ben", None, [("label", "says so"), ("tier", "Ben")]),
    ]
    with pytest.raises(UserError, match=r"--tier Zoe: .* has none of that name, only 'Anna', 'Ben': name one"):
        clips(path, tiers=("Zoe",))


@pytest.mark.parametrize("write", [eaf, praat])
def test_the_only_tier_of_emotions_is_meant(folder, write, capsys):
    path = write(folder, {"words": [(0, 1, "kids"), (1, 2, "dogs")], "emotion": [*SAID, (5, 6, "bored")]})
    assert [row["emotion"] for row in clips(path)] == ["happy", "sad", None]
    assert f"{path}: 2 labels of emotions, 1 others, taken as none: 'bored' (1)" in capsys.readouterr().out
    assert [row["emotion"] for row in clips(path, mapping={"bored": "calm"})] == ["happy", "sad", "calm"]
    assert [row["clip"] for row, _ in walk_media([path], [], tiers=("words",))] == [
        "a.wav#t=0.0,1.0",
        "a.wav#t=1.0,2.0",
    ]


def test_tables_are_tiers(folder):
    database(folder, train=1, gold=1)
    with pytest.raises(UserError, match="has several tiers, 'gold', 'train'"):
        clips(folder)
    assert len(clips(folder, tiers=("gold",))) == 3


def test_annotations_without_a_text_are_segments_and_gaps_are_none(folder):
    assert [row["clip"] for row in clips(eaf(folder, {"turns": [(0, 1, ""), (2, 3, "")]}))] == [
        "a.wav#t=0.0,1.0",
        "a.wav#t=2.0,3.0",
    ]
    with pytest.raises(UserError, match="holds no segments"):
        clips(praat(folder, {"turns": [(0, 1, " ")]}))


def test_elans_participants_and_the_origin_of_its_media(folder):
    path = eaf(folder, {"K1": [(0.5, 1, "happy")]}, origin=2_000, people={"K1": "Anna"})
    (row,) = clips(path)
    assert (row["clip"], row["actor"]) == ("a.wav#t=2.5,3.0", "Anna")


@pytest.mark.parametrize(("link", "name"), [("../gone/a.wav", "x.eaf"), (None, "a.eaf"), ("gone.wav", "a.eaf")])
def test_the_media_of_an_eaf_are_looked_for_beside_it_too(folder, link, name):
    assert [row["path"] for row in clips(eaf(folder, link=link, name=name))] == [f"{folder}/{c}" for c, _ in FOUND]


def test_a_film_is_taken_before_a_recording_and_what_is_missing_is_a_failure(folder):
    (folder / "a.mp4").write_bytes(b"film")
    assert clips(praat(folder))[0]["path"] == f"{folder}/a.mp4#t=0.5,2.25"
    listing = list_corpora([rttm(folder, "SPEAKER no 1 0 1 <NA> <NA> x\n")])
    assert listing.clips["clip"].to_pylist() == ["a.mp4#t=0.0,1.0"]  # by the RTTM's own stem, as it has one id
    (folder / "a.mp4").unlink(), (folder / "a.wav").unlink()
    listing = list_corpora([rttm(folder, "SPEAKER no 1 0 1 <NA> <NA> x\nSPEAKER b 1 0 1 <NA> <NA> x\n")])
    assert listing.failures.select(["path", "reason"]).to_pylist() == [
        {"path": f"{folder}/no#t=0.0,1.0", "reason": "not_found"}
    ]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.rttm", "SPEAKER a 1 x 1 <NA> <NA> s", "cannot be read as RTTM: could not convert string to float"),
        ("a.rttm", "SPEAKER a 1 0 1", "cannot be read as RTTM: line 1 has 5 fields, expected 8 or more"),
        ("a.rttm", "SPEAKER a 1 1 0 <NA> <NA> s", "holds no segments"),
        ("a.eaf", "no XML", "cannot be read as EAF: "),
        ("a.TextGrid", "no grid", "cannot be read as TextGrid: "),
        ("db.yaml", "name: [", "cannot be read as an audformat database: "),
    ],
)
def test_what_is_no_such_file_is_one_sentence(folder, name, content, sentence):
    (folder / name).write_text(content)
    root = folder if name == "db.yaml" else folder / name
    with pytest.raises(UserError, match=sentence) as error:
        clips(root)
    assert str(folder / name) in str(error.value)


@pytest.mark.parametrize(
    ("module", "package", "write"),
    [("pympi.Elan", "pympi-ling", eaf), ("praatio.textgrid", "praatio", praat), ("audformat", "audformat", database)],
)
def test_a_missing_library_is_one_sentence(folder, monkeypatch, module, package, write):
    root = write(folder)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=rf"is read by {package}, which is not installed: pip install 'emocore\[anno"):
        clips(root)


def test_kinds_are_told_by_suffix_in_any_case(folder):
    assert all(reader_of(f"/x/a{suffix.upper()}") is read for suffix, read in READERS.items())
    assert reader_of(str(folder)) is None and reader_of("/x/a.wav") is None
    with pytest.raises(UserError, match=r"is no annotations \(\.rttm, \.eaf, \.textgrid, a database of audformat\)"):
        clips(folder, kind="annotations")


def test_a_stretch_in_which_several_speak_is_nobodys(folder):
    lines = ("SPEAKER a 1 0 1 <NA> <NA> x", "SPEAKER a 1 0 1 <NA> <NA> y", "SPEAKER a 1 1 1 <NA> <NA> y")
    listing = list_corpora([rttm(folder, "\n".join(lines) + "\n")])
    assert listing.clips["actor"].to_pylist() == [None, "y"]
