"""An archive that lives: what is new is labelled, what is known keeps its numbers, what is gone goes."""

import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from emocore.errors import TooManyFailures, UserError
from emocore.pipeline import label as labelling
from emocore.pipeline.archive import apart, shards
from emocore.pipeline.archive import database as archiving
from emocore.pipeline.archive import plan as planning
from emocore.pipeline.archive import update as rounds
from emocore.pipeline.label import LabelOptions, dry_run, label
from emocore.schema import FAILURES, PROBABILITIES, rows_to_table
from emocore.storage.files import read_json
from emocore.storage.folder import ARCHIVE, PLAN

pytestmark = pytest.mark.usefixtures("cluster")
ANSWER = ("predicted", "confidence", "runner_up", *PROBABILITIES, "state")


class Living:
    """An archive of five voices and a broken file, and its LABELS."""

    def __init__(self, root, voices, model):
        self.media, self.out, self.model = root / "media", root / "L", model
        self.media.mkdir()
        for i, voice in enumerate(voices):
            shutil.copy(voice, self.media / f"{i}.wav")
        (self.media / "bad.wav").write_bytes(b"no sound at all")

    def options(self, **told):
        return LabelOptions(media=(str(self.media),), model=str(self.model), out=str(self.out), **told)

    def label(self, **told):
        done = label(self.options(**told))
        summary = done.summary
        paths = [row["path"] for part in ("labels", "failures") for row in self.rows(part)]
        assert sorted(paths) == sorted(str(path) for path in self.media.iterdir())  # each once
        assert (summary["labels"], summary["failures"]) == (len(self.rows("labels")), len(self.rows("failures")))
        assert (self.out / "report.html").exists()
        return done

    def rows(self, part):
        files = (self.out / part).glob("*.parquet")
        return [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]

    def answers(self):
        return {row["clip"]: tuple(row[name] for name in ANSWER) for row in self.rows("labels")}


@pytest.fixture
def living(tmp_path, newcomer, bundle, monkeypatch):
    monkeypatch.setattr(planning, "SHARD_FILES", 2)
    found = Living(tmp_path, sorted((newcomer / "Actor_05").iterdir())[:5], bundle)
    assert not found.label().already_finished
    return found


@pytest.fixture
def unread(monkeypatch):
    """Nothing may be decoded."""

    def never(*_, **__):
        raise AssertionError("reads files")

    monkeypatch.setattr(rounds, "run_shards", lambda _, plan, *__: never() if len(plan) else None)


def test_a_second_call_finds_nothing_to_do(living, unread):
    before = {path: path.stat().st_mtime_ns for path in living.out.rglob("*") if path.name != ".lock"}
    assert living.label().already_finished
    assert {path: path.stat().st_mtime_ns for path in living.out.rglob("*") if path.name != ".lock"} == before


def test_new_and_changed_files_are_labelled(living, newcomer):
    before, first = living.answers(), (living.out / "labels" / "000000.parquet").stat().st_mtime_ns
    shutil.copy(sorted((newcomer / "Actor_05").iterdir())[6], living.media / "6.wav")
    assert not living.label().already_finished
    assert (living.out / "labels" / "000000.parquet").stat().st_mtime_ns == first  # not touched
    assert {name: living.answers()[name] for name in before} == before
    shutil.copy(living.media / "6.wav", living.media / "0.wav")
    shutil.copy(sorted((newcomer / "Actor_05").iterdir())[7], living.media / "1.wav")
    living.label()
    after = living.answers()
    assert after["0.wav"] == after["6.wav"] != before["0.wav"] and after["1.wav"] != before["1.wav"]
    assert {row["path"]: row["duplicate_of"] for row in living.rows("labels")}[str(living.media / "0.wav")] == str(
        living.media / "6.wav"
    )


