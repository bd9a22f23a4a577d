"""A batch of files becomes a batch of features, whatever the batch; faults are columns."""

import hashlib
import io
import shutil
import time
import zipfile
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import librosa
import numpy as np
import pyarrow as pa
import pytest
import soundfile
from whole_media import featurized as featurize_batch
from whole_media import featurized_schema, windows_of

from emocore.errors import MediaError
from emocore.features import article
from emocore.features import extract as stage
from emocore.features.article import ARTICLE, ARTICLE_FRAMES
from emocore.features.extract import PLANNED
from emocore.features.rows import values_of
from emocore.media import source
from emocore.media.reading import Reading
from emocore.schema import CLIPS, features_schema, rows_to_table
from emocore.timeline import WindowGrid

FAMILIES = (ARTICLE, ARTICLE_FRAMES)


@pytest.fixture(scope="module")
def archive(shared_media):
    """Paths by what they hold."""
    m = shared_media
    voice = m.voice(0.6)
    first = m.sound("a.wav", voice)
    return {
        "ok": first,
        "copy": m.bytes("copy.wav", Path(first).read_bytes()),
        "other": m.sound("other.flac", m.voice(0.4, 44_100, 0.1), 44_100),
        "silent": m.sound("silent.wav", voice * 1e-4),
        "offset": m.sound("offset.wav", voice * 0 + 0.5),
        "too_short": m.sound("too_short.wav", voice[:900]),
        "no_audio": m.encoded("mute.mp4", None, 0, video="libx264"),
        "text": m.bytes("text.wav", b"no sound at all"),
        "nan": m.sound("nan.wav", np.full(2_205, np.nan, np.float32), subtype="FLOAT"),
        "gone": str(m.folder / "gone.wav"),
    }


def plan(paths, **duplicate_of):
    """PLANNED rows, with the content ids that their bytes have now."""
    ids = {path: hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in paths if Path(path).exists()}
    rows = [
        {
            "clip": f"clip {path}",
            "path": path,
            "duplicate_of": duplicate_of.get(Path(path).stem),
            "planned_id": ids.get(path),
        }
        for path in paths
    ]
    return rows_to_table([{**row, "soft_label": np.eye(8, dtype="f4")[2]} for row in rows], PLANNED)


def values(table, family):
    return values_of(windows_of(table, family), family)


def by_path(table):
    return {row["path"]: row for row in table.to_pylist()}


def reference_columns(signal):
    fixed = librosa.util.fix_length(signal, size=156 * 512)
    m = librosa.feature.mfcc(y=fixed, sr=22_050, n_mfcc=13)
    rows = np.vstack([m, librosa.feature.delta(m), librosa.feature.delta(m, order=2), librosa.feature.rms(y=fixed)])
    return np.concatenate([rows.mean(1), rows.max(1), rows.min(1), rows.std(1)]), rows[:39].T


@pytest.mark.parametrize("level", ["as-is", "peak"])
def test_features_are_librosas_of_the_prepared_signal(archive, level):
    table = featurize_batch(plan([archive["other"]]), [family.with_input(level=level) for family in FAMILIES])
    signal = librosa.load(archive["other"], sr=22_050)[0]
    columns, frames = reference_columns(signal / np.abs(signal).max() if level == "peak" else signal)
    np.testing.assert_allclose(values(table, ARTICLE), columns[None], atol=2e-3, rtol=1e-4)
    np.testing.assert_allclose(values(table, ARTICLE_FRAMES), frames[None], atol=2e-3, rtol=1e-4)


def test_facts_of_a_file(archive):
    (row,) = featurize_batch(plan([archive["ok"]]), FAMILIES).to_pylist()
    assert row["content_id"] == hashlib.sha256(Path(archive["ok"]).read_bytes()).hexdigest()
    assert row["duration_seconds"] == pytest.approx(soundfile.info(archive["ok"]).duration)
    assert (row["state"], row["stage"], row["reason"], row["detail"]) == ("ok", None, None, None)
    assert (row["sound_tracks"], 500 < row["bandwidth_hz"] <= 11_025) == (1, True)
    assert (row["clip"], row["soft_label"]) == (f"clip {archive['ok']}", [0, 0, 1, 0, 0, 0, 0, 0])


def test_the_windows_of_a_clip_end_with_it(media_files):
    """The article's recipe fills 3.62 s up with silence, which nobody heard."""
    paths = [media_files.sound(f"{n}.wav", media_files.voice(n), 22_050) for n in (1.5, 5.0)]
    table = featurize_batch(plan(paths), FAMILIES)
    for family in FAMILIES:
        assert windows_of(table, family)["end_seconds"].to_pylist() == pytest.approx([1.5, 3.622313])


def test_a_clip_without_a_window_is_too_short(media_files):
    paths = [media_files.sound(f"{n}.wav", media_files.voice(n), 22_050) for n in (1.5, 5.0)]
    family = replace(ARTICLE, grid=WindowGrid(3.0, tail="drop"))
    short, long = featurize_batch(plan(paths), [family]).to_pylist()
    assert (short["state"], short["article"], short["reason"]) == ("too_short", [], None)
    assert (long["state"], len(long["article"])) == ("ok", 1)


