"""Media to feature tables on a running Ray: what the folder holds, and what a second command does to it."""

import fcntl
import shutil
import zipfile
from typing import get_args

import librosa
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from emocore.corpora.synthetic.corpus import DemoSettings, plan, write_clip
from emocore.errors import Reason, Stage, TooManyFailures, UserError
from emocore.features import extract as stage
from emocore.features.article import ARTICLE, ARTICLE_FRAMES, COLUMNS
from emocore.features.catalogue import to_json
from emocore.media.reading import SOUND_ONLY
from emocore.pipeline.archive import plan as planning
from emocore.pipeline.archive import shards
from emocore.pipeline.archive import update as rounds
from emocore.pipeline.archive.stage import run_shard
from emocore.pipeline.featurize import Featurizing
from emocore.schema import CLIPS, FAILURES, SCHEMA_VERSION, VERSION_KEY, features_schema
from emocore.storage.files import read_json

pytestmark = pytest.mark.usefixtures("cluster")
SAID_BY_THE_NAME = ("modality", "channel", "emotion", "intensity", "statement", "repetition", "actor", "gender")
AUDIO, MFCC = "features/article", "features/article-frames"
CONTRACT = {"clip", "take", "path", "content_id", "duration_seconds", "state", *SAID_BY_THE_NAME}


def read(folder, part):
    """All rows of one table, by clip or path, with no Ray and none of our own readers."""
    files = sorted((folder / part).glob("*.parquet"))
    table = pa.concat_tables([pq.read_table(file) for file in files])
    return table.sort_by("clip" if "clip" in table.column_names else "path")


def below(table, root):
    return [path.removeprefix(f"{root}/") for path in table["path"].to_pylist()]


def visible(folder):
    return {entry.name for entry in folder.iterdir() if not entry.name.startswith(".")}