def test_a_renamed_file_keeps_its_numbers_and_one_that_is_gone_goes(living, unread):
    before = living.answers()
    (living.media / "3.wav").rename(living.media / "three.wav")
    (living.media / "4.wav").unlink()
    (living.media / "bad.wav").unlink()
    living.label()
    before["three.wav"] = before.pop("3.wav")
    del before["4.wav"]
    assert living.answers() == before
    assert living.label().already_finished


def test_exclude_takes_rows_out_of_a_finished_folder_and_brings_them_back(living):
    before = living.answers()
    done = label(living.options(exclude=("[34].wav",)))
    assert not done.already_finished and sum(done.summary["left_out"].values()) == 2
    assert living.answers() == {name: row for name, row in before.items() if name not in ("3.wav", "4.wav")}
    living.label()
    assert living.answers() == before


def test_excluding_most_asks_for_drop_gone(living, monkeypatch):
    before = living.answers()
    monkeypatch.setattr(archiving, "FEW_GONE", 2)
    with pytest.raises(UserError, match="also those of --exclude"):
        label(living.options(exclude=("[0-3].wav",)))
    assert living.answers() == before
    label(living.options(exclude=("[0-3].wav",), drop_gone=True))
    assert set(living.answers()) == {"4.wav"}


@pytest.mark.parametrize(("gpus", "places"), [(0.5, 2), (1.0, 1)])
def test_processes_share_a_gpu(monkeypatch, gpus, places):
    monkeypatch.setattr(shards.cluster, "check_room", lambda *_: None)
    monkeypatch.setattr(shards.cluster, "is_joined", lambda: False)
    monkeypatch.setattr(shards.cluster, "machines", lambda: [{"GPU": 1.0}, {"CPU": 8.0}])
    assert apart._places(gpus) == places


def test_attempts_count_on(living):
    for attempts in (2, 3):
        living.label(retry_failed=True)
        assert [row["attempts"] for row in living.rows("failures")] == [attempts]


@pytest.mark.parametrize("step", ["carry_rows", "drop_rows", "run_shards", "close"])
def test_a_round_that_is_cut_off_is_ended_by_the_next_call(living, newcomer, monkeypatch, step):
    """A round with new, renamed, copied, changed and lost files, cut off in the middle of each of its steps."""
    spare = sorted((newcomer / "Actor_05").iterdir())
    (living.media / "3.wav").rename(living.media / "three.wav")
    (living.media / "4.wav").unlink()
    shutil.copy(living.media / "2.wav", living.media / "2 too.wav")
    for i in (9, 10, 11):
        shutil.copy(spare[i], living.media / f"{i}.wav")
    shutil.copy(spare[12], living.media / "0.wav")
    monkeypatch.setattr(planning, "SHARD_FILES", 1)
    with monkeypatch.context() as patch:
        cut_off(patch, step)
        with pytest.raises(KeyboardInterrupt):
            label(living.options())
    assert not (living.out / "summary.json").exists()
    living.label()
    assert set(living.answers()) == {"0.wav", "1.wav", "2.wav", "2 too.wav", "three.wav", "9.wav", "10.wav", "11.wav"}
    fresh = Living.__new__(Living)
    fresh.media, fresh.out, fresh.model = living.media, living.out.with_name("fresh"), living.model
    fresh.label()
    assert fresh.answers() == living.answers()
    assert living.label().already_finished


def cut_off(patch, step):
    """Interrupt the step after half of its work."""
    if step == "run_shards":
        counted = shards.Counter.add

        def add(self, done, failed=0, media_seconds=0.0):
            counted(self, done, failed)
            if self.done == 2:
                raise KeyboardInterrupt

        patch.setattr(shards.Counter, "add", add)
        return
    owner = rounds.Archive if step == "close" else rounds
    real, calls = getattr(owner, step), []

    def once(*arguments):
        if calls:
            raise KeyboardInterrupt
        calls.append(arguments)
        real(*arguments)
        if step == "close":
            raise KeyboardInterrupt

    patch.setattr(owner, step, once)


