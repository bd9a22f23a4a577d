"""A long file that several processes work on gives the rows that one process gives, whoever died meanwhile."""

import os
from pathlib import Path

import numpy as np
import pytest
from whole_media import spoken, write_film

from emocore.errors import MediaError
from emocore.features import one_file
from emocore.features.article import ARTICLE
from emocore.features.pictures import PICTURES
from emocore.labels import EMOTIONS
from emocore.media import sections as cutting
from emocore.media.reading import Reading
from emocore.media.video import CannotSkip
from emocore.models.labelling import HeardSink
from emocore.models.labelling_films import SeenSink, seen_grid
from emocore.pipeline.archive import sections
from emocore.pipeline.archive.journal import DEATHS_AT_A_PLACE, DEATHS_IN_A_SECTION, PLACE_SECONDS, Journal
from emocore.pipeline.archive.plan import cut_shards, shard_table
from emocore.pipeline.archive.rows import Planned
from emocore.pipeline.archive.sections import cut_of, join_sections, run_section
from emocore.pipeline.archive.stage import run_shard
from emocore.pipeline.label_stage import Labelling
from emocore.schema import FAILURES, LABELS, TRACKS, WINDOWS
from emocore.storage.tables import read_table
from emocore.timeline import how_cut

RATE = 16_000


@pytest.fixture(autouse=True)
def short_sections(monkeypatch):
    for name, value in {"SECTION_SECONDS": 10.0, "LEAST_SECONDS": 20.0, "LONG_BYTES": 0, "SECTION_BYTES": 1}.items():
        monkeypatch.setattr(cutting, name, value)


class Loudness(Labelling):
    """Labels by a model that tells loud from quiet, without a file."""

    def _sink(self, write, journal, give):
        if self.reading.every:
            options = {"how": "mean-log", "temperature": 1.0, "grid": seen_grid(self.how)}
            return SeenSink(brightness, PICTURES, EMOTIONS, write, journal, give, **options)
        return HeardSink(loudness, ARTICLE, EMOTIONS, write, journal, give)

    def load(self):
        pass


def loudness(values):
    score = np.tanh(np.abs(values[:, 0].astype(np.float64)) / 300)
    return np.stack([0.5 + score / 4, 0.3 - score / 4, *[np.full(len(values), 0.2 / 6)] * 6], axis=1)


def brightness(images):
    score = images.reshape(len(images), -1).mean(axis=1) / 255
    return np.stack([score, 1 - score, *[np.zeros(len(images))] * 6], axis=1)


def stage_of(grid, channels="mix"):
    return Loudness(None, (ARTICLE,), Reading(), how_cut(grid, hop_seconds=1.0, channels=channels))


FILMS = Loudness(None, (PICTURES,), Reading(every=5, pixels=256, sound=False), how_cut(sees=True))


def interview(seconds=48):
    """Sentences and pauses; somebody speaks where one section ends, and for longer than a section."""
    rng = np.random.default_rng(3)
    signal = np.concatenate([spoken(RATE)] * seconds)
    for second in (3, 4, 12, 33, 34, 35, 44):
        signal[second * RATE : (second + 1) * RATE] = 0
    return (0.5 * signal + 1e-4 * rng.standard_normal(len(signal))).astype(np.float32)


def shard_of(*paths, duplicate_of=None, planned_id=None):
    rows = [{"clip": Path(path).name, "path": path, "soft_label": np.full(8, 0.125, np.float32)} for path in paths]
    return shard_table([Planned(row, duplicate_of if i else None, 0, planned_id) for i, row in enumerate(rows)], 0)


def in_sections(shard, stage, out, order=None):
    """Work on a shard as several processes do, and return its labels and windows."""
    cut = cut_of(shard, stage, out)
    for number in order or range(len(cut.sections)):
        run_section(cut, number, 0, stage, out)
    failed = join_sections(cut, shard, stage, out)
    return failed, tables(out)


def tables(out, *names):
    schemas = {"labels": LABELS, "windows": WINDOWS, "tracks": TRACKS, "failures": FAILURES}
    files = {name: out / name / "000000.parquet" for name in names or schemas}
    return {name: read_table(file, schemas[name]).to_pylist() for name, file in files.items() if file.exists()}


@pytest.mark.parametrize("grid", ["speech", "tiled"])
def test_sections_in_any_order_give_what_one_process_gives(media_files, tmp_path, grid):
    shard = shard_of(media_files.sound("long.wav", interview(), RATE))
    stage = stage_of(grid)
    assert run_shard(shard, stage, tmp_path / "one") == 0
    failed, found = in_sections(shard, stage, tmp_path / "other", (3, 0, 4, 2, 1))
    assert failed == 0 and found == tables(tmp_path / "one")
    assert [row["window"] for row in found["windows"]] == list(range(len(found["windows"])))
    assert not (tmp_path / "other/.sections").exists() or not list((tmp_path / "other/.sections").iterdir())