def mtimes(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*.*") if path.is_file() and path.name != ".lock"}


def sounds(folder):
    """File name → its 160 columns."""
    audio, clips = read(folder, AUDIO), read(folder, "clips")
    names = dict(zip(clips["clip"].to_pylist(), clips["path"].to_pylist(), strict=True))
    values = np.column_stack([audio[name].to_numpy() for name in COLUMNS])
    return {names[clip].rpartition("/")[2]: row for clip, row in zip(audio["clip"].to_pylist(), values, strict=True)}


def test_the_folder_has_the_parts_and_columns_of_the_contract(features, corpus):
    assert visible(features) == {"config.json", "manifest.json", "clips", "features"}  # no failures here
    assert visible(features / "features") == {"article", "article-frames"}
    clips, audio, mfcc = (read(features, part) for part in ("clips", AUDIO, MFCC))
    assert set(clips.column_names) >= CONTRACT and clips.schema.remove_metadata() == CLIPS
    keys = ["clip", "track", "window", "start_seconds", "end_seconds", "speech_seconds", "state"]
    assert audio.column_names == [*keys, *COLUMNS] and len(COLUMNS) == 160
    assert set(audio["window"].to_pylist()) == set(audio["track"].to_pylist()) == {0}
    ends = dict(zip(clips["clip"].to_pylist(), clips["duration_seconds"].to_pylist(), strict=True))
    assert audio["end_seconds"].to_pylist() == [min(ends[clip], 3.622313) for clip in audio["clip"].to_pylist()]
    assert {audio.schema.field(name).type for name in COLUMNS} == {pa.float32()}
    assert mfcc.schema.remove_metadata() == features_schema((157, 39), ())
    assert clips["clip"].to_pylist() == sorted(path.stem for path in corpus.rglob("*.wav"))
    assert audio["clip"] == clips["clip"] == mfcc["clip"]
    for file in features.rglob("*.parquet"):
        assert pq.read_schema(file).metadata[VERSION_KEY] == SCHEMA_VERSION.encode()
    manifest = read_json(features / "manifest.json")
    assert manifest["clips"] == 64 and manifest["failures"] == 0
    assert manifest["schema_version"] == SCHEMA_VERSION and manifest["families"] == to_json([ARTICLE, ARTICLE_FRAMES])
    reads = manifest["families"]["article"]["reads"]
    assert reads == {"sample_rate_hz": 22_050, "level": "as-is"} and manifest["seed"] == 0
    assert manifest["fingerprint"] and manifest["versions"]["librosa"]


def test_a_row_says_what_the_name_says_and_holds_what_librosa_hears(features):
    clip = "03-01-05-01-02-01-04"
    row = next(row for row in read(features, "clips").to_pylist() if row["clip"] == clip)
    assert {name: row[name] for name in SAID_BY_THE_NAME} == {
        "modality": "audio-only",
        "channel": "speech",
        "emotion": "angry",
        "intensity": "normal",
        "statement": "dogs",
        "repetition": 1,
        "actor": "04",
        "gender": "female",
    }
    signal, rate = librosa.load(row["path"], sr=22_050)
    assert row["duration_seconds"] == pytest.approx(len(signal) / rate, abs=1e-3)
    signal = librosa.util.fix_length(signal, size=156 * 512)
    mfcc = librosa.feature.mfcc(y=signal, sr=rate, n_mfcc=13)
    heard = sounds(features)[f"{clip}.wav"]
    np.testing.assert_allclose(heard[:13], mfcc.mean(axis=1), rtol=1e-3, atol=1e-2)
    frames = read(features, MFCC)
    index = frames["clip"].to_pylist().index(clip)
    tensor = frames["values"].combine_chunks().to_numpy_ndarray()[index]
    np.testing.assert_allclose(tensor[:, :13], mfcc.T, rtol=1e-3, atol=1e-2)


def test_every_file_is_in_clips_or_in_failures_once(zoo, zoo_names, features_of, tmp_path):
    good, bad, _ = zoo_names
    done = features_of(zoo, tmp_path / "F")
    assert (done.clips, done.failures, done.already_finished) == (len(good), len(bad), False)
    assert visible(tmp_path / "F") == {"config.json", "manifest.json", "clips", "features", "failures"}
    clips, failures = read(tmp_path / "F", "clips"), read(tmp_path / "F", "failures")
    assert sorted(below(clips, zoo)) == sorted(good)
    assert dict(zip(below(failures, zoo), failures["reason"].to_pylist(), strict=True)) == bad
    assert failures.schema.remove_metadata() == FAILURES
    for row in failures.to_pylist():
        assert (
            row["stage"] in get_args(Stage)
            and row["reason"] in get_args(Reason)
            and row["detail"]
            and row["attempts"] == 1
        )
    states = dict(zip(below(clips, zoo), clips["state"].to_pylist(), strict=True))
    assert {name for name, state in states.items() if state == "silent"} == {"silent.wav"}
    seconds = dict(zip(below(clips, zoo), clips["duration_seconds"].to_pylist(), strict=True))
    assert [seconds[name] for name in ("short.wav", "192k.wav", "five_one.wav")] == pytest.approx([0.1, 0.5, 1.0])
    for name in ("channel", "emotion", "actor", "repetition"):
        assert clips[name].null_count == len(good)  # what a corpus does not know is a typed null
    values = np.stack(list(sounds(tmp_path / "F").values()))
    assert values.shape == (len(good), 160) and np.isfinite(values).all()


def test_equal_bytes_have_a_row_each_that_names_the_first(zoo, zoo_names, features_of, tmp_path):
    copies = zoo_names[2]
    features_of(zoo, tmp_path / "F")
    rows = {row["path"].removeprefix(f"{zoo}/"): row for row in read(tmp_path / "F", "clips").to_pylist()}
    assert len({rows[name]["content_id"] for name in copies}) == 1
    assert [rows[name]["duplicate_of"] for name in copies] == [None, *[f"{zoo}/{copies[0]}"] * 2]
    assert {name for name, row in rows.items() if row["duplicate_of"]} == set(copies[1:])
    heard = sounds(tmp_path / "F")
    for name in copies:
        np.testing.assert_array_equal(heard[name.rpartition("/")[2]], heard["a.wav"])


def test_equal_bytes_are_computed_once(zoo, zoo_names, features_of, tmp_path, monkeypatch):
    opened = []

    def spy(path, *rest, real=stage._featurize_file):
        opened.append(path)
        return real(path, *rest)

    planned = []

    def run_shards(_, plan, *__):
        planned[:] = map(plan.shard, range(len(plan)))

    monkeypatch.setattr(rounds, "run_shards", run_shards)
    monkeypatch.setattr(planning, "SHARD_FILES", 4)
    with pytest.raises(UserError, match="Something else writes to"):  # nothing was done
        features_of(zoo, tmp_path / "F")
    monkeypatch.setattr(stage, "_featurize_file", spy)
    for shard in planned:
        run_shard(shard, Featurizing((ARTICLE,), SOUND_ONLY), tmp_path / "G")
    assert len(opened) == len(set(opened)) == sum(shard.num_rows for shard in planned) - 2
    assert sum(path.endswith(zoo_names[2]) for path in opened) == 1


def test_a_finished_folder_is_left_alone(features, corpus, features_of):
    before = mtimes(features)
    done = features_of(corpus, features, frames=True)
    assert done.already_finished and done.clips == 64
    assert mtimes(features) == before and len(before) == 7


def test_an_interrupted_run_goes_on_where_it_stopped(features, corpus, features_of, tmp_path, monkeypatch):
    monkeypatch.setattr(planning, "SHARD_FILES", 8)
    out = tmp_path / "F"
    features_of(corpus, out, frames=True)
    assert len(list((out / "clips").iterdir())) == 8
    lost = [out / "manifest.json", out / "clips" / "000002.parquet", out / "clips" / "000007.parquet"]
    for file in [*lost, out / MFCC / "000007.parquet", out / AUDIO / "000007.parquet"]:
        file.unlink()
    kept = mtimes(out)
    done = features_of(corpus, out, frames=True)
    assert not done.already_finished and done.clips == 64
    after = mtimes(out)
    touched = {file.name for file in kept if after.get(file) != kept[file] and file.suffix == ".parquet"}
    assert touched == {"000002.parquet", "000007.parquet"}  # what was left of them
    for part in ("clips", AUDIO, MFCC):  # and one shard or eight is the same
        assert read(out, part) == read(features, part)


def test_more_failures_than_allowed_stop_the_run_and_a_later_one_finishes_it(zoo, features_of, tmp_path, monkeypatch):
    monkeypatch.setattr(planning, "SHARD_FILES", 2)
    features_of(zoo, tmp_path / "undisturbed")
    with pytest.raises(TooManyFailures, match=r"files failed, more than --max-failures 1: "):
        features_of(zoo, tmp_path / "F", max_failures=1)
    assert not (tmp_path / "F" / "manifest.json").exists()
    assert features_of(zoo, tmp_path / "F").failures == 7
    for part in ("clips", AUDIO, "failures"):
        assert read(tmp_path / "F", part) == read(tmp_path / "undisturbed", part)


def test_as_many_failures_as_allowed_do_not_stop_the_run(zoo, zoo_names, features_of, tmp_path):
    assert features_of(zoo, tmp_path / "F", max_failures=len(zoo_names[1])).failures == len(zoo_names[1])


def test_the_same_command_again_meets_the_same_limit(zoo, features_of, tmp_path, monkeypatch):
    monkeypatch.setattr(planning, "SHARD_FILES", 2)
    for _ in range(8):  # each call may finish some more shards, none may forget the failures of those before
        with pytest.raises(TooManyFailures):
            features_of(zoo, tmp_path / "F", max_failures=1)


def test_files_that_could_not_be_listed_count_as_failures(zoo, tone, write_wav, features_of, tmp_path):
    write_wav(tmp_path / "corpus" / "good.wav", tone(440))
    (tmp_path / "corpus" / "gone.wav").symlink_to("nowhere.wav")
    with pytest.raises(TooManyFailures):
        features_of(tmp_path / "corpus", tmp_path / "F", max_failures=0)


def test_a_corpus_in_which_nothing_can_be_listed_is_a_table_of_failures(features_of, tmp_path):
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "gone.wav").symlink_to("nowhere.wav")
    done = features_of(tmp_path / "corpus", tmp_path / "F")
    assert (done.clips, done.failures) == (0, 1)