@pytest.mark.parametrize("planned", [PLANNED.empty_table(), plan([]), PLANNED.empty_table().slice(0, 0)])
def test_zero_rows(planned):
    table = featurize_batch(planned, FAMILIES)
    assert table.schema.equals(featurized_schema(FAMILIES), check_metadata=True)
    assert table.num_rows == 0
    assert values(table, ARTICLE).shape == (0, 160)
    assert values(table, ARTICLE_FRAMES).shape == (0, 157, 39)


def test_types_are_the_schemas_and_tensors_hold_no_null(archive):
    table = featurize_batch(plan(archive.values()), FAMILIES)
    assert table.schema.equals(featurized_schema(FAMILIES), check_metadata=True)
    table.validate(full=True)
    assert table["soft_label"].null_count == 0
    assert table["soft_label"].combine_chunks().storage.flatten().null_count == 0
    for family in FAMILIES:
        windows = windows_of(table, family)
        windows.validate(full=True)
        assert windows.schema == features_schema(family.shape, family.columns)
        looked_for = [name for name in windows.column_names if name != "speech_seconds"]  # nobody did
        assert {windows[name].null_count for name in looked_for} == {0}
    assert table.select(CLIPS.names).schema.equals(CLIPS)


@pytest.mark.parametrize(
    ("name", "state", "fault"),
    [
        ("silent", "silent", None),
        ("offset", "silent", None),
        ("too_short", "too_short", None),
        ("no_audio", "no_audio", None),
        ("text", None, ("open", "unsupported")),
        ("nan", None, ("decode", "not_finite")),
        ("gone", None, ("open", "not_found")),
    ],
)
def test_what_cannot_be_heard(archive, name, state, fault):
    table = featurize_batch(plan([archive[name]]), FAMILIES)
    (row,) = table.to_pylist()
    assert row["state"] == state
    assert (row["stage"], row["reason"]) == (fault or (None, None))
    assert bool(row["detail"]) == bool(fault)
    heard = state in ("silent", "too_short")
    for family in FAMILIES if fault is None else ():
        assert windows_of(table, family)["state"].to_pylist() == [state] * heard
        assert bool(values(table, family).any()) == heard
    assert (row["duration_seconds"] is not None) == (fault is None)
    assert (row["bandwidth_hz"] is not None, row["sound_tracks"]) == (heard, None if fault else int(heard))
    assert (row["content_id"] is not None) == (name != "gone")


def test_a_fault_of_ours_hits_its_own_file_only(archive, monkeypatch):
    original = article.article_features

    def fragile(signal, rate):
        if len(signal) < 10_000:
            raise ZeroDivisionError("boom")
        return original(signal, rate)

    monkeypatch.setattr(article, "article_features", fragile)
    article._both.cache_clear()
    rows = by_path(featurize_batch(plan([archive["other"], archive["ok"]]), FAMILIES))
    bad = rows[archive["other"]]
    assert (bad["stage"], bad["reason"], bad["state"]) == ("featurize", "internal", None)
    assert "ZeroDivisionError: boom" in bad["detail"]
    assert rows[archive["ok"]]["state"] == "ok"


def test_input_is_not_changed(archive):
    planned = plan(archive.values())
    before = planned.to_pylist(), planned.schema
    featurize_batch(planned, FAMILIES)
    assert (planned.to_pylist(), planned.schema) == before


def test_one_batch_two_batches_chunks_slices_and_any_order_give_the_same_rows(archive):
    planned = plan(archive.values(), copy=archive["ok"])
    whole = featurize_batch(planned, FAMILIES)
    halves = pa.concat_tables(
        [featurize_batch(planned.slice(0, 3), FAMILIES), featurize_batch(planned.slice(3), FAMILIES)]
    )
    chunked = featurize_batch(pa.concat_tables([planned.slice(0, 5), planned.slice(5)]), FAMILIES)
    order = np.random.default_rng(0).permutation(planned.num_rows)
    shuffled = featurize_batch(planned.take(order), FAMILIES).take(np.argsort(order))
    for other in (halves, chunked, shuffled):
        assert other.combine_chunks().equals(whole.combine_chunks())


def test_equal_bytes_are_computed_once_and_each_has_its_row(archive, monkeypatch):
    opened = []
    original = stage.open_source
    monkeypatch.setattr(stage, "open_source", lambda path, limit: opened.append(path) or original(path, limit))
    paths = [archive["ok"], archive["copy"], archive["other"]]
    rows = by_path(featurize_batch(plan(paths, copy=archive["ok"]), FAMILIES))
    assert opened == [archive["ok"], archive["other"]]
    first, copy = rows[archive["ok"]], rows[archive["copy"]]
    assert (first["duplicate_of"], copy["duplicate_of"]) == (None, archive["ok"])
    own = {"clip", "path", "duplicate_of"}
    assert {k: v for k, v in first.items() if k not in own} == {k: v for k, v in copy.items() if k not in own}
    assert copy["article"] != rows[archive["other"]]["article"]


