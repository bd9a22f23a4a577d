"""No exception of a model, and no answer that is no number, costs more than the file that it is about."""

from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest

from emocore.errors import UnansweredClips, UserError
from emocore.features import article
from emocore.features.article import ARTICLE
from emocore.features.extract import PLANNED, featurize_batch, featurized_schema
from emocore.features.pictures import PICTURES
from emocore.labels import EMOTIONS
from emocore.media.reading import Reading
from emocore.media.video import Picture
from emocore.models.labelling import label_heard
from emocore.models.predictions import answers_of
from emocore.pipeline.archive.journal import Journal
from emocore.pipeline.archive.plan import shard_table
from emocore.pipeline.archive.rows import Planned
from emocore.pipeline.archive.stage import run_shard
from emocore.pipeline.label_frames import FrameLabelling
from emocore.schema import FAILURES, FRAME_LABELS, LABELS, rows_to_table
from emocore.storage.tables import read_table

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

    name, main, by_clip = "label", "labels", ()
    families, reading = (ARTICLE,), Reading()

    def __init__(self, probabilities):
        self.bundle = SimpleNamespace(family=ARTICLE, emotions=EMOTIONS, probabilities=probabilities)

    def load(self):
        pass

    @contextmanager
    def pictures(self, *_):
        yield None

    def tables(self, good, _):
        yield self.main, label_heard(good, self.bundle)[1]


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


class Network:
    """Answers NaN for black pictures, and raises for white ones."""

    def probabilities(self, images):
        if (images == 255).any():
            raise RuntimeError("too bright")
        given = np.tile(EVEN, (len(images), 1))
        given[(images == 0).all(axis=(1, 2))] = np.nan
        return given


def test_a_picture_that_a_network_cannot_answer_for_costs_its_clip_and_the_clips_copies(tmp_path):
    stage = FrameLabelling(Network(), "mean-log", 1.0, Reading(1, 16, sound=False), (PICTURES,))
    grey = {"good": [100, 110], "black": [100, 0], "white": [100, 255]}
    with stage.pictures(tmp_path / "frames.parquet", {}, Journal(tmp_path / "journal", 600.0)) as sink:
        for clip, values in grey.items():
            pictures = [Picture(i, 0.1 * i, np.full((16, 16), value, np.uint8)) for i, value in enumerate(values)]
            sink([clip, f"{clip} copy"], pictures)
    rows = [{"clip": clip, "path": clip, "state": "ok"} for name in grey for clip in (name, f"{name} copy")]
    good = rows_to_table([{**row, "soft_label": EVEN.astype("f4")} for row in rows], featurized_schema([PICTURES]))
    with pytest.raises(UnansweredClips) as unanswered:
        list(stage.tables(good, sink))
    assert {clip: fault.reason for clip, fault in unanswered.value.faults.items()} == {
        "black": "not_finite",
        "black copy": "not_finite",
        "white": "internal",
        "white copy": "internal",
    }
    (_, (_, labels)) = stage.tables(good.slice(0, 2), sink)
    assert labels["predicted"].to_pylist() == [EMOTIONS[0]] * 2
    frames = read_table(tmp_path / "frames.parquet", FRAME_LABELS)
    assert frames["clip"].to_pylist() == ["good", "good", "good copy", "good copy"]


def test_pictures_of_a_clip_that_ended_a_process_are_given_to_the_network_alone(tmp_path):
    """Twice, and it is a failure; its neighbours, which were given beside it, are answered for."""
    stage = FrameLabelling(Network(), "mean-log", 1.0, Reading(1, 16, sound=False), (PICTURES,))
    file = tmp_path / "journal"
    for clips in (["a", "b", "c"], ["b"], ["b"]):
        Journal(file, 600.0)._write("answer", clips)
    given = []
    journal = Journal(file, 600.0)
    journal.answering = lambda clips, real=journal.answering: given.append(clips) or real(clips)
    with stage.pictures(tmp_path / "frames.parquet", {}, journal) as sink:
        for clip in "zabc":
            sink([clip], [Picture(0, 0.0, np.full((16, 16), 100, np.uint8))])
    assert given == [["z"], ["a"], ["b"], ["c"]]
    assert {clip: (fault.stage, fault.reason) for clip, fault in sink.faults.items()} == {"b": ("predict", "killed")}
    assert sink.frames["clip"].to_pylist() == ["z", "a", "c"]


def test_features_that_are_no_numbers_are_their_files_failure(media_files, monkeypatch):
    path = media_files.sound("a.wav")
    monkeypatch.setattr(article, "article_features", lambda *_: (np.full(160, np.inf, "f4"), np.zeros((157, 39), "f4")))
    article._both.cache_clear()
    planned = rows_to_table([{"clip": "a", "path": path, "soft_label": EVEN.astype("f4")}], PLANNED)
    (row,) = featurize_batch(planned, [ARTICLE]).to_pylist()
    assert (row["stage"], row["reason"]) == ("featurize", "not_finite")
    assert row["article"] == [] and row["content_id"]