@pytest.mark.parametrize("grid", ["speech", "tiled"])
def test_sections_hear_what_the_whole_says(media_files, tmp_path, monkeypatch, grid):
    shard = shard_of(media_files.sound("long.wav", interview(), RATE))
    stage = stage_of(grid)
    _, found = in_sections(shard, stage, tmp_path / "sections")
    monkeypatch.setattr(cutting, "LONG_BYTES", 2**60)
    assert cut_of(shard, stage, tmp_path) is None
    run_shard(shard, stage, tmp_path / "whole")
    whole = tables(tmp_path / "whole")
    (label,), (expected,) = found["labels"], whole["labels"]
    for name in ("duration_seconds", "sound_tracks", "state", "predicted"):
        assert label[name] == expected[name], name
    for name in ("speech_seconds", "heard_seconds", "confidence", "bandwidth_hz"):
        assert label[name] == pytest.approx(expected[name], rel=0.05), name
    if grid == "tiled":
        places = [[(row["window"], row["start_seconds"]) for row in one["windows"]] for one in (found, whole)]
        assert places[0] == places[1]
    else:  # nothing of a section's edge is lost
        assert label["speech_seconds"] == pytest.approx(sum(covered(found["windows"])), rel=0.03)


@pytest.mark.parametrize("grid", ["speech", "tiled"])
def test_voices_in_sections_are_those_that_one_process_hears(media_files, tmp_path, grid):
    both = np.column_stack([interview(), 0.7 * np.roll(interview(), 7 * RATE)])
    shard, stage = shard_of(media_files.sound("call.wav", both, RATE)), stage_of(grid, "separate")
    assert run_shard(shard, stage, tmp_path / "one") == 0
    cut = cut_of(shard, stage, tmp_path / "other")
    assert cut.sections.sound.voices == (0, 1) and len(cut.sections) == 5
    failed, found = in_sections(shard, stage, tmp_path / "other", (3, 0, 4, 2, 1))
    assert failed == 0 and found == tables(tmp_path / "one")
    (label,) = found["labels"]
    for row, track in zip(found["tracks"], (1, 2), strict=True):
        mine = [window for window in found["windows"] if window["track"] == track]
        assert [window["window"] for window in mine] == list(range(len(mine)))
        answered = [window for window in mine if window["state"] == "ok"]
        assert (row["track"], row["kind"], row["n_observations"]) == (track, "voice", len(answered))
        assert (row["start_seconds"], row["end_seconds"]) == (mine[0]["start_seconds"], answered[-1]["end_seconds"])
        weights = [window["speech_seconds"] for window in answered]
        shares = np.average([window["p_neutral"] for window in answered], weights=weights)
        assert row["p_neutral"] == pytest.approx(shares, abs=1e-6) and row["name"] is None
    assert label["windows"] == len(found["windows"]) and label["speech_seconds"] > 60
    assert min(row["p_neutral"] for row in found["tracks"]) <= label["p_neutral"]
    assert max(row["p_neutral"] for row in found["tracks"]) >= label["p_neutral"]


def test_windows_without_a_number_cost_no_others_in_sections_either(media_files, tmp_path, monkeypatch):
    model = loudness
    monkeypatch.setitem(globals(), "loudness", lambda x: np.where(x[:, :1] % 3 < 1, np.nan, model(x)))
    shard, stage = shard_of(media_files.sound("long.wav", interview(), RATE)), stage_of("tiled")
    assert run_shard(shard, stage, tmp_path / "one") == 0
    failed, found = in_sections(shard, stage, tmp_path / "other")
    assert failed == 0 and found == tables(tmp_path / "one")
    (label,) = found["labels"]
    assert label["windows"] == 46 > len(found["windows"]) > 10 and label["state"] == "ok"
    monkeypatch.setitem(globals(), "loudness", lambda x: model(x) * np.nan)
    failed, found = in_sections(shard, stage, tmp_path / "none")
    (failure,) = found["failures"]
    assert failed == 1 and (failure["stage"], failure["reason"]) == ("predict", "not_finite") and not found["windows"]


def covered(windows):
    """Yield the seconds of speech of windows beyond those of the window before."""
    until = 0.0
    for row in windows:
        new = max(0.0, row["end_seconds"] - max(until, row["start_seconds"]))
        yield min(row["speech_seconds"], new)
        until = max(until, row["end_seconds"])


