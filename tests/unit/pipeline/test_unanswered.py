"""No exception of a model, and no answer that is no number, costs more than the file that it is about."""

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from whole_media import spoken

from emocore.errors import MediaError, UserError
from emocore.features import article, listen, one_file
from emocore.features.article import ARTICLE
from emocore.features.extract import FEATURIZED, PLANNED, featurize_batch
from emocore.features.pictures import PICTURES
from emocore.labels import EMOTIONS
from emocore.media import audio, reading
from emocore.media.reading import Reading
from emocore.media.video import Picture
from emocore.models import labelling as sinks
from emocore.models.labelling import HeardSink, tables_of
from emocore.models.predictions import answers_of
from emocore.pipeline.archive.journal import Journal
from emocore.pipeline.archive.plan import shard_table
from emocore.pipeline.archive.rows import Planned
from emocore.pipeline.archive.stage import run_shard
from emocore.pipeline.label_stage import Labelling
from emocore.schema import FAILURES, LABELS, WINDOWS, rows_to_table
from emocore.storage.tables import read_table
from emocore.timeline import AS_FAMILIES_SAY, how_cut

EVEN = np.full(8, 0.125)


def model_that(bad, how):
    """A model of numbered rows that raises, or answers NaN, where a bad one is among them."""

    def model(rows):
        if how is ValueError and set(rows.tolist()) & bad:
            raise ValueError("Input X contains infinity")
        given = np.tile(EVEN, (len(rows), 1))
        given[[row in bad for row in rows.tolist()]] = np.nan
        return given

    return model


@pytest.mark.parametrize(("how", "reason"), [(ValueError, "internal"), (None, "not_finite")])
@pytest.mark.parametrize("bad", [set(), {2}, {0, 4}, {0, 1, 2, 3, 4}])
def test_a_row_that_a_model_cannot_answer_for_costs_itself(bad, how, reason):
    given, faults = answers_of(model_that(bad, how), 5)
    assert {row: (fault.stage, fault.reason) for row, fault in faults.items()} == dict.fromkeys(
        bad, ("predict", reason)
    )
    assert [np.array_equal(row, EVEN) for row in given] == [row not in bad for row in range(5)]


def test_a_mistake_of_the_users_is_no_rows_fault():
    def model(rows):
        raise UserError("The model changed.")

    with pytest.raises(UserError):
        answers_of(model, 3)


class Sounds:
    """A stage of a model of sound, which raises for what is louder than its neighbours."""

    name, main, keeps_broken = "label", "labels", True
    families, reading, tables = (ARTICLE,), Reading(), tables_of(EMOTIONS, sees=False)

    def __init__(self, probabilities, how=AS_FAMILIES_SAY):
        self.probabilities, self.how = probabilities, how

    def load(self):
        pass

    def take(self, write, journal):
        return HeardSink(self.probabilities, ARTICLE, EMOTIONS, write, journal)


LOUD = 40.0  # times full scale: the RMS column tells it


def refuses_loud(x):
    if (x.max(axis=1) > 10).any() and np.abs(x[:, 79]).max() > 5:
        raise ValueError("Input X contains a value too large")
    return np.tile(EVEN, (len(x), 1))


@pytest.fixture
def shard(media_files):
    voice = media_files.voice(1.0)
    paths = [
        media_files.sound("good.wav", voice),
        media_files.sound("bad.wav", voice * np.float32(LOUD), subtype="FLOAT"),
        media_files.sound("silent.wav", voice * 0),
        media_files.sound("huge.wav", voice * np.float32(1e20), subtype="FLOAT"),
    ]
    rows = [{"clip": path.rpartition("/")[2], "path": path, "soft_label": EVEN.astype("f4")} for path in paths]
    return shard_table([Planned(row, None, 3) for row in rows], 0)


def test_one_clip_that_a_model_cannot_answer_for_becomes_a_failure_and_the_others_are_labelled(shard, tmp_path):
    assert run_shard(shard, Sounds(refuses_loud), tmp_path / "out") == 2
    labels = read_table(tmp_path / "out/labels/000000.parquet", LABELS).to_pylist()
    assert [(row["clip"], row["state"], row["predicted"]) for row in labels] == [
        ("good.wav", "ok", EMOTIONS[0]),
        ("silent.wav", "silent", None),
    ]
    failures = read_table(tmp_path / "out/failures/000000.parquet", FAILURES).to_pylist()
    assert {row["path"].rpartition("/")[2]: (row["stage"], row["reason"], row["attempts"]) for row in failures} == {
        "bad.wav": ("predict", "internal", 4),
        "huge.wav": ("decode", "not_finite", 4),
    }
    assert all(row["content_id"] and row["detail"] for row in failures)