def test_a_corpus_of_broken_files_alone_is_a_table_of_failures(features_of, tmp_path):
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "empty.wav").touch()
    done = features_of(tmp_path / "corpus", tmp_path / "F")
    assert (done.clips, done.failures) == (0, 1)
    assert features_of(tmp_path / "corpus", tmp_path / "F").already_finished


@pytest.mark.parametrize(
    ("changed", "name"),
    [({"seed": 1}, "options.seed"), ({"families": [ARTICLE.with_input(level="peak")]}, "families.article.reads.level")],
)
def test_other_options_are_refused_by_name(features, corpus, features_of, changed, name):
    before = mtimes(features)
    with pytest.raises(UserError, match=rf"{name} = .+: choose another --out"):
        features_of(corpus, features, frames=True, **changed)
    assert mtimes(features) == before


def test_a_corpus_that_grows_is_featurized_where_it_grew(corpus, features, features_of, tmp_path):
    root = tmp_path / "corpus"
    shutil.copytree(corpus / "Actor_01", root / "Actor_01")
    out = tmp_path / "F"
    features_of(root, out, frames=True)
    before = mtimes(out)
    fingerprint = read_json(out / "manifest.json")["fingerprint"]
    shutil.copytree(corpus / "Actor_02", root / "Actor_02")
    done = features_of(root, out, frames=True)
    assert (done.clips, done.already_finished) == (32, False)
    for part in ("clips", AUDIO, MFCC):
        assert mtimes(out)[out / part / "000000.parquet"] == before[out / part / "000000.parquet"]
        assert len(list((out / part).iterdir())) == 2
    assert read_json(out / "manifest.json")["fingerprint"] != fingerprint
    heard, whole = sounds(out), sounds(features)
    for name, row in heard.items():
        np.testing.assert_array_equal(row, whole[name])
    assert features_of(root, out, frames=True).already_finished
    manifest = read_json(out / "manifest.json")
    assert [manifest[name] for name in ("passed_over", "left_out", "sound_track")] == [{}, {}, None]
    (root / "notes.txt").touch()
    (root / "@eaDir").mkdir()
    assert features_of(root, out, frames=True).already_finished
    assert read_json(out / "manifest.json") == manifest | {"passed_over": {".txt": 1}, "left_out": {"@eaDir": 1}}