def test_copies_have_the_rows_of_the_first(media_files, tmp_path):
    path = media_files.sound("long.wav", interview(), RATE)
    copy = media_files.bytes("copy.wav", Path(path).read_bytes())
    stage = stage_of("tiled")
    digest = cut_of(shard_of(path), stage, tmp_path / "a").content_id
    shard = shard_of(path, copy, duplicate_of=path, planned_id=digest)
    failed, found = in_sections(shard, stage, tmp_path / "b")
    assert failed == 0 and [row["clip"] for row in found["labels"]] == ["long.wav", "copy.wav"]
    own, other = (
        [{**row, "clip": ""} for row in found["windows"] if row["clip"] == name] for name in ("long.wav", "copy.wav")
    )
    assert own == other and len(own) > 40
    changed = shard_of(path, copy, duplicate_of=path, planned_id="0" * 64)
    assert cut_of(changed, stage, tmp_path / "c") is None


def test_a_file_that_breaks_keeps_the_sections_before(media_files, tmp_path):
    path = Path(media_files.encoded("long.m4a", interview(), RATE, "aac"))
    content = bytearray(path.read_bytes())
    begin, end = len(content) * 6 // 10, len(content) * 7 // 10
    content[begin:end] = bytes([7] * (end - begin))
    path.write_bytes(content)
    shard, stage = shard_of(str(path)), stage_of("tiled")
    failed, found = in_sections(shard, stage, tmp_path / "out")
    (label,) = found["labels"]
    assert failed == 0 and 15 < label["broken_after_seconds"] < 35
    assert all(row["end_seconds"] <= label["broken_after_seconds"] + 1e-6 for row in found["windows"])
    run_shard(shard, stage, tmp_path / "one")
    assert tables(tmp_path / "one") == found


def test_a_header_that_promises_more_than_there_is_is_truncated(media_files, tmp_path):
    path = Path(media_files.sound("long.flac", interview(), RATE))
    content = bytearray(path.read_bytes())
    n = int.from_bytes(content[21:26], "big")
    content[21:26] = (n + 30 * RATE).to_bytes(5, "big")
    path.write_bytes(content)
    shard, stage = shard_of(str(path)), stage_of("tiled")
    assert len(cut_of(shard, stage, tmp_path / "out").sections) == 8
    failed, found = in_sections(shard, stage, tmp_path / "out")
    assert failed == 0 and found["labels"][0]["broken_after_seconds"] == pytest.approx(48.0)


def test_what_was_made_of_sections_is_found_again_by_a_job_that_plans_anew(media_files, tmp_path, monkeypatch):
    path = media_files.sound("long.wav", interview(), RATE)
    stage, out = stage_of("tiled"), tmp_path / "out"
    cut = cut_of(shard_of(path), stage, out)
    run_section(cut, 1, 0, stage, out)
    monkeypatch.setattr(sections, "read_section", lambda *_: 1 / 0)
    again = cut_of(
        shard_table([Planned({"clip": "x", "path": path, "soft_label": np.zeros(8, "f4")}, None, 0)], 7), stage, out
    )
    assert run_section(again, 1, 7, stage, out) == 0.0
    os.utime(path, ns=(1, 1))
    assert cut_of(shard_of(path), stage, out).folder != cut.folder


def died(journal, path, seconds):
    """Write what a process leaves behind that died while it read a file there."""
    with pytest.raises(KeyboardInterrupt), journal.guard(path) as alive:
        alive(seconds)
        journal._write = lambda *_: None
        raise KeyboardInterrupt


def test_processes_that_die_at_different_places_have_not_died_of_the_file(tmp_path):
    file = tmp_path / "journal"
    for n in range(DEATHS_IN_A_SECTION - 1):
        died(Journal(file, 600, of_section=True), "a.mp4", PLACE_SECONDS * 2 * n)
    with Journal(file, 600, of_section=True).guard("a.mp4"):
        pass
    died(Journal(file, 600, of_section=True), "a.mp4", 1_000)
    with pytest.raises(MediaError, match="killed"), Journal(file, 600, of_section=True).guard("a.mp4"):
        pass


def test_processes_that_die_at_one_place_have_died_of_it(tmp_path):
    file = tmp_path / "journal"
    for n in range(DEATHS_AT_A_PLACE):
        with Journal(file, 600, of_section=True).guard("a.mp4"):
            pass
        died(Journal(file, 600, of_section=True), "a.mp4", 7.0 + n / 10)
    with pytest.raises(MediaError, match="killed"), Journal(file, 600, of_section=True).guard("a.mp4"):
        pass


def test_what_a_file_kills_at_is_behind_what_is_kept_of_it(media_files, tmp_path):
    path = media_files.sound("long.wav", interview(), RATE)
    shard, stage, out = shard_of(path), stage_of("tiled"), tmp_path / "out"
    cut = cut_of(shard, stage, out)
    for number in (0, 1, 3, 4):
        run_section(cut, number, 0, stage, out)
    for _ in range(DEATHS_AT_A_PLACE):
        died(sections.section_journal(0, 2, "", stage, out), path, 3.0)
    run_section(cut, 2, 0, stage, out)
    assert join_sections(cut, shard, stage, out) == 0
    (label,) = tables(out)["labels"]
    assert label["state"] == "ok" and label["broken_after_seconds"] == pytest.approx(20.0, abs=4.0)
    assert max(row["start_seconds"] for row in tables(out)["windows"]) < 20