def planned(*paths):
    rows = [{"clip": path.rpartition("/")[2], "path": path, "soft_label": EVEN.astype("f4")} for path in paths]
    return shard_table([Planned(row, None, 0) for row in rows], 0)


def cut_at(path, share):
    content = Path(path).read_bytes()
    Path(path).write_bytes(content[: int(share * len(content))])
    return path


def test_a_file_that_breaks_in_its_midst_keeps_what_was_answered_and_one_without_an_answer_is_a_failure(
    media_files, tmp_path
):
    speech = np.concatenate([0.5 * spoken(22_050)] * 12)
    tone = (0.3 * np.sin(2 * np.pi * 440 * np.arange(12 * 22_050) / 22_050)).astype(np.float32)
    whole = media_files.sound("whole.flac", speech)
    broken = cut_at(media_files.sound("broken.flac", speech), 0.6)
    silent = cut_at(media_files.sound("tone.flac", tone), 0.6)
    stage = Sounds(lambda x: np.tile(EVEN, (len(x), 1)), how_cut())
    assert run_shard(planned(whole, broken, silent), stage, tmp_path / "out") == 1
    labels = {row["clip"]: row for row in read_table(tmp_path / "out/labels/000000.parquet", LABELS).to_pylist()}
    assert set(labels) == {"whole.flac", "broken.flac"}
    assert labels["whole.flac"]["broken_after_seconds"] is None
    after = labels["broken.flac"]["broken_after_seconds"]
    assert 5 < after < 8.5 and labels["broken.flac"]["duration_seconds"] == after
    assert labels["broken.flac"]["state"] == "ok" and labels["broken.flac"]["windows"] >= 2
    (failed,) = read_table(tmp_path / "out/failures/000000.parquet", FAILURES).to_pylist()
    assert failed["path"] == silent and failed["reason"] in ("truncated", "broken")
    windows = read_table(tmp_path / "out/windows/000000.parquet", WINDOWS).to_pylist()
    assert {row["clip"] for row in windows} == set(labels)
    assert all(row["end_seconds"] <= after + 1e-6 for row in windows if row["clip"] == "broken.flac")


def test_a_wav_that_is_cut_keeps_what_is_left_and_one_that_ran_out_of_time_is_a_failure(
    media_files, tmp_path, monkeypatch
):
    speech = np.concatenate([0.5 * spoken(22_050)] * 12)
    path = cut_at(media_files.sound("cut.wav", speech), 0.6)
    stage = Sounds(lambda x: np.tile(EVEN, (len(x), 1)), how_cut())
    assert run_shard(planned(path), stage, tmp_path / "out") == 0
    (label,) = read_table(tmp_path / "out/labels/000000.parquet", LABELS).to_pylist()
    assert label["broken_after_seconds"] == pytest.approx(7.2, abs=0.1) and label["windows"] >= 2
    slow = MediaError("decode", "too_slow", "not done")
    monkeypatch.setattr(reading, "check_whole", lambda *_: (_ for _ in ()).throw(slow))
    monkeypatch.setattr(audio, "check_whole", lambda *_: (_ for _ in ()).throw(slow))
    assert run_shard(planned(media_files.sound("slow.wav", speech)), stage, tmp_path / "slow") == 1


def test_an_exception_at_the_end_of_a_broken_file_is_its_own(media_files, tmp_path, monkeypatch):
    path = cut_at(media_files.sound("cut.flac", np.concatenate([0.5 * spoken(22_050)] * 12)), 0.6)
    monkeypatch.setattr(one_file.Ears, "finish", lambda _: 1 / 0)
    assert run_shard(planned(path), Sounds(lambda x: np.tile(EVEN, (len(x), 1)), how_cut()), tmp_path / "out") == 1
    (failed,) = read_table(tmp_path / "out/failures/000000.parquet", FAILURES).to_pylist()
    assert failed["reason"] == "internal" and "ZeroDivisionError" in failed["detail"]


WHISPERED, SHOUTED = (gain * np.concatenate([spoken(22_050)] * 10) for gain in (0.05, 0.9))


def refuses_shouts(x):
    if (x[:, 79] > 0.2).any():
        raise ValueError("too loud")
    return np.tile(EVEN, (len(x), 1))