@pytest.fixture
def twins(archive, tmp_path):
    """Three files that were equal when they were planned, and the plan."""
    paths = [str(tmp_path / f"{name}.wav") for name in ("a", "b", "c")]
    for path in paths:
        shutil.copy(archive["ok"], path)
    return paths, plan(paths, b=paths[0], c=paths[0])


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda file: file.write_bytes(bytes(file.stat().st_size)), "unsupported"),
        (lambda file: file.unlink(), "not_found"),
        (lambda file: file.write_bytes(b""), "empty_file"),
    ],
)
def test_a_copy_that_is_another_file_by_now_speaks_for_itself_alone(twins, damage, reason):
    paths, planned = twins
    whole = hashlib.sha256(Path(paths[0]).read_bytes()).hexdigest()
    entered = []
    damage(Path(paths[0]))
    rows = featurize_batch(planned, FAMILIES, guard=lambda path: nullcontext(entered.append(path))).to_pylist()
    assert [row["reason"] for row in rows] == [reason, None, None]
    assert rows[0]["content_id"] != whole and [row["content_id"] for row in rows[1:]] == [whole] * 2
    assert entered == paths[:2]  # the third's bytes are known
    assert rows[1]["article"] == rows[2]["article"] != []


def test_copies_with_the_same_fault_are_read_once(archive, tmp_path):
    paths = [str(tmp_path / f"{name}.wav") for name in "ab"]
    for path in paths:
        shutil.copy(archive["text"], path)
    entered = []
    rows = featurize_batch(plan(paths, b=paths[0]), FAMILIES, guard=lambda path: nullcontext(entered.append(path)))
    assert rows["reason"].to_pylist() == ["unsupported"] * 2 and entered == paths[:1]


def test_a_file_that_ended_processes_is_not_tried_again_under_its_copies_names(twins):
    paths, planned = twins

    def guard(path):
        assert path == paths[0]
        raise MediaError("decode", "killed", "ended 2 processes that read it")

    assert featurize_batch(planned, FAMILIES, guard=guard)["reason"].to_pylist() == ["killed"] * 3


def test_a_copy_whose_first_is_in_another_batch_is_computed_from_its_own_bytes(archive):
    alone = featurize_batch(plan([archive["copy"]], copy=archive["ok"]), FAMILIES)
    first = featurize_batch(plan([archive["ok"]]), FAMILIES)
    np.testing.assert_array_equal(values(alone, ARTICLE), values(first, ARTICLE))


# The time that one file may take

WAIT_SECONDS = 0.05


class SlowStorage(io.BytesIO):
    """Bytes that take a while at each read."""

    def __init__(self, content):
        super().__init__(content)
        self.reads = 0

    def read(self, *arguments):
        self.reads += 1
        time.sleep(WAIT_SECONDS)
        return super().read(*arguments)


def outcome_within(path, seconds):
    (row,) = featurize_batch(plan([path]), FAMILIES, Reading(seconds_per_file=seconds)).to_pylist()
    return row["stage"], row["reason"], row["content_id"] is not None


def test_slow_storage_is_told_while_the_bytes_are_hashed(archive, monkeypatch):
    """The journal ends the process at twice the limit: the file would be `killed`, and its neighbours read again."""
    stream = SlowStorage(bytes(40 * source.CHUNK_BYTES))
    monkeypatch.setattr(stage, "open_source", lambda path, limit: stream)  # noqa: ARG005 - the stage's names
    assert outcome_within("slow.wav", 3 * WAIT_SECONDS) == ("open", "too_slow", False)
    assert stream.reads <= 5


def test_hashing_and_reading_share_one_limit(archive, monkeypatch):
    assert outcome_within(archive["ok"], 5.0) == (None, None, True)
    original = stage.clip_id

    def slow(path, stream, limit):
        identity = original(path, stream, limit)
        time.sleep(0.3)
        return identity

    monkeypatch.setattr(stage, "clip_id", slow)
    assert outcome_within(archive["ok"], 0.25) == ("decode", "too_slow", True)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_slow_storage_is_told_while_a_member_is_unpacked(archive, tmp_path, monkeypatch, method):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as packed:
        packed.writestr("a.wav", Path(archive["ok"]).read_bytes() + bytes(10 * source.CHUNK_BYTES))
    reads = []
    original = zipfile.ZipExtFile.read

    def slow(self, *arguments):
        reads.append(arguments)
        time.sleep(WAIT_SECONDS)
        return original(self, *arguments)

    monkeypatch.setattr(zipfile.ZipExtFile, "read", slow)
    assert outcome_within(f"{tmp_path}/a.zip!/a.wav", 3 * WAIT_SECONDS) == ("open", "too_slow", False)
    assert len(reads) <= 5