def test_answering_apart_from_reading_is_the_same(living, tmp_path):
    apart = tmp_path / "apart"
    label(LabelOptions(media=(str(living.media),), model=str(living.model), out=str(apart), gpus_per_worker=0))
    before = living.answers()
    living.out = apart
    assert living.answers() == before
    assert [row["reason"] for row in living.rows("failures")] == ["unsupported"]
    assert not list((apart / ".journals").glob("*"))


def test_gpus_that_are_not_there(living, tmp_path):
    options = LabelOptions(
        media=(str(living.media),), model="face-cnn", out=str(tmp_path / "G"), gpus_per_worker=1, faces=True
    )
    (living.media / "a.jpg").write_bytes(b"")
    with pytest.raises(UserError, match="gpus-per-worker"):
        label(options)


def test_gpus_are_nothing_to_a_model_of_columns(living):
    with pytest.raises(UserError, match="--gpus-per-worker 1 changes nothing for svc, which computes on CPUs"):
        label(living.options(gpus_per_worker=1))


def test_a_dry_run_writes_nothing_and_counts_what_a_run_would_read(living, newcomer):
    before = {path: path.stat().st_mtime_ns for path in living.out.rglob("*")}
    assert dry_run(living.options()) == ["nothing to read: all files are known"]
    shutil.copy(sorted((newcomer / "Actor_05").iterdir())[6], living.media / "6.wav")
    lines = dry_run(living.options(retry_failed=True))
    assert lines[0] == "2 files are new or changed; of these, what is known by its bytes is not read again"
    assert lines[1].startswith("  2 recordings, 0.") and "of media" in lines[1]
    assert lines[2].endswith("by 2 files that were read, 1 of which fail")
    with pytest.raises(UserError, match=r"was made with options\.model = "):
        dry_run(LabelOptions(**{**vars(living.options()), "model": "face-cnn"}))
    assert {path: path.stat().st_mtime_ns for path in living.out.rglob("*")} == before


def test_a_dry_run_of_what_was_never_labelled(living, tmp_path):
    options = LabelOptions(media=(str(living.media),), model=str(living.model), out=str(tmp_path / "new"), dry_run=True)
    assert dry_run(options)[0].startswith("6 files are new or changed; ")
    assert not (tmp_path / "new").exists()


def test_storage_that_is_missing_takes_no_rows_along(living, monkeypatch):
    """A folder that cannot be listed this time; then the root is another, empty but for one file."""
    before = living.answers()
    real = rounds.Archive.take_in

    def hiccup(archive, rows):
        real(archive, [(row, names) for row, names in rows if "3.wav" not in row["path"]])

    with monkeypatch.context() as patch:
        patch.setattr(rounds.Archive, "take_in", hiccup)
        failed = rows_to_table([{"path": str(living.media), "stage": "list", "reason": "not_found"}], FAILURES)
        patch.setattr(labelling, "failure_table", lambda _: failed)
        label(living.options())
    assert living.answers() == before
    living.label()  # the failure row goes again
    for path in sorted(living.media.iterdir())[1:]:
        path.unlink()
    monkeypatch.setattr(archiving, "FEW_GONE", 2)
    with pytest.raises(UserError, match=r"^5 of the 6 files that .+ are not there any more: mount .+ --drop-gone"):
        label(living.options())
    assert living.answers() == before
    living.label(drop_gone=True)
    assert set(living.answers()) == {"0.wav"}


def test_tables_without_what_they_are_of_are_refused(living):
    (living.out / ARCHIVE).unlink()
    with pytest.raises(UserError, match=r"has tables but no \.archive\.sqlite, .+: choose another --out\."):
        label(living.options())