def test_windows_that_a_model_fails_on_cost_no_others(media_files, tmp_path, monkeypatch):
    monkeypatch.setattr(sinks, "FRAMES_AT_ONCE", 2)
    both = media_files.sound("both.wav", np.concatenate([WHISPERED, SHOUTED]))
    copy = media_files.bytes("copy.wav", Path(both).read_bytes())
    paths = [media_files.sound("quiet.wav", WHISPERED), both, copy, media_files.sound("loud.wav", SHOUTED)]
    assert run_shard(planned(*paths), Sounds(refuses_shouts, how_cut()), tmp_path / "out") == 1
    labels = {row["clip"]: row for row in read_table(tmp_path / "out/labels/000000.parquet", LABELS).to_pylist()}
    windows = Counter(read_table(tmp_path / "out/windows/000000.parquet", WINDOWS)["clip"].to_pylist())
    assert set(labels) == set(windows) == {"quiet.wav", "both.wav", "copy.wav"}
    assert labels["quiet.wav"]["windows"] == windows["quiet.wav"]
    assert labels["both.wav"]["windows"] - windows["both.wav"] >= 4 and windows["both.wav"] >= 4
    assert labels["both.wav"]["state"] == "ok" and labels["both.wav"]["heard_seconds"] < 14
    (failed,) = read_table(tmp_path / "out/failures/000000.parquet", FAILURES).to_pylist()
    assert failed["path"].endswith("loud.wav") and (failed["stage"], failed["reason"]) == ("predict", "internal")


def test_windows_whose_features_are_no_numbers_cost_no_others(media_files, tmp_path, monkeypatch):
    def unfit(parts):
        values = np.array([[np.abs(part.samples).max()] * ARTICLE.size for part in parts], np.float32)
        return np.where(values > 0.5, np.nan, values)

    monkeypatch.setattr(listen, "loaded", lambda _: unfit)
    paths = [
        media_files.sound("both.wav", np.concatenate([WHISPERED, SHOUTED])),
        media_files.sound("loud.wav", SHOUTED),
    ]
    stage = Sounds(lambda x: np.tile(EVEN, (len(x), 1)), how_cut())
    assert run_shard(planned(*paths), stage, tmp_path / "out") == 1
    (label,) = read_table(tmp_path / "out/labels/000000.parquet", LABELS).to_pylist()
    windows = len(read_table(tmp_path / "out/windows/000000.parquet", WINDOWS))
    assert label["windows"] - windows >= 4 and windows >= 4 and label["broken_after_seconds"] is None
    (failed,) = read_table(tmp_path / "out/failures/000000.parquet", FAILURES).to_pylist()
    assert failed["path"].endswith("loud.wav") and (failed["stage"], failed["reason"]) == ("featurize", "not_finite")


class Network:
    """Answers NaN for black pictures, and raises for white ones."""

    def probabilities(self, images):
        if (images == 255).any():
            raise RuntimeError("too bright")
        given = np.tile(EVEN, (len(images), 1))
        given[(images == 0).all(axis=(1, 2))] = np.nan
        return given


def labelling(tmp_path, write, journal=None):
    stage = Labelling(Network(), (PICTURES,), Reading(1, 16, sound=False))
    return stage.take(write, journal or Journal(tmp_path / "journal", 600.0))


def test_a_clip_of_whose_pictures_a_network_can_answer_for_none_is_a_failure_and_so_are_its_copies(tmp_path):
    written = []
    sink = labelling(tmp_path, lambda *rows: written.append(rows))
    grey = {"good": [100, 110], "black": [0, 0], "white": [255, 255], "part": [100, 0]}
    for clip, values in grey.items():
        pictures = [Picture(i, 0.1 * i, np.full((16, 16), value, np.uint8)) for i, value in enumerate(values)]
        sink.pictures([clip, f"{clip} copy"], pictures)
    sink.finish()
    assert {clip: fault.reason for clip, fault in sink.faults.items()} == {
        "black": "not_finite",
        "black copy": "not_finite",
        "white": "internal",
        "white copy": "internal",
    }
    rows = [{"clip": clip, "path": clip, "state": "ok"} for clip in ("good", "good copy", "part")]
    good = rows_to_table([{**row, "soft_label": EVEN.astype("f4")} for row in rows], FEATURIZED)
    labels = sink.rows(good)
    assert labels["predicted"].to_pylist() == [EMOTIONS[0]] * 3
    frames = pa.concat_tables([rows for name, rows in written if name == "frames"])
    assert frames["clip"].to_pylist().count("good") == frames["clip"].to_pylist().count("good copy") == 2
    assert frames["clip"].to_pylist().count("part") == 1


def test_pictures_of_a_clip_that_ended_a_process_are_given_to_the_network_alone(tmp_path):
    """Twice, and it is a failure; its neighbours, which were given beside it, are answered for."""
    file = tmp_path / "journal"
    for clips in (["a", "b", "c"], ["b"], ["b"]):
        Journal(file, 600.0)._write("answer", clips)
    given, written = [], []
    journal = Journal(file, 600.0)
    journal.answering = lambda clips, real=journal.answering: given.append(clips) or real(clips)
    sink = labelling(tmp_path, lambda *rows: written.append(rows), journal)
    for clip in "zabc":
        sink.pictures([clip], [Picture(0, 0.0, np.full((16, 16), 100, np.uint8))])
    sink.finish()
    assert given == [["z"], ["a"], ["b"], ["c"]]
    assert {clip: (fault.stage, fault.reason) for clip, fault in sink.faults.items()} == {"b": ("predict", "killed")}
    assert [clip for _, rows in written for clip in rows["clip"].to_pylist()] == ["z", "a", "c"]