class Unproven:
    """A section whose packets prove nothing after its third picture."""

    def __init__(self, number):
        self.number = number

    def __call__(self, stream, reading, found, number, hear, show, keep, is_done):
        shown = []

        def some(picture):
            if number == self.number and len(shown) == 3:
                raise CannotSkip
            shown.append(picture)
            show(picture)

        return cutting.stream_section(stream, reading, found, number, hear, some, keep, is_done)


@pytest.mark.slow
@pytest.mark.parametrize("unproven", [None, 0, 2])
def test_a_film_in_sections_gives_what_one_process_gives(tmp_path, monkeypatch, unproven):
    shard = shard_of(write_film(str(tmp_path / "film.mp4"), "libx264"))
    run_shard(shard, FILMS, tmp_path / "one")
    monkeypatch.setattr(one_file, "stream_section", Unproven(unproven))
    failed, found = in_sections(shard, FILMS, tmp_path / "other", (2, 0, 4, 1, 3))
    assert failed == 0 and found == tables(tmp_path / "one")
    assert found["labels"][0]["windows"] == 13 and len(read_table(tmp_path / "other/frames/000000.parquet")) == 250


def test_files_that_may_be_long_are_shards_with_their_copies_alone(monkeypatch):
    monkeypatch.setattr(cutting, "LONG_BYTES", 100)
    told = [("a", 9, None), ("b", 200, None), ("c", 200, "b"), ("d", 9, None), ("e", 9, None), ("f", 100, None)]
    files = [Planned({"path": path, "bytes": n_bytes}, first, 0) for path, n_bytes, first in told]
    shards = ["".join(one.row["path"] for one in shard) for shard in cut_shards(files, alone=True)]
    assert shards == ["a", "bc", "de", "f"]
    assert len(list(cut_shards(files))) == 1


@pytest.mark.parametrize("seed", range(3))
def test_no_window_begins_before_its_section_and_none_is_there_twice(media_files, tmp_path, seed):
    rng = np.random.default_rng(seed)
    signal = np.concatenate([spoken(RATE)] * 50)
    for begin in rng.uniform(0, 49, 3):  # long stretches, some over the edges of sections
        signal[round(begin * RATE) : round((begin + 0.6) * RATE)] = 0
    signal = (0.5 * signal + 1e-4 * rng.standard_normal(len(signal))).astype(np.float32)
    _, found = in_sections(shard_of(media_files.sound("long.wav", signal, RATE)), stage_of("speech"), tmp_path / "out")
    starts = [row["start_seconds"] for row in found["windows"]]
    assert len(starts) > 30 and starts == sorted(set(starts))


@pytest.mark.parametrize("torn", ["plan.json", "00002.parquet"])
def test_what_is_torn_of_what_was_kept_is_made_anew(media_files, tmp_path, torn):
    shard, stage = shard_of(media_files.sound("long.wav", interview(), RATE)), stage_of("tiled")
    _, expected = in_sections(shard, stage, tmp_path / "one")
    cut = cut_of(shard, stage, tmp_path / "two")
    for number in range(len(cut.sections)):
        run_section(cut, number, 0, stage, tmp_path / "two")
    (cut.folder / torn).write_bytes((cut.folder / torn).read_bytes()[:40])
    cut = cut_of(shard, stage, tmp_path / "two")
    join_sections(cut, shard, stage, tmp_path / "two")
    assert tables(tmp_path / "two") == expected


class Speechless(Loudness):
    """Has no answer for what is quiet."""

    def _sink(self, write, journal, give):
        def answer(values):
            return np.where(values[:, :1] < -250, np.nan, loudness(values))

        return HeardSink(answer, ARTICLE, EMOTIONS, write, journal, give)


def test_a_model_that_has_no_answer_says_so_as_in_one_piece(media_files, tmp_path):
    signal = interview()
    signal[20 * RATE : 30 * RATE] *= 0.02
    shard = shard_of(media_files.sound("long.wav", signal, RATE))
    stage = Speechless(None, (ARTICLE,), Reading(), how_cut("tiled", hop_seconds=1.0, vad=False))
    run_shard(shard, stage, tmp_path / "one")
    in_sections(shard, stage, tmp_path / "other")
    assert tables(tmp_path / "other") == tables(tmp_path / "one")
    assert not tables(tmp_path / "one")["labels"] or "failures" not in tables(tmp_path / "one")
