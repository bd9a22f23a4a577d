"""What is answered for from feature tables is what was answered for as the media were decoded, part by part."""

import hashlib
import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from whole_media import spoken

from emocore.errors import TooManyFailures, UserError
from emocore.features.article import ARTICLE, ARTICLE_FRAMES
from emocore.features.catalogue import to_json
from emocore.features.extract import reading_of
from emocore.features.pictures import PICTURES
from emocore.labels import EMOTIONS
from emocore.models.labelling import HeardSink, tables_of
from emocore.models.labelling_films import SeenSink, seen_grid
from emocore.pipeline.archive import here
from emocore.pipeline.archive.items import WHOLE
from emocore.pipeline.archive.plan import shard_table
from emocore.pipeline.archive.rows import Planned
from emocore.pipeline.archive.stage import run_shard
from emocore.pipeline.feature_tables import open_tables
from emocore.pipeline.featurize import Featurizing
from emocore.pipeline.label_features import describe_tables, run_part, update_labels, waiting_parts
from emocore.schema import CLIPS, CUT_CLIPS, SCHEMA_VERSION
from emocore.storage.tables import read_table, take_out
from emocore.timeline import AS_FAMILIES_SAY, how_cut

SEEN = replace(PICTURES, reads=replace(PICTURES.reads, every=2, pixels=16))
RATE = 22_050


@dataclass(frozen=True)
class Weights:
    """A model: softmax of a fixed draw of weights, for what is read of any shape."""

    seed: int = 5

    def load(self):
        pass

    def probabilities(self, values):
        flat = np.asarray(values, np.float64).reshape(len(values), -1)
        logits = flat @ np.random.default_rng(self.seed).normal(size=(flat.shape[1], len(EMOTIONS)))
        powers = np.exp((logits - logits.max(axis=1, keepdims=True)) / (1 + np.abs(logits).max()))
        return powers / powers.sum(axis=1, keepdims=True)


@dataclass(frozen=True)
class Answering:
    """A stage as `label` has it, of a model that is none."""

    families: tuple
    how: object
    model: Weights = Weights()
    name: ClassVar[str] = "label"
    main: ClassVar[str] = "labels"
    keeps_broken: ClassVar[bool] = True

    @property
    def reading(self):
        return reading_of(self.families)

    @property
    def tables(self):
        return tables_of(EMOTIONS, bool(self.reading.every), apart=self.how.channels == "separate")

    def load(self):
        pass

    def take(self, write, journal):
        told = (self.model.probabilities, self.families[0], EMOTIONS, write, journal)
        if self.families[0] == SEEN:
            return SeenSink(*told, how="mean-log", temperature=0.7, grid=seen_grid(self.how))
        return HeardSink(*told)


