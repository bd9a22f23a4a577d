"""A joined recording: labelled by segments, corrected, and trained on; each step gives what clips cut by hand do."""

import csv

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

import emocore
from emocore.schema import PROBABILITIES

pytestmark = pytest.mark.usefixtures("cluster", "undrawn")


def rows(folder, table):
    return pa.concat_tables([pq.read_table(part) for part in sorted((folder / table).glob("*.parquet"))]).to_pylist()


@pytest.fixture(scope="module")
def joined(newcomer, corpus, tmp_path_factory):
    """The recordings of actors 1, 2 and 5, each joined into a file, and a manifest of their segments. Read only."""
    folder = tmp_path_factory.mktemp("joined")
    told = []
    for actor, root in (("01", corpus), ("02", corpus), ("05", newcomer)):
        at, parts, times = 0, [], []
        for clip in sorted((root / f"Actor_{actor}").glob("*.wav")):
            signal, rate = soundfile.read(clip, dtype="int16")
            start = at + rate // 3
            at = start + len(signal)
            parts += [np.zeros(rate // 3, np.int16), signal]
            times.append((round(start / rate, 3), round(at / rate, 3), clip.name.split("-")[2]))
        signal = np.concatenate([*parts, np.zeros(rate // 3, np.int16)])
        soundfile.write(folder / f"{actor}.flac", signal, rate)
        for number, (start, end, code) in enumerate(times):
            cut = signal[round(start * rate) : round(end * rate)]
            soundfile.write(folder / f"cut-{actor}-{number:02d}.wav", cut, rate)
            told.append((f"{actor}.flac", start, end, code, actor))
    write(folder / "m.csv", ("path", "start_seconds", "end_seconds"), [row[:3] for row in told])
    return folder, told


def write(path, names, table):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([names, *table])


def test_answers_are_those_of_the_cuts_and_corrected_they_train(joined, bundle, job, tmp_path):
    folder, told = joined
    segments, cuts = tmp_path / "L", tmp_path / "cuts"
    assert job("label", folder / "m.csv", "--model", bundle, "--out", segments).code == 0
    by_hand = sorted(folder.glob("cut-*.wav"))
    assert job("label", *by_hand, "--model", bundle, "--out", cuts).code == 0

    ours = {row["path"]: row for row in rows(segments, "labels")}
    theirs = [row for _, row in sorted((row["path"], row) for row in rows(cuts, "labels"))]
    assert len(ours) == len(theirs) == len(told) == 48 and not list((segments / "failures").glob("*"))
    paths = [f"{folder}/{name}#t={start},{end}" for name, start, end, *_ in told]
    for name in ("speech_seconds", "duration_seconds", "predicted", "state", "windows"):
        assert [ours[path][name] for path in paths] == [row[name] for row in theirs], name
    for name in PROBABILITIES:  # how many are answered for at once is in the last digit
        assert [ours[path][name] for path in paths] == pytest.approx([row[name] for row in theirs], abs=1e-6)
    assert len({row["content_id"] for row in ours.values()}) == 48

    place = {row["clip"]: row["path"] for row in ours.values()}
    windows = [(place[row["clip"]].partition("#")[0], row) for row in rows(segments, "windows")]
    times = {path: (start, end) for path, (_, start, end, *_) in zip(paths, told, strict=True)}
    for _, row in windows:
        start, end = times[place[row["clip"]]]
        assert start <= row["start_seconds"] < row["end_seconds"] <= end + 1e-6

    again = job("label", folder / "m.csv", "--model", bundle, "--out", segments)
    assert again.code == 0 and "was finished already" in again.out

    emotions = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
    right = [(path, emotions[int(code) - 1], actor) for path, (*_, code, actor) in zip(paths, told, strict=True)]
    write(folder / "corrected.csv", ("path", "emotion", "actor"), right)  # by the paths of labels/
    spoken = {path: (emotion, actor) for path, emotion, actor in right}
    write(  # by the times of windows/
        folder / "windows.csv",
        ("path", "start_seconds", "end_seconds", "emotion", "actor"),
        [(file, row["start_seconds"], row["end_seconds"], *spoken[place[row["clip"]]]) for file, row in windows],
    )
    for manifest in ("corrected.csv", "windows.csv"):
        run = tmp_path / manifest
        assert job("train", folder / manifest, "--model", "svc", "--out", run).code == 0
        clips = rows(run / "features", "clips")
        assert {row["actor"] for row in clips} == {"01", "02", "05"} and all(row["emotion"] for row in clips)
    test = job("evaluate", folder / "corrected.csv", "--model", "svc", "--protocol", "loso", "--out", tmp_path / "E")
    assert test.code == 0


def test_people_who_speak_in_one_recording_are_not_parted_unless_the_manifest_says_so(joined, job, tmp_path):
    folder, told = joined
    talk = [
        ("05.flac", start, end, "happy" if n % 2 else "sad", n % 3) for n, (_, start, end, *_) in enumerate(told[32:])
    ]
    write(folder / "talk.csv", ("path", "start", "end", "emotion", "actor"), talk)
    tested = ("--model", "svc", "--protocol", "loso", "--out", tmp_path / "E")
    refused = job("evaluate", folder / "talk.csv", *tested)
    assert refused.code == 2 and "which are recordings of one take" in refused.err
    write(
        folder / "apart.csv",
        ("path", "start", "end", "emotion", "actor", "take"),
        [(*row, n) for n, row in enumerate(talk)],
    )
    assert job("evaluate", folder / "apart.csv", *tested[:-1], tmp_path / "A").code == 0


def test_from_python_a_segment_is_named_by_its_path(joined, bundle, tmp_path):
    folder, told = joined
    name, start, end, *_ = told[3]
    with emocore.load_model(bundle) as model:
        ours, theirs = model.label(f"{folder}/{name}#t={start},{end}"), model.label(folder / "cut-01-03.wav")
    assert dict(ours.clip.probabilities) == dict(theirs.clip.probabilities)
    assert (ours.clip.start_seconds, ours.clip.end_seconds) == (start, pytest.approx(end))
    assert ours.windows[0].start_seconds == pytest.approx(start + theirs.windows[0].start_seconds)
