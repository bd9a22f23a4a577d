"""Feature tables written by hand, and media that no recorder would write."""

import struct
import wave

import numpy as np
import pytest
from ray._raylet import PlacementGroupID
from ray.util.placement_group import PlacementGroup, placement_group_table, remove_placement_group
from whole_media import spoken

from emocore.features.article import ARTICLE, COLUMNS
from emocore.features.catalogue import to_json
from emocore.labels import EMOTIONS
from emocore.schema import CLIPS, SCHEMA_VERSION, features_schema, rows_to_table
from emocore.storage.files import write_json
from emocore.storage.tables import write_table


@pytest.fixture(scope="module", autouse=True)
def pages(undrawn):
    """Many pages are made, and none is looked at."""


@pytest.fixture(scope="session")
def acted():
    """Rows for `write_features`: every actor plays every emotion so many times."""

    def rows(actors, emotions=EMOTIONS, times=2, **columns):
        return [
            {
                "clip": f"{actor}-{emotion}-{n}",
                "actor": f"{actor:02d}",
                "gender": "male" if actor % 2 else "female",
                "emotion": emotion,
                **columns,
            }
            for actor in actors
            for emotion in emotions
            for n in range(times)
        ]

    return rows


@pytest.fixture(scope="session")
def write_features():
    """Write a FEATURES folder by hand: random columns in which each emotion has a centre of its own.

    A clip's columns depend on its own row alone. In a row, `sounds` is the emotion whose centre it is given where
    that is not its label, and `soft` its soft label.
    """
    centres = dict(zip(EMOTIONS, np.random.default_rng(1).normal(size=(len(EMOTIONS), len(COLUMNS))), strict=True))
    one_hot = dict(zip(EMOTIONS, np.eye(len(EMOTIONS), dtype=np.float32), strict=True))

    def write(folder, rows, *, signal=0.2, family=ARTICLE, **manifest):
        clips, columns = [], []
        for row in rows:
            noise = np.random.default_rng(list(row["clip"].encode())).normal(size=len(COLUMNS))
            columns.append(noise + signal * centres.get(row.get("sounds", row.get("emotion")), 0.0))
            known = {"path": f"/data/{row['clip']}.wav", "take": row["clip"], "content_id": row["clip"], "state": "ok"}
            soft = row.get("soft", one_hot.get(row.get("emotion"), np.zeros(len(EMOTIONS), np.float32)))
            clips.append({**known, "duration_seconds": 3.0, **row, "soft_label": soft})
        values = np.asarray(columns, np.float32)
        window = {"track": 0, "window": 0, "start_seconds": 0.0, "end_seconds": 3.62, "state": "ok"}
        audio = [
            {"clip": row["clip"], **window, **dict(zip(COLUMNS, numbers, strict=True))}
            for row, numbers in zip(rows, values.tolist(), strict=True)
        ]
        schema = features_schema(family.shape, family.columns)
        write_table(rows_to_table(clips, CLIPS), folder / "clips" / "000000.parquet")
        write_table(rows_to_table(audio, schema), folder / "features" / "article" / "000000.parquet")
        facts = {
            "kind": "features",
            "schema_version": SCHEMA_VERSION,
            "families": to_json([family]),
            "fingerprint": f"{folder.name}-{len(rows)}",
            "synthetic": True,
        }
        write_json(folder / "manifest.json", facts | manifest)
        return folder

    return write


@pytest.fixture(scope="session")
def tone():
    """Somebody speaks over a chord, int16[samples]: `pitch_hz` decides the bytes."""

    def samples(pitch_hz, seconds=1.0, sample_rate_hz=16_000, peak=8_000):
        time = np.arange(round(seconds * sample_rate_hz)) / sample_rate_hz
        wobble = np.sin(2 * np.pi * 3 * time)
        wave_ = np.sin(2 * np.pi * pitch_hz * time) + 0.5 * np.sin(4 * np.pi * pitch_hz * time + wobble)
        voice = np.resize(spoken(sample_rate_hz), len(time))
        return np.rint((wave_ / 3 + voice / 2) * peak).astype(np.int16)

    return samples