@pytest.fixture
def shards(media_files):
    """Two shards: speech and pauses, a copy of it, silence, a cut file, one that is none, films, and two sentences."""
    one = spoken(RATE)[: round(2.5 * RATE)]
    pause = np.zeros(RATE, np.float32)
    long = media_files.sound(
        "long.wav", np.concatenate([one, pause, np.resize(spoken(RATE), 9 * RATE), pause, one]), RATE
    )
    shutil.copy(long, media_files.folder / "z copy.wav")
    whole = Path(media_files.sound("whole.wav", np.resize(spoken(RATE), 8 * RATE), RATE)).read_bytes()
    names = ["long.wav", "z copy.wav", "silent.wav", "cut.wav", "text.wav"]
    media_files.sound("silent.wav", pause, RATE)
    media_files.bytes("cut.wav", whole[: len(whole) // 2])
    media_files.bytes("text.wav", b"no sound at all\n" * 40)
    media_files.encoded("film.mp4", np.resize(spoken(RATE), RATE), RATE, "aac", "libx264")
    media_files.encoded("mute.mp4", None, RATE, None, "libx264")
    media_files.sound("two.wav", np.concatenate([one, pause, one]), RATE)
    return shards_of(media_files.folder, names, ["film.mp4", "mute.mp4", "two.wav"])


def shards_of(folder, *shards):
    tables = []
    for number, names in enumerate(shards):
        rows = [{"clip": name, "path": str(folder / name), "take": name} for name in names]
        rows = [{**row, "soft_label": np.zeros(8, np.float32)} for row in rows]
        first = str(folder / names[0])  # of copies
        content = hashlib.sha256(Path(first.partition("#")[0]).read_bytes()).hexdigest()
        told = [(first, 0, content) if "copy" in name else (None, 0, None) for name in names]
        told = [(None, 0, content) if name == names[0] else one for name, one in zip(names, told, strict=True)]
        tables.append(shard_table([Planned(row, *one) for row, one in zip(rows, told, strict=True)], number))
    return tables


def write_tables(folder, shards, families, how=AS_FAMILIES_SAY, **manifest):
    """Write a FEATURES folder, by the stage of featurize, without an archive's database."""
    stage = Featurizing(tuple(families), reading_of(families), how)
    for shard in shards:
        run_shard(shard, stage, folder)
    told = {} if how == AS_FAMILIES_SAY else {"how": vars(how)}
    facts = {"schema_version": SCHEMA_VERSION, "families": to_json(families), **told, **manifest}
    (folder / "manifest.json").write_text(json.dumps(facts))
    return str(folder)


def rows_of(out, table):
    return [read_table(file).to_pylist() for file in sorted((out / table).glob("*.parquet"))]


def check_equal(out, expected, *tables):
    for table in ("labels", "windows", "failures", *tables):
        assert rows_of(out, table) == rows_of(expected, table), table
    assert sum(map(len, rows_of(out, "labels"))) > 2


def answer_both(shards, family, tables, how, tmp_path):
    """Label the media, and the tables."""
    stage = Answering((family,), how)
    for shard in shards:
        run_shard(shard, stage, tmp_path / "media")
    for number in tables.numbers():
        assert run_part((number, WHOLE), stage, tables, tmp_path / "tables")["files"] == len(shards[number])
    return tmp_path / "tables", tmp_path / "media"


@pytest.mark.parametrize("how", [how_cut(), how_cut("tiled", hop_seconds=1.0), how_cut("tiled", 2.0, 0.5, vad=False)])
@pytest.mark.parametrize("family", [ARTICLE, ARTICLE_FRAMES])
def test_a_model_that_hears_says_of_tables_what_it_says_of_media(shards, family, how, tmp_path):
    folder = write_tables(tmp_path / "F", shards, [ARTICLE, ARTICLE_FRAMES], how)
    out, expected = answer_both(shards, family, open_tables(folder, [family]), how, tmp_path)
    check_equal(out, expected)
    (first, _) = rows_of(out, "labels")
    assert [(row["clip"], row["state"]) for row in first] == [
        ("long.wav", "ok"),
        ("z copy.wav", "ok"),
        ("silent.wav", "silent"),
        ("cut.wav", "ok"),
    ]
    assert first[0]["windows"] > 2 and first[3]["broken_after_seconds"] == pytest.approx(4.0, abs=0.1)
    assert (first[0]["speech_seconds"] is None) == (not how.vad)


@pytest.mark.parametrize("how", [how_cut(), how_cut("tiled", hop_seconds=1.0)])
def test_segments_keep_their_times(shards, media_files, how, tmp_path):
    assert len(shards) == 2
    shards = shards_of(media_files.folder, ["long.wav"], ["long.wav#t=4.25,9.5"])
    folder = write_tables(tmp_path / "F", shards, [ARTICLE], how)
    out, expected = answer_both(shards, ARTICLE, open_tables(folder, [ARTICLE]), how, tmp_path)
    assert rows_of(out, "windows") == rows_of(expected, "windows")
    for one, other in zip(*([row for (row,) in rows_of(where, "labels")] for where in (out, expected)), strict=True):
        for name in other:  # sums of seconds that tables have to the ninth decimal
            close = name in ("heard_seconds", "shares")
            assert close or one[name] == other[name], name
    starts = [row["start_seconds"] for row in rows_of(out, "windows")[1]]
    assert len(starts) > 1 and min(starts) >= 4.25 and max(starts) < 9.5


@pytest.mark.parametrize("grid", ["speech", "tiled"])
def test_voices_are_said_of_tables_to_be_what_they_are_of_media(media_files, grid, tmp_path):
    pause, speech = np.zeros(2 * RATE, np.float32), np.resize(spoken(RATE), 6 * RATE)
    agent, caller = np.concatenate([pause, speech, pause, pause]), np.concatenate([speech, pause, pause, 0.3 * speech])
    size = min(len(agent), len(caller))
    path = media_files.sound("call.wav", np.column_stack([agent[:size], caller[:size]]), RATE)
    shutil.copy(path, media_files.folder / "z copy.wav")
    media_files.sound("mono.wav", speech, RATE)
    shards = shards_of(media_files.folder, ["call.wav", "z copy.wav", "mono.wav"])
    how = how_cut(grid, hop_seconds=1.0, channels="separate")
    folder = write_tables(tmp_path / "F", shards, [ARTICLE], how)
    tables = open_tables(folder, [ARTICLE])
    assert tables.how == how
    check_equal(*answer_both(shards, ARTICLE, tables, how, tmp_path), "tracks")
    (found,) = rows_of(tmp_path / "tables", "tracks")
    assert [(row["clip"], row["track"]) for row in found] == [
        (clip, track) for clip in ("call.wav", "z copy.wav") for track in (1, 2)
    ]
    (windows,) = rows_of(tmp_path / "tables", "windows")
    assert {row["track"] for row in windows if row["clip"] == "mono.wav"} == {0}


def test_pictures_beside_a_sound_do_not_matter_to_a_model_that_hears(shards, tmp_path):
    """A sound without pictures is `no_video` in such tables."""
    how = how_cut("tiled", vad=False)
    folder = write_tables(tmp_path / "F", shards, [ARTICLE, SEEN], how)
    check_equal(*answer_both(shards, ARTICLE, open_tables(folder, [ARTICLE]), how, tmp_path))


def test_a_network_says_of_frames_what_it_says_of_films(shards, tmp_path):
    shards = [shards[0].slice(0, 1), shards[1]]
    folder = write_tables(tmp_path / "F", shards, [SEEN])
    how = how_cut(window_seconds=0.2, sees=True)  # of the answers, not of the tables
    out, expected = answer_both(shards, SEEN, open_tables(folder, [SEEN]), how, tmp_path)
    check_equal(out, expected, "frames")
    assert [row["state"] for row in rows_of(out, "labels")[1]] == ["ok", "ok", "no_video"]


def test_where_sound_was_kept_too_a_network_answers_the_same_of_what_it_saw(shards, tmp_path):
    folder = write_tables(tmp_path / "F", [shards[1].slice(0, 1)], [ARTICLE, SEEN], how_cut())
    shard = shards[1].slice(0, 1)
    table = open_tables(folder, [SEEN]).shard(1)
    assert (table["bandwidth_hz"].null_count, table["speech_seconds"].null_count) == (1, 1)
    stage = Answering((SEEN,), how_cut(sees=True))
    run_shard(shard, stage, tmp_path / "media")
    run_part((1, WHOLE), stage, open_tables(folder, [SEEN]), tmp_path / "tables")
    assert rows_of(tmp_path / "tables", "frames") == rows_of(tmp_path / "media", "frames")


def test_first_windows_are_answered_for_as_they_are(shards, tmp_path):
    folder = write_tables(tmp_path / "F", shards, [ARTICLE])
    assert read_table(tmp_path / "F/clips/000000.parquet").column_names == CLIPS.names
    tables = open_tables(folder, [ARTICLE])
    run_part((0, WHOLE), Answering((ARTICLE,), AS_FAMILIES_SAY), tables, tmp_path / "L")
    ((long, *_),) = rows_of(tmp_path / "L", "labels")
    assert (long["windows"], long["speech_seconds"], long["state"]) == (1, None, "ok")
    (failures,) = rows_of(tmp_path / "L", "failures")  # of what breaks no model learns
    assert {row["path"].rpartition("/")[2]: row["reason"] for row in failures} == {
        "cut.wav": "truncated",
        "text.wav": "unsupported",
    }


@pytest.fixture
def in_process(monkeypatch):
    """Parts are run in this process; returns the numbers of those that were."""
    numbers = []

    def run(run_one, items, told):
        for item in items:
            numbers.append(item[0])
            yield run_one(item, **told)

    monkeypatch.setattr(here, "run_here", run)
    monkeypatch.setattr(here, "is_enough", lambda *_: True)
    return numbers


@pytest.fixture
def small(media_files, tmp_path):
    """A FEATURES folder of three parts, its stage, and where its labels go."""
    names = [[f"{part}{i}.wav" for i in range(2)] for part in "abc"]
    for n, name in enumerate(name for part in names for name in part):
        media_files.sound(name, media_files.voice(0.5 + 0.1 * n))
    folder = write_tables(tmp_path / "F", shards_of(media_files.folder, *names), [ARTICLE], how_cut("tiled", vad=False))
    return open_tables(folder, [ARTICLE]), Answering((ARTICLE,), how_cut()), tmp_path / "L"


def test_only_what_has_changed_is_answered_for_again(small, in_process):
    tables, stage, out = small
    assert update_labels(stage, tables, out, "summary.json") and in_process == [0, 1, 2]
    before = rows_of(out, "labels")
    assert not update_labels(stage, tables, out, "summary.json") and in_process == [0, 1, 2]
    gone = read_table(tables.folder / "clips/000001.parquet")["path"].slice(0, 1).combine_chunks()
    take_out(tables.folder / "clips/000001.parquet", "path", gone)  # as featurize does with a file that is gone
    (out / "windows/000002.parquet").write_bytes((out / "windows/000002.parquet").read_bytes()[:-9])  # a cut copy
    (tables.folder / "clips/000000.parquet").unlink()
    assert waiting_parts(stage, tables, out) == ([1, 2], [0])
    (out / "summary.json").write_text("{}")
    assert update_labels(stage, tables, out, "summary.json") and in_process == [0, 1, 2, 1, 2]
    assert not (out / "summary.json").exists()
    assert rows_of(out, "labels") == [before[1][1:], before[2]]
    assert not (out / "windows/000000.parquet").exists()


def test_a_part_whose_failures_were_lost_is_answered_for_again(shards, in_process, tmp_path):
    tables = open_tables(write_tables(tmp_path / "F", shards, [ARTICLE], how_cut()), [ARTICLE])
    stage = Answering((ARTICLE,), how_cut())
    update_labels(stage, tables, tmp_path / "L", "summary.json")
    (tmp_path / "L/failures/000000.parquet").unlink()
    assert waiting_parts(stage, tables, tmp_path / "L") == ([0], [])


def test_tables_of_other_windows_are_others(small):
    tables, _, _ = small
    other = replace(tables, how=how_cut("tiled", 2.0, vad=False))
    assert tables.identity(0) != tables.identity(1) and tables.identity(0) != other.identity(0)


def test_a_run_that_stopped_goes_on(small, in_process):
    tables, stage, out = small
    run_part((1, WHOLE), stage, tables, out)
    kept = (out / "labels/000001.parquet").stat().st_mtime_ns
    (out / "labels/000000.parquet").parent.mkdir(exist_ok=True)
    update_labels(stage, tables, out, "summary.json")
    assert in_process == [0, 2] and (out / "labels/000001.parquet").stat().st_mtime_ns == kept


def test_failures_of_the_tables_count(shards, in_process, tmp_path):
    tables = open_tables(write_tables(tmp_path / "F", shards, [ARTICLE]), [ARTICLE])
    stage = Answering((ARTICLE,), AS_FAMILIES_SAY)
    with pytest.raises(TooManyFailures, match=r"^2 files failed, more than --max-failures 1"):
        update_labels(stage, tables, tmp_path / "L", "summary.json", 1)
    assert update_labels(stage, tables, tmp_path / "M", "summary.json", 2)


def test_what_a_dry_run_says(small, in_process):
    tables, stage, out = small
    first, second = describe_tables(stage, tables, out)
    assert first == "6 clips in 3 parts of tables to answer for, 4 s of media; none is decoded"
    assert second.startswith("about ") and not out.exists()
    update_labels(stage, tables, out, "summary.json")
    assert describe_tables(stage, tables, out) == [f"nothing to answer for: all of {tables.folder} is labelled"]


def test_no_more_than_a_row_group_is_held(small, monkeypatch):
    """A day in one file is as a minute."""
    tables, _, _ = small
    path = tables.folder / "features/article/000000.parquet"
    rows = pq.read_table(path)
    pq.write_table(pa.concat_tables([rows] * 50), path, row_group_size=2)
    sizes = []

    class Watching:
        def windows(self, clips, family, windows):  # noqa: ARG002 - a sink's
            sizes.append(len(windows.windows))

    tables.replay(0, tables.shard(0), Watching())
    assert sum(sizes) == 50 * rows.num_rows and max(sizes) <= 2


def test_a_part_that_was_taken_away_is_said(small):
    tables, stage, out = small
    (tables.folder / "features/article/000001.parquet").unlink()
    fault = run_part((1, WHOLE), stage, tables, out)["fault"]
    assert fault.startswith(f"{tables.folder}/features/article/000001.parquet is gone: repeat the command")
    assert not (out / "labels").exists()


def command(folder, *given):
    return f"python jobs/featurize.py --config {folder}/config.json {' '.join(given)} --out NEW."


@pytest.mark.parametrize(
    ("asked", "sentence", "given"),
    [
        (
            ARTICLE_FRAMES,
            "holds article, pictures, and the model reads article-frames",
            ("--features article-frames --sample-rate-hz 22050 --level as-is --grid speech",),
        ),
        (
            ARTICLE.with_input(level="peak"),
            "was featurized with level = as-is, and peak is asked for",
            ("--features article --sample-rate-hz 22050 --level peak --grid speech",),
        ),
        (
            SEEN.with_input(every=5),
            "was featurized with every = 2, and 5 is asked for (or give --every 2)",
            ("--features pictures --frames --every 5 --pixels 16 --no-faces",),
        ),
        (
            SEEN.with_input(every=None, frames_per_second=0.5),
            "was featurized with every = 2, and frames_per_second = 0.5 is asked for (or give --every 2)",
            ("--features pictures --frames --every None --frames-per-second 0.5 --pixels 16 --no-faces",),
        ),
        (
            SEEN.with_input(pixels=48, faces=True),
            "was featurized with pixels = 16, and 48 is asked for",
            ("--features pictures --frames --every 2 --pixels 48 --faces",),
        ),
    ],
)
def test_tables_that_do_not_fit_are_refused_with_the_command_that_makes_others(asked, sentence, given, tmp_path):
    facts = {"schema_version": SCHEMA_VERSION, "families": to_json([ARTICLE, SEEN])}
    (tmp_path / "manifest.json").write_text(json.dumps(facts))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError) as error:
        open_tables(str(tmp_path), [asked])
    assert str(error.value) == f"{tmp_path} {sentence}: make tables that fit, by {command(tmp_path, *given)}"


def test_without_its_config_the_corpus_is_to_be_named(tmp_path):
    facts = {"schema_version": SCHEMA_VERSION, "families": to_json([ARTICLE]), "how": vars(how_cut())}
    (tmp_path / "manifest.json").write_text(json.dumps(facts))
    with pytest.raises(UserError, match=r"jobs/featurize\.py CORPUS --features pictures --frames"):
        open_tables(str(tmp_path), [SEEN])
    with pytest.raises(UserError, match=r"--level as-is --out NEW\.$"):  # cut already as it is to be
        open_tables(str(tmp_path), [ARTICLE_FRAMES])


def test_clips_that_are_cut_have_what_labels_say_beside_answers(shards, tmp_path):
    write_tables(tmp_path / "F", shards, [ARTICLE], how_cut())
    clips = read_table(tmp_path / "F/clips/000000.parquet")
    assert clips.schema.remove_metadata() == CUT_CLIPS
    said = dict(zip(clips["clip"].to_pylist(), clips["speech_seconds"].to_pylist(), strict=True))
    assert said["silent.wav"] == 0.0 and 8.0 < said["long.wav"] < 14.0
    assert pc.sum(pc.is_valid(clips["broken_after_seconds"])).as_py() == 1