def test_a_label_that_is_corrected_decodes_nothing(tone, write_wav, features_of, tmp_path, monkeypatch):
    for name in ("a", "b"):
        write_wav(tmp_path / f"{name}.wav", tone(440 if name == "a" else 880))
    manifest = tmp_path / "m.csv"
    manifest.write_text("path,emotion,actor\na.wav,sad,1\nb.wav,sad,2\n")
    features_of(manifest, tmp_path / "F", frames=True)
    numbers = sounds(tmp_path / "F")
    manifest.write_text("path,emotion,actor\na.wav,happy,1\nb.wav,sad,2\n")
    monkeypatch.setattr(shards, "_run_task", None)  # nothing is read
    done = features_of(manifest, tmp_path / "F", frames=True)
    assert (done.clips, done.failures) == (2, 0)
    clips = read(tmp_path / "F", "clips")
    assert dict(zip(clips["clip"].to_pylist(), clips["emotion"].to_pylist(), strict=True)) == {
        "a.wav": "happy",
        "b.wav": "sad",
    }
    for name, row in sounds(tmp_path / "F").items():
        np.testing.assert_array_equal(row, numbers[name])
    assert read(tmp_path / "F", MFCC)["clip"].to_pylist() == ["a.wav", "b.wav"]


def test_a_folder_with_other_things_is_refused(corpus, features_of, tmp_path):
    (tmp_path / "thesis.doc").touch()
    with pytest.raises(UserError, match=r"holds other things \('thesis.doc'\)"):
        features_of(corpus, tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.doc"]


def test_a_second_run_at_once_is_refused(corpus, features_of, tmp_path):
    features_of(corpus, tmp_path / "F")
    with (tmp_path / "F" / ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="Another run is writing to"):
            features_of(corpus, tmp_path / "F")
    assert features_of(corpus, tmp_path / "F").already_finished


def test_the_sound_of_a_film_is_the_sound_of_its_take(features_of, tmp_path):
    for clip in plan(DemoSettings(actors=1, frame_size_pixels=96))[5:8]:
        write_clip(clip, tmp_path / "corpus")
    features_of(tmp_path / "corpus", tmp_path / "F")
    heard = sounds(tmp_path / "F")
    films = sorted(name for name in heard if name.endswith(".mp4"))
    wavs = [f"03{name[2:-4]}.wav" for name in films]
    assert len(films) == 3 and set(heard) == {*films, *wavs}
    for film in films:  # AAC loses a little: far less than what tells one take from another
        distance = {wav: float(np.abs(heard[film][:13] - heard[wav][:13]).max()) for wav in wavs}
        own = distance.pop(f"03{film[2:-4]}.wav")
        assert own < 0.25 * min(distance.values())


def test_peak_level_makes_loud_and_quiet_copies_equal(tone, write_wav, features_of, tmp_path):
    loud = 4 * tone(440, peak=6_000)
    for name, samples in {"loud.wav": loud, "quiet.wav": loud // 4}.items():
        write_wav(tmp_path / "corpus" / name, samples)
    features_of(tmp_path / "corpus", tmp_path / "peak", families=[ARTICLE.with_input(level="peak")])
    features_of(tmp_path / "corpus", tmp_path / "as-is")
    peak, as_is = sounds(tmp_path / "peak"), sounds(tmp_path / "as-is")
    np.testing.assert_allclose(peak["loud.wav"], peak["quiet.wav"], rtol=1e-5, atol=1e-5)
    assert as_is["loud.wav"][39] == pytest.approx(4 * as_is["quiet.wav"][39], rel=1e-3)  # the mean RMS
    assert read_json(tmp_path / "peak" / "manifest.json")["families"]["article"]["reads"]["level"] == "peak"


def test_a_zip_is_the_folder_that_it_holds(corpus, features, features_of, tmp_path):
    (tmp_path / "zips").mkdir()
    for actor in ("Actor_01", "Actor_02"):
        with zipfile.ZipFile(tmp_path / "zips" / f"{actor}.zip", "w") as archive:
            for wav in sorted((corpus / actor).iterdir()):
                archive.write(wav, f"{actor}/{wav.name}")
    assert features_of(tmp_path / "zips", tmp_path / "F").clips == 32
    zipped, plain = sounds(tmp_path / "F"), sounds(features)
    for name, row in zipped.items():
        np.testing.assert_array_equal(row, plain[name])


def test_a_file_that_goes_while_the_job_runs_is_a_failure(corpus, features_of, cluster, tmp_path, monkeypatch):
    shutil.copytree(corpus / "Actor_01", tmp_path / "corpus")
    gone = sorted((tmp_path / "corpus").iterdir())[3]
    real = rounds.run_shards

    def lose_then_run(*arguments):
        gone.unlink()
        real(*arguments)

    monkeypatch.setattr(rounds, "run_shards", lose_then_run)
    assert features_of(tmp_path / "corpus", tmp_path / "F").clips == 15
    assert [(row["path"], row["reason"]) for row in read(tmp_path / "F", "failures").to_pylist()] == [
        (str(gone), "not_found")
    ]