def test_features_that_are_no_numbers_are_their_files_failure(media_files, monkeypatch):
    path = media_files.sound("a.wav")
    monkeypatch.setattr(article, "article_features", lambda *_: (np.full(160, np.inf, "f4"), np.zeros((157, 39), "f4")))
    article._both.cache_clear()
    planned = rows_to_table([{"clip": "a", "path": path, "soft_label": EVEN.astype("f4")}], PLANNED)
    (row,) = featurize_batch(planned, [ARTICLE]).to_pylist()
    assert (row["stage"], row["reason"]) == ("featurize", "not_finite")
    assert row["content_id"]


def film(sink, seconds, faces, clips=("a",), step=0.5):
    """Show a picture each half second, with a face where `faces` says so of the time."""
    for i in range(round(seconds / step)):
        state = "ok" if faces(i * step) else "no_face"
        sink.pictures(list(clips), [Picture(i, i * step, np.full((16, 16), 100, np.uint8), state)])
    sink.finish()


def seen_rows(clips, seconds):
    rows = [{"clip": clip, "path": clip, "state": "ok", "duration_seconds": seconds} for clip in clips]
    return rows_to_table([{**row, "soft_label": EVEN.astype("f4")} for row in rows], FEATURIZED)


def test_windows_of_a_film_are_written_as_they_pass_and_say_where_no_face_was(tmp_path, monkeypatch):
    monkeypatch.setattr(sinks, "FRAMES_AT_ONCE", 4)
    written = []
    sink = labelling(tmp_path, lambda *rows: written.append(rows))
    film(sink, 60.0, lambda t: not 20 <= t < 30, ("a", "a copy"))
    early = [row for name, rows in written if name == "windows" for row in rows.to_pylist()]
    assert {row["clip"] for row in early} == {"a", "a copy"} and len(early) == 2 * 14
    assert max(map(len, (seen.windows for seen in sink._seen.values()))) == 1
    labels = sink.rows(seen_rows(["a", "a copy"], 60.0)).to_pylist()
    windows = [row for name, rows in written if name == "windows" for row in rows.to_pylist() if row["clip"] == "a"]
    assert [(row["window"], row["start_seconds"], row["end_seconds"]) for row in windows] == [
        (n, 4.0 * n, 4.0 * n + 4) for n in range(15)
    ]
    assert [row["window"] for row in windows if row["state"] == "no_face"] == [5, 6]
    assert [(row["windows"], row["heard_seconds"], row["state"]) for row in labels] == [(15, 52.0, "ok")] * 2


def test_a_film_without_a_face_and_one_without_pictures_have_states(tmp_path):
    written = []
    sink = labelling(tmp_path, lambda *rows: written.append(rows))
    film(sink, 10.0, lambda _: False)
    labels = sink.rows(pa.concat_tables([seen_rows(["a"], 10.0), seen_rows(["sound"], None)])).to_pylist()
    assert [(row["state"], row["predicted"], row["windows"]) for row in labels] == [
        ("no_face", None, 3),
        ("no_video", None, 1),
    ]
    windows = [(row["clip"], row["state"]) for _, rows in written for row in rows.to_pylist()]
    assert windows == [("a", "no_face")] * 3 + [("sound", "no_video")]


def test_a_film_whose_stamps_make_no_sense_has_as_many_windows_as_it_has_pictures_for(tmp_path):
    written = []
    sink = labelling(tmp_path, lambda *rows: written.append(rows))
    for index, seconds in enumerate((0.0, 1.0, 1e8)):
        sink.pictures(["a"], [Picture(index, seconds, np.full((16, 16), 100, np.uint8))])
    sink.finish()
    (label,) = sink.rows(seen_rows(["a"], 1e8 + 1e9)).to_pylist()
    windows = [row for name, rows in written if name == "windows" for row in rows.to_pylist()]
    assert [row["start_seconds"] for row in windows if row["state"] == "ok"] == [0.0, 1e8]
    assert len(windows) == label["windows"] < 400


def test_a_long_while_without_a_face_has_its_windows(tmp_path):
    written = []
    sink = labelling(tmp_path, lambda *rows: written.append(rows))
    film(sink, 3_000.0, lambda t: t < 10 or t > 2_990, step=5.0)
    (label,) = sink.rows(seen_rows(["a"], 3_000.0)).to_pylist()
    assert label["windows"] == 750
    windows = [row["window"] for name, rows in written if name == "windows" for row in rows.to_pylist()]
    assert windows == list(range(750))