@pytest.fixture(scope="session")
def write_wav():
    """Write 16-bit samples [n] or [n, channels]."""

    def write(path, samples, sample_rate_hz=16_000):
        path.parent.mkdir(parents=True, exist_ok=True)
        with wave.open(str(path), "wb") as file:
            file.setnchannels(samples.shape[1] if samples.ndim == 2 else 1)
            file.setsampwidth(2)
            file.setframerate(sample_rate_hz)
            file.writeframes(samples.astype("<i2").tobytes())
        return path

    return write


@pytest.fixture
def interrupt(monkeypatch):
    """End a search behind so many rows as Ctrl-C does, and take back what its process would have given back."""

    def run(search, rows):
        from emocore.pipeline.tuning.search import Journal  # noqa: PLC0415 - Ray Tune, for the tests of searches alone

        keep, others = Journal.keep, iter(range(rows - 1))

        def kept(journal, row):
            keep(journal, row)
            if next(others, None) is None:
                raise KeyboardInterrupt

        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(Journal, "keep", kept)
            search()
        for name in placement_group_table():
            remove_placement_group(PlacementGroup(PlacementGroupID(bytes.fromhex(name))))

    return run


# Name below `zoo` → the reason of its failures row.
BAD = {
    "bad/empty.wav": "empty_file",
    "bad/text.wav": "unsupported",
    "bad/truncated.wav": "truncated",
    "bad/no_samples.wav": "no_samples",
    "bad/nan.wav": "not_finite",
    "bad/dangling.wav": "not_found",
    "bad/broken.zip": "broken",
}
GOOD = (
    "short.wav",
    "8k.wav",
    "192k.wav",
    "five_one.wav",
    "silent.wav",
    "with space.wav",
    "new\nline.wav",
    "ünïcödé 声.WAV",
    "😀.wav",
    "happy birthday, 03-01.wav",
)
COPIES = ("copy/a.wav", "copy/b.wav", "z copy.wav")  # equal bytes, in path order


@pytest.fixture(scope="session")
def fill_zoo(tone, write_wav):
    """Write the GOOD, BAD and COPIES into a folder, with a loop of links and a file that is no medium."""

    def fill(root):
        write_wav(root / "short.wav", tone(300, 0.1))
        write_wav(root / "8k.wav", tone(310, 1, 8_000), 8_000)
        write_wav(root / "192k.wav", tone(320, 0.5, 192_000), 192_000)
        write_wav(root / "five_one.wav", np.stack([tone(330 + 7 * i) for i in range(6)], axis=1))
        write_wav(root / "silent.wav", np.zeros(16_000, np.int16))
        for i, name in enumerate(GOOD[5:]):
            write_wav(root / name, tone(400 + 20 * i))
        for name in COPIES:
            write_wav(root / name, tone(500))
        bad = root / "bad"
        note = 8_000 * np.sin(2 * np.pi * 600 * np.arange(16_000) / 16_000)  # nothing to answer from in what is left
        whole = write_wav(bad / "truncated.wav", np.rint(note).astype(np.int16))
        whole.write_bytes(whole.read_bytes()[:-9_000])
        write_wav(bad / "no_samples.wav", np.zeros(0, np.int16))
        (bad / "empty.wav").touch()
        (bad / "text.wav").write_text("no sound at all\n" * 40)
        (bad / "nan.wav").write_bytes(_float_wav(np.full(16_000, np.nan)))
        (bad / "dangling.wav").symlink_to("nowhere.wav")
        (bad / "broken.zip").write_bytes(b"PK\x03\x04 and nothing more")
        (root / "loop").symlink_to(root, target_is_directory=True)
        (root / "notes.txt").write_text("not a medium\n")
        return root

    return fill


@pytest.fixture(scope="session")
def zoo(fill_zoo, tmp_path_factory):
    """A folder with all that `fill_zoo` writes. Read only."""
    return fill_zoo(tmp_path_factory.mktemp("zoo"))


@pytest.fixture(scope="session")
def zoo_names():
    """(good and copied, {bad: reason}) below `zoo`."""
    return {*GOOD, *COPIES}, BAD, COPIES


def _float_wav(samples):
    data = samples.astype("<f4").tobytes()
    header = struct.pack("<4sIHHIIHH", b"fmt ", 16, 3, 1, 16_000, 64_000, 4, 32)
    return (
        struct.pack("<4sI4s", b"RIFF", 36 + len(data), b"WAVE")
        + header
        + struct.pack("<4sI", b"data", len(data))
        + data
    )
