"""Label an archive on a running Ray: every file is answered for once, whatever stands beside it."""

import shutil
from collections import Counter

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

import emocore
from emocore.errors import MediaError, TooManyFailures, UserError
from emocore.labels import EMOTIONS
from emocore.pipeline import cluster as ray_cluster
from emocore.pipeline.archive import plan as planning
from emocore.pipeline.label import LabelOptions, label
from emocore.pipeline.runs import TrainOptions, evaluate, train
from emocore.schema import LABELS, PROBABILITIES, SCHEMA_VERSION, VERSION_KEY
from emocore.storage.files import read_json

pytestmark = pytest.mark.usefixtures("cluster")
ANSWER = ("predicted", "confidence", "runner_up", *PROBABILITIES)


@pytest.fixture(scope="session")
def archive(fill_zoo, newcomer, tmp_path_factory):
    """The zoo, five clips of actor 5, and a film without a sound track. Read only."""
    root = fill_zoo(tmp_path_factory.mktemp("archive"))
    for wav in sorted((newcomer / "Actor_05").iterdir())[:5]:
        shutil.copy(wav, root)
    with av.open(str(root / "mute.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for _ in range(5):
            picture = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 90, np.uint8), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return root


@pytest.fixture(scope="session")
def labelled(archive, bundle, cluster, tmp_path_factory):
    """The LABELS of `archive` and its summary. Read only."""
    out = tmp_path_factory.mktemp("labelled") / "L"
    return out, label(LabelOptions(media=(str(archive),), model=str(bundle), out=str(out))).summary


@pytest.fixture
def run_label(bundle, tmp_path):
    def call(*media, out=None, model=bundle, **options):
        out = out or tmp_path / f"L{len(list(tmp_path.iterdir()))}"
        done = label(LabelOptions(media=tuple(map(str, media)), model=str(model), out=str(out), **options))
        return out, done

    return call


def read(folder, part="labels"):
    tables = [pq.read_table(file) for file in sorted((folder / part).glob("*.parquet"))]
    return pa.concat_tables(tables).sort_by("path")


def answers(out, root):
    rows = {row["path"].removeprefix(f"{root}/"): row for row in read(out).to_pylist()}
    return {name: {column: row[column] for column in (*ANSWER, "state")} for name, row in rows.items()}


def mtimes(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*.*") if path.is_file() and path.name != ".lock"}


def test_every_file_is_answered_for_once(labelled, archive, zoo_names):
    out, _ = labelled
    good, bad, _ = zoo_names
    labels, failures = read(out), read(out, "failures")
    media = {path.name for path in archive.iterdir() if path.suffix.lower() in (".wav", ".mp4")}
    below = [path.removeprefix(f"{archive}/") for path in labels["path"].to_pylist()]
    assert len(below) == len(set(below)) == len(good) + 6 and set(below) == media | good
    reasons = zip(failures["path"].to_pylist(), failures["reason"].to_pylist(), strict=True)
    assert {path.removeprefix(f"{archive}/"): reason for path, reason in reasons} == bad
    assert failures.num_rows == len(bad)
    assert labels.schema.remove_metadata() == LABELS
    for file in (out / "labels").iterdir():
        assert pq.read_schema(file).metadata[VERSION_KEY] == SCHEMA_VERSION.encode()
    assert {entry.name for entry in out.iterdir() if not entry.name.startswith(".")} == {
        *("config.json", "labels", "windows", "failures", "summary.json", "report.html")
    }


def test_the_summary_counts_what_the_tables_hold(labelled, archive, zoo_names):
    out, summary = labelled
    labels = read(out)
    assert summary == read_json(out / "summary.json")
    assert (summary["labels"], summary["failures"]) == (labels.num_rows, len(zoo_names[1]))
    assert summary["files"] == summary["labels"] + summary["failures"]
    assert summary["failures_by_reason"] == dict(Counter(zoo_names[1].values()))
    assert summary["states"] == dict(Counter(labels["state"].to_pylist()))
    assert summary["states"]["silent"] == summary["states"]["no_audio"] == 1
    assert sum(summary["predicted"].values()) == summary["states"]["ok"] > 10
    assert summary["seconds"] > 0 and summary["versions"]["emocore"] and len(summary["model_hash"]) == 64
    report = (out / "report.html").read_text()
    assert str(summary["files"]) in report and all(reason in report for reason in summary["failures_by_reason"])


def test_an_answer_is_a_distribution_and_its_largest_share(labelled):
    labels = read(labelled[0])
    labels = labels.filter(pa.compute.equal(labels["state"], "ok"))
    p = np.column_stack([labels[name].to_numpy() for name in PROBABILITIES])
    np.testing.assert_allclose(p.astype(np.float64).sum(axis=1), 1, atol=1e-6)
    assert labels["predicted"].to_pylist() == [EMOTIONS[i] for i in p.argmax(axis=1)]
    np.testing.assert_array_equal(labels["confidence"].to_numpy(), p.max(axis=1))


def test_where_nothing_is_heard_nothing_is_answered(labelled, archive):
    found = answers(labelled[0], archive)
    nothing = dict.fromkeys(ANSWER)
    assert found["silent.wav"] == nothing | {"state": "silent"}
    assert found["mute.mp4"] == nothing | {"state": "no_audio"}
    assert all(None not in answer.values() for answer in found.values() if answer["state"] == "ok")


def test_equal_bytes_have_equal_answers_that_name_the_first(labelled, archive, zoo_names):
    copies = zoo_names[2]
    rows = {row["path"].removeprefix(f"{archive}/"): row for row in read(labelled[0]).to_pylist()}
    assert [rows[name]["duplicate_of"] for name in copies] == [None, *[f"{archive}/{copies[0]}"] * 2]
    assert len({tuple(rows[name][column] for column in ("content_id", *ANSWER)) for name in copies}) == 1


def test_answers_do_not_depend_on_the_shard(labelled, archive, run_label, monkeypatch):
    expected = answers(labelled[0], archive)
    for size in (1, 5):
        monkeypatch.setattr(planning, "SHARD_FILES", size)
        out, _ = run_label(archive)
        assert len(list((out / "labels").iterdir())) > 18 / size
        assert answers(out, archive) == expected


def test_answers_do_not_depend_on_other_files_or_their_order(labelled, archive, run_label, tmp_path):
    expected = answers(labelled[0], archive)
    alone, _ = run_label(archive / "short.wav")
    assert answers(alone, archive) == {"short.wav": expected["short.wav"]}
    names = ["😀.wav", "8k.wav", "five_one.wav"]
    for i, name in enumerate(names):
        (tmp_path / "few").mkdir(exist_ok=True)
        shutil.copy(archive / name, tmp_path / "few" / f"{9 - i}.wav")
    few, _ = run_label(tmp_path / "few")
    found = answers(few, tmp_path / "few")
    assert [found[f"{9 - i}.wav"] for i in range(3)] == [expected[name] for name in names]


def test_labels_are_the_predictions_of_an_evaluation_as_is(newcomer, bundle, run_label, job_modules, tmp_path):
    out, _ = run_label(newcomer)
    run = tmp_path / "RUN"
    told = {"data": (str(newcomer),), "out": str(run), "model": str(bundle), "protocol": "as-is"}
    evaluate(job_modules["evaluate"].Evaluate(**told))
    scored = {row["clip"]: row for row in pq.read_table(run / "predictions.parquet").to_pylist()}
    labels = read(out).to_pylist()
    assert len(labels) == len(scored) == 16
    for row in labels:
        twin = scored[row["path"].rpartition("/")[2].removesuffix(".wav")]
        assert row["predicted"] == twin["predicted"] and row["runner_up"] == twin["runner_up"]
        assert [row[name] for name in PROBABILITIES] == pytest.approx([twin[name] for name in PROBABILITIES], abs=1e-6)


def test_one_file_reached_by_two_roots_is_labelled_once(archive, run_label, tmp_path):
    (tmp_path / "link").symlink_to(archive / "copy", target_is_directory=True)
    out, done = run_label(archive / "copy", archive / "copy" / "a.wav", tmp_path / "link")
    assert done.summary["files"] == 2 and sorted(answers(out, archive)) == ["copy/a.wav", "copy/b.wav"]


def test_a_finished_archive_is_left_alone(labelled, archive, run_label):
    out, summary = labelled
    before = mtimes(out)
    _, done = run_label(archive, out=out)
    assert done.already_finished and done.summary == summary and mtimes(out) == before


def test_an_interrupted_run_goes_on_where_it_stopped(labelled, archive, run_label, monkeypatch):
    monkeypatch.setattr(planning, "SHARD_FILES", 4)
    out, _ = run_label(archive)
    lost = [out / "labels" / "000001.parquet", out / "summary.json", out / "report.html"]
    for file in lost:
        file.unlink()
    kept = mtimes(out / "labels")
    run_label(archive, out=out)
    after = mtimes(out / "labels")
    assert len(after) == len(kept) + 1 and {file: after[file] for file in kept} == kept
    assert answers(out, archive) == answers(labelled[0], archive)
    ignored = ("seconds", "versions")
    summary = {name: value for name, value in read_json(out / "summary.json").items() if name not in ignored}
    assert summary == {name: value for name, value in labelled[1].items() if name not in ignored}


def test_more_failures_than_allowed_stop_the_run(archive, zoo_names, run_label, tmp_path):
    with pytest.raises(TooManyFailures, match="--max-failures 0"):
        run_label(archive, out=tmp_path / "L", max_failures=0)
    assert not (tmp_path / "L" / "summary.json").exists()
    assert run_label(archive, max_failures=len(zoo_names[1]))[1].summary["failures"] == len(zoo_names[1])


def test_the_same_command_again_meets_the_same_limit(archive, run_label, tmp_path):
    for _ in range(2):
        with pytest.raises(TooManyFailures):
            run_label(archive, out=tmp_path / "L", max_failures=1)


def test_an_archive_of_failures_alone_is_finished(run_label, tmp_path):
    (tmp_path / "archive").mkdir()
    (tmp_path / "archive" / "gone.wav").symlink_to("nowhere.wav")
    out, done = run_label(tmp_path / "archive")
    assert (done.summary["files"], done.summary["failures_by_reason"]) == (1, {"not_found": 1})
    assert (out / "report.html").exists()


@pytest.fixture
def other_bundle(acted, write_features, tmp_path):
    """A bundle with other answers than `bundle`: it knows two emotions only."""
    out = tmp_path / "other-RUN"
    data = write_features(tmp_path / "other-F", acted([1, 2], ("calm", "angry")))
    train(TrainOptions(data=(str(data),), out=str(out), model="svc"))
    return out


def test_another_model_is_refused(labelled, archive, run_label, other_bundle):
    before = mtimes(labelled[0])
    with pytest.raises(UserError, match=r"was made with (options\.model|model_hash) = "):
        run_label(archive, out=labelled[0], model=other_bundle)
    assert mtimes(labelled[0]) == before


def test_a_bundle_that_changed_meanwhile_is_refused_and_never_remembered(
    archive, run_label, bundle, other_bundle, tmp_path
):
    shutil.copytree(bundle / "model", tmp_path / "RUN" / "model")
    out, first = run_label(archive / "copy", model=tmp_path / "RUN")
    shutil.rmtree(tmp_path / "RUN")
    shutil.copytree(other_bundle / "model", tmp_path / "RUN" / "model")
    with pytest.raises(UserError, match=r"was made with model_hash = "):
        run_label(archive / "copy", model=tmp_path / "RUN", out=out)
    _, second = run_label(archive / "copy", model=tmp_path / "RUN", out=tmp_path / "new")
    assert second.summary["model_hash"] != first.summary["model_hash"]
    known = {f"p_{emotion}" for emotion in ("calm", "angry")}
    for row in read(tmp_path / "new").to_pylist():
        assert sum(row[name] for name in known) == pytest.approx(1)


def test_wrong_media_and_models_are_refused(archive, run_label, tmp_path):
    with pytest.raises(UserError, match="No MEDIA given"):
        run_label()
    with pytest.raises(UserError, match="does not exist"):
        run_label(tmp_path / "nowhere")
    with pytest.raises(UserError, match="holds no finished model"):
        run_label(archive, model=tmp_path)


def test_what_is_passed_over_is_said_and_what_a_model_cannot_bear_costs_itself(newcomer, bundle, job, tmp_path):
    media, out = tmp_path / "media", tmp_path / "L"
    media.mkdir()
    good = sorted((newcomer / "Actor_05").iterdir())[0]
    shutil.copy(good, media)
    sound, rate = soundfile.read(good, dtype="float32")
    soundfile.write(media / "huge.wav", sound * np.float32(1e20), rate, subtype="FLOAT")
    for name in ("notes.txt", "README", ".hidden"):
        (media / name).write_text("x")
    told = "passed over as no media: 1 without a suffix, 1 .txt"
    command = ("label", media, "--model", bundle, "--out", out)
    assert told in job(*command, "--dry-run").out
    done = job(*command)
    assert (done.code, told in done.out, "1 not_finite" in done.out) == (0, True, True)
    assert read(out)["clip"].to_pylist() == [good.name]
    assert (read(out)["sound_tracks"].to_pylist(), read(out)["bandwidth_hz"].null_count) == ([1], 0)
    (media / "more.txt").write_text("x")
    (media / "@eaDir").mkdir()
    (media / "link").symlink_to(newcomer / "Actor_05")
    command = (*command, "--no-follow")
    assert "2 .txt, 1 without a suffix" in job(*command).out
    summary = read_json(out / "summary.json")
    assert summary["passed_over"] == {".txt": 2, "": 1} and summary["left_out"] == {"@eaDir": 1}
    assert (summary["labels"], summary["links_left_out"], summary["links_out"]) == (1, 1, 0)
    assert "Passed over as no media" in (out / "report.html").read_text()


def test_from_python_and_without_ray_the_answers_are_the_same(newcomer, bundle, tmp_path, monkeypatch):
    """To the last digit."""
    wav = sorted((newcomer / "Actor_05").iterdir())[0]
    with_ray = tmp_path / "with-ray"
    label(LabelOptions(media=(str(wav),), model=str(bundle), out=str(with_ray)))
    monkeypatch.setattr(ray_cluster, "is_running", lambda: False)
    without = tmp_path / "without"
    label(LabelOptions(media=(str(wav),), model=str(bundle), out=str(without)))
    for part in ("labels", "windows"):
        first, second = (pq.read_table(out / part / "000000.parquet") for out in (with_ray, without))
        assert first.equals(second)  # but for the id of the round, which is in the metadata
    (row,) = pq.read_table(without / "labels" / "000000.parquet").to_pylist()
    samples, rate = soundfile.read(wav, dtype="float32")
    with emocore.load_model(bundle) as model:
        answer = model.label(wav)
        for same in (model.label(wav.read_bytes()), model.label(samples, sample_rate_hz=rate)):
            assert same.clip.probabilities == answer.clip.probabilities
        with pytest.raises(MediaError, match="unsupported"):
            model.label(b"no sound at all")
    assert answer.to_pandas()["predicted"].tolist() == [row["predicted"]]
    assert [answer.clip.probabilities[emotion] for emotion in EMOTIONS] == [row[name] for name in PROBABILITIES]
    assert [(one.predicted, one.confidence, one.state) for one in answer.windows] == [
        (row["predicted"], row["confidence"], row["state"])
    ]