def test_tables_of_others_are_set_aside_and_told(living, unread, capsys):
    before = living.answers()
    shutil.copy(living.out / "labels" / "000000.parquet", living.out / "labels" / "all.parquet")
    shutil.copy(living.out / "labels" / "000001.parquet", living.out / "labels" / "000009.parquet")
    assert living.label().already_finished and living.answers() == before
    assert "set aside: 2 files that no round of" in capsys.readouterr().out
    assert len(list((living.out / ".aside").rglob("*.parquet"))) == 2


def test_an_older_database_and_a_cut_part_cost_a_reading_and_no_row(living, newcomer, tmp_path):
    shutil.copy(living.out / ARCHIVE, tmp_path)
    shutil.copy(sorted((newcomer / "Actor_05").iterdir())[7], living.media / "1.wav")
    living.label()
    expected = living.answers()
    shutil.copy(tmp_path / ARCHIVE, living.out)
    cut = living.out / "windows" / "000000.parquet"
    cut.write_bytes(cut.read_bytes()[:-9])
    assert not living.label().already_finished
    assert living.answers() == expected and living.label().already_finished


def test_a_refused_command_leaves_the_folder_to_the_mended_one(living, tmp_path):
    out = tmp_path / "new"
    (tmp_path / "empty").mkdir()
    for typo in (tmp_path / "typo", tmp_path / "empty"):
        with pytest.raises(UserError, match=r"does not exist|holds no media"):
            label(LabelOptions(media=(str(typo),), model=str(living.model), out=str(out)))
    assert label(LabelOptions(media=(str(living.media),), model=str(living.model), out=str(out))).summary["files"] == 6


def test_what_could_not_be_listed_is_concluded_even_if_the_call_before_was_cut_off(living, monkeypatch):
    (living.media / "new.zip").write_bytes(b"no zip")
    with monkeypatch.context() as patch:
        patch.setattr(labelling, "_conclude", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            label(living.options())
    assert living.label().summary["failures"] == 2


def test_a_retry_that_is_cut_off_reads_each_failure_once(living, monkeypatch):
    for i in range(3):
        (living.media / f"bad{i}.wav").write_bytes(b"no sound either %d" % i)
    monkeypatch.setattr(planning, "SHARD_FILES", 1)
    living.label()
    with monkeypatch.context() as patch:
        cut_off(patch, "run_shards")
        with pytest.raises(KeyboardInterrupt):
            label(living.options(retry_failed=True))
    living.label(retry_failed=True)
    assert [row["attempts"] for row in living.rows("failures")] == [2] * 4


def test_too_many_failures_are_mended_by_taking_them_out(living, monkeypatch):
    for i in range(3):
        (living.media / f"bad{i}.wav").write_bytes(b"no sound either %d" % i)
    monkeypatch.setattr(planning, "SHARD_FILES", 1)
    with pytest.raises(TooManyFailures):
        label(living.options(max_failures=2))
    for i in range(3):
        (living.media / f"bad{i}.wav").unlink()
    living.label(max_failures=2)


def test_a_process_that_answers_without_its_gpu_says_so(living, tmp_path):
    bundle = labelling._checked(living.options())
    answering = apart._Answering(labelling._stage(living.options(), bundle), None, tmp_path, True)
    assert "TensorFlow sees no GPU where Ray gave it one" in answering.fault["fault"]


@pytest.mark.parametrize("left", [None, b"ARROW1\0\0 and no more"], ids=["lost", "cut"])
def test_a_lost_plan_is_made_again(living, newcomer, monkeypatch, left):
    shutil.copy(sorted((newcomer / "Actor_05").iterdir())[6], living.media / "6.wav")
    with monkeypatch.context() as patch:
        patch.setattr(rounds, "run_shards", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            label(living.options())
    (living.out / PLAN).unlink()
    if left:
        (living.out / PLAN).write_bytes(left)
    living.label()
    assert not (living.out / PLAN).exists()
    assert "6.wav" in living.answers() and isinstance(read_json(living.out / "summary.json"), dict)
    assert pa.concat_tables([pq.read_table(file) for file in (living.out / "labels").glob("*")]).num_rows == 6
