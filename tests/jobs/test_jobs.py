"""The jobs as commands: options, exit codes, one sentence for a mistake, and what is left after a signal."""

import dataclasses
import fcntl
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from emocore.pipeline import demo
from emocore.storage.files import read_json

ROOT = Path(__file__).parents[2]
NAMES = ("demo", "featurize", "train", "tune", "evaluate", "label", "compare")
REQUIRED = {
    "demo": ["--out", "OUT"],
    "featurize": ["CORPUS", "--out", "OUT"],
    "train": ["DATA", "--model", "svc", "--out", "OUT"],
    "tune": ["DATA", "--model", "svc", "--out", "OUT"],
    "evaluate": ["DATA", "--model", "svc", "--protocol", "loso", "--out", "OUT"],
    "label": ["MEDIA", "--model", "RUN", "--out", "OUT"],
    "compare": ["RUN", "OTHER", "--out", "OUT"],
}


def assert_one_sentence(outcome, *words):
    assert outcome.code == 2 and outcome.out == ""
    assert outcome.err.endswith("\n") and len(outcome.err.splitlines()) == 1, outcome.err
    assert "Traceback" not in outcome.err and "\x1b" not in outcome.err
    for word in words:
        assert word in outcome.err


def start(job, *arguments, cwd=ROOT):
    return subprocess.Popen(
        [sys.executable, ROOT / "jobs" / f"{job}.py", *map(str, arguments)],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def predictions(run):
    return pq.read_table(run / "predictions.parquet")


def test_there_is_a_test_for_every_job_and_every_job_is_executable():
    jobs = sorted((ROOT / "jobs").glob("*.py"))
    assert {path.stem for path in jobs} == {*NAMES, "download"}  # tests/download runs that one
    for path in jobs:
        assert os.access(path, os.X_OK) and path.read_text().startswith("#!/usr/bin/env python3\n")


@pytest.mark.parametrize("name", NAMES)
def test_help_shows_every_option_and_its_default(name, job, job_modules):
    outcome = job(name, "--help")
    assert outcome.code == 0 and outcome.err == ""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", outcome.out)
    text = " ".join(re.sub("[│╭╮╰╯─]", " ", plain).split())
    assert "--config FILE" in text
    for field in dataclasses.fields(getattr(job_modules[name], name.capitalize())):
        if field.name in ("corpora", "data", "media", "runs"):
            assert "…" in text
        else:
            assert f"--{field.name.replace('_', '-')}" in text
            if isinstance(field.default, str | int) and not isinstance(field.default, bool):
                assert f"(default: {field.default})" in text


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("wrong", "word"), [(["--colour", "red"], "--colour"), (["--seed", "seven"], "seven"), (["--config", "no"], "no")]
)
def test_a_wrong_option_is_one_sentence(name, wrong, word, job, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert_one_sentence(job(name, *REQUIRED[name], *wrong), word)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_option_is_one_sentence(name, job):
    assert_one_sentence(job(name, *REQUIRED[name][:-2]), "--out")


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("demo", ["--actors", "3", "--out", "OUT"], ["--actors", "4", "got 3"]),
        ("featurize", ["nowhere", "--out", "OUT"], ["nowhere", "does not exist"]),
        ("featurize", ["s3://bucket/x", "--out", "OUT"], ["s3://bucket/x", "local paths only"]),
        ("featurize", ["in", "--out", "OUT", "--level", "loud"], ["loud", "peak"]),
        ("featurize", ["in", "--out", "OUT", "--sample-rate-hz", "1"], ["sample rate", "got 1"]),
        ("featurize", ["in", "--out", "OUT", "--map", "bored"], ["--map", "bored"]),
        ("featurize", ["in", "--out", "OUT", "--actor-from", "["], ["--actor-from", "["]),
        ("featurize", ["empty", "--out", "OUT"], ["holds no media"]),
        ("train", ["nowhere", "--model", "svc", "--out", "OUT"], ["nowhere", "does not exist"]),
        ("train", ["nowhere", "--model", "svm", "--out", "OUT"], ["svm", "svc, svc-linear"]),
        ("train", ["in", "--model", "svc", "--protocol", "loto", "--out", "OUT"], ["loto", "article"]),
        ("evaluate", ["in", "--model", "svc", "--protocol", "all", "--out", "OUT"], ["all", "train.py"]),
        ("label", ["nowhere", "--model", "nowhere", "--out", "OUT"], ["holds no finished model"]),
    ],
)
def test_a_wrong_value_is_one_sentence_and_writes_nothing(name, arguments, words, job, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("in", "empty"):
        Path(folder).mkdir()
    Path("in", "a.wav").touch()
    assert_one_sentence(job(name, *arguments), *words)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "in"]


def test_an_out_that_cannot_be_written_is_one_sentence(job, features, tmp_path):
    (tmp_path / "file").touch()
    assert_one_sentence(job("train", features, "--model", "svc", "--out", tmp_path / "file"), "is a file")
    assert_one_sentence(job("train", features, "--model", "svc", "--out", tmp_path / "file" / "below"), "--out")
    assert_one_sentence(job("train", features, "--model", "svc", "--out", "/proc/emocore"), "--out")


def test_the_jobs_in_a_row(job, corpus, newcomer, cluster, tmp_path):
    done = job("featurize", corpus, "--out", tmp_path / "F")
    assert done.code == 0 and done.out.splitlines()[-1] == f"{tmp_path}/F finished: 64 clips, 0 failures"
    again = job("featurize", corpus, "--out", tmp_path / "F")
    assert (again.code, again.out) == (0, f"{tmp_path}/F was finished already: 64 clips, 0 failures\n")

    scored = job("evaluate", tmp_path / "F", "--model", "svc", "--protocol", "sequential6", "--out", tmp_path / "E")
    assert scored.code == 2 and "nothing to train on" in scored.err  # all four actors are one fold
    scored = job("evaluate", tmp_path / "F", "--model", "svc", "--protocol", "luna5", "--out", tmp_path / "R")
    figures, report = scored.out.splitlines()[-2:]
    metrics = read_json(tmp_path / "R" / "metrics.json")
    assert scored.code == 0 and report == f"{tmp_path}/R/report.html"
    assert f"UAR {100 * metrics['uar']:.1f} %" in figures and "n = 64" in figures
    assert "2 of its 5 folds" in figures  # those of which no actor is present

    trained = job("train", tmp_path / "F", "--model", "svc", "--out", tmp_path / "M")
    assert trained.code == 0 and (tmp_path / "M" / "model").is_dir()
    labels = job("label", newcomer, "--model", tmp_path / "M", "--out", tmp_path / "L")
    assert labels.code == 0 and labels.out.splitlines()[-2:] == [
        f"{tmp_path}/L finished: 16 labels, 0 failures",
        f"{tmp_path}/L/report.html",
    ]
    again = job("label", newcomer, "--model", tmp_path / "M", "--out", tmp_path / "L")
    assert again.code == 0 and "was finished already" in again.out


def test_config_repeats_an_evaluation(job, features, cluster, tmp_path, monkeypatch):
    monkeypatch.chdir(features.parent)  # the first run names its data by a relative path
    asked = ["--model", "mlp", "--protocol", "loso", "--seed", "5", "--class-weight", "none"]
    assert job("evaluate", features.name, *asked, "--out", tmp_path / "A").code == 0
    monkeypatch.chdir(tmp_path)
    assert job("evaluate", "--config", "A/config.json", "--out", "B").code == 0
    assert (tmp_path / "A/predictions.parquet").read_bytes() == (tmp_path / "B/predictions.parquet").read_bytes()
    assert read_json(tmp_path / "A/config.json") == read_json(tmp_path / "B/config.json")
    assert job("evaluate", "--config=A/config.json", "--seed", "6", "--out", "C").code == 0
    assert not predictions(tmp_path / "A").equals(predictions(tmp_path / "C"))


def test_config_repeats_every_other_job(job, corpus, newcomer, bundle, features, cluster, tmp_path):
    (tmp_path / "few").symlink_to(newcomer / "Actor_05")
    first = {
        "featurize": [tmp_path / "few", "--mfcc", "--level", "peak", "--map", "bored=calm"],
        "train": [features, "--model", "svc"],
        "label": [tmp_path / "few", "--model", bundle],
    }
    for name, arguments in first.items():
        one, two = tmp_path / f"{name}-1", tmp_path / f"{name}-2"
        assert job(name, *arguments, "--out", one).code == 0
        assert job(name, "--config", one / "config.json", "--out", two).code == 0
        assert read_json(one / "config.json") == read_json(two / "config.json")
        tables = [path.relative_to(one) for path in one.rglob("*.parquet")]
        tables = [table for table in tables if not any(part.startswith(".") for part in table.parts)]
        assert name != "featurize" or any(table.parts[0] == "features" for table in tables)
        for table in tables:
            assert pq.read_table(one / table).equals(pq.read_table(two / table)), table


def test_a_terminal_without_unicode_gets_the_same_sentence(tmp_path):
    process = subprocess.run(
        [sys.executable, ROOT / "jobs" / "train.py", tmp_path, "--model", "svc"],
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert process.returncode == 2 and len(process.stderr.splitlines()) == 1
    assert "--out" in process.stderr and "---" not in process.stderr


def test_config_of_another_job_is_one_sentence(job, features, cluster, bundle, tmp_path):
    config = bundle / "config.json"
    assert_one_sentence(job("label", "--config", config, "--out", tmp_path / "L"), str(config))
    (tmp_path / "config.json").write_text("[]")
    assert_one_sentence(job("train", "--config", tmp_path / "config.json", "--out", tmp_path / "R"), "config.json")


def test_other_options_in_one_folder_are_one_sentence(job, bundle, features):
    before = (bundle / "config.json").read_bytes()
    assert_one_sentence(job("train", features, "--model", "mlp", "--out", bundle), "options.model", "svc", "mlp")
    assert (bundle / "config.json").read_bytes() == before


def test_more_failures_than_allowed_exit_with_3(job, bundle, tmp_path, cluster):
    (tmp_path / "media").mkdir()
    for n in range(2):
        (tmp_path / "media" / f"{n}.wav").write_text(f"no sound {n}")
    for name, rest in {"featurize": [], "label": ["--model", bundle]}.items():
        outcome = job(name, tmp_path / "media", *rest, "--max-failures", "1", "--out", tmp_path / name)
        assert outcome.code == 3 and outcome.err.startswith("2 files failed, more than --max-failures 1")
        assert len(outcome.err.splitlines()) == 1
    assert job("label", tmp_path / "media", "--model", bundle, "--out", tmp_path / "label").code == 0


def test_a_crash_exits_with_1(tmp_path):
    code = (
        "import runpy, sys, emocore.pipeline.runs as runs\n"
        "def crash(*_): raise ZeroDivisionError('a fault of ours')\n"
        "runs.train = crash\n"
        f"sys.argv = ['train.py', 'DATA', '--model', 'svc', '--out', {str(tmp_path / 'R')!r}]\n"
        f"runpy.run_path({str(ROOT / 'jobs' / 'train.py')!r}, run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1 and done.stdout == ""
    assert "Traceback" in done.stderr and done.stderr.rstrip().endswith("ZeroDivisionError: a fault of ours")


def test_a_mistake_in_a_process_of_its_own(tmp_path):
    process = start("evaluate", "nowhere", "--model", "svc", "--protocol", "loso", "--out", "OUT", cwd=tmp_path)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "") and len(err.splitlines()) == 1 and "nowhere" in err


@pytest.mark.cluster
@pytest.mark.usefixtures("cluster", "trains_here")
def test_the_demo_from_another_folder(job, tmp_path, monkeypatch):
    """A small one, without the forest and Ray Train: `make demo`, which CI runs too, is the whole."""
    whole = demo.plan
    few = {"intensity": "normal", "statement": "kids"}
    monkeypatch.setattr(demo, "plan", lambda told: [clip for clip in whole(told) if few.items() <= vars(clip).items()])
    monkeypatch.setattr(demo, "_EPOCHS", 8)
    monkeypatch.setattr(demo, "_HEARING", ("svc",))
    monkeypatch.chdir(tmp_path)
    first = job("demo", "--out", "d", "--actors", "4")
    out = first.out
    assert first.code == 0, first.err
    last = out.splitlines()[-1]
    assert last == "d/evaluate-svc/report.html" and (tmp_path / last).is_file()
    ours = [line for line in out.splitlines() if "(raylet)" not in line]  # Ray colours what it says of itself
    assert "\x1b" not in "".join(ours) and "SYNTHETIC" in out
    assert out.count("1 failure ") == 2  # the broken file of its archive
    made = {path.name for path in (tmp_path / "d").iterdir()}
    assert {"corpus", "archive", "features", "train-svc", "labels-svc", "train-cnn", "labels-cnn"} <= made
    metrics = read_json(tmp_path / "d" / "evaluate-svc" / "metrics.json")
    assert metrics["n"] == 4 * 8 and metrics["synthetic"] is True
    seen = read_json(tmp_path / "d" / "train-cnn" / "metrics.json")
    assert seen["n_frames"] > seen["n"] == 8
    (epochs,) = read_json(tmp_path / "d" / "train-cnn" / "history.json").values()
    assert epochs[-1]["loss"] < epochs[0]["loss"] - 0.1  # it learns, though of three actors nothing of a fourth
    assert "of validation frames" in (tmp_path / "d" / "train-cnn" / "report.html").read_text()

    repeated = job("train", "--config", tmp_path / "d" / "train-svc" / "config.json", "--out", tmp_path / "again")
    before = time.monotonic()
    again = job("demo", "--out", "d", "--actors", "4")
    assert again.code == 0 and again.out.splitlines()[-1] == last, again.err
    assert time.monotonic() - before < 30
    assert repeated.code == 0, repeated.err  # the runs of the demo are runs as any other


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_no_lock_behind(stop, job, corpus, features, cluster, tmp_path):
    out = tmp_path / "F"
    process = start("featurize", corpus, "--mfcc", "--out", out)
    try:
        assert process.stdout.readline().endswith(" files to do\n")
        second = job("featurize", corpus, "--mfcc", "--out", out)
        assert_one_sentence(second, "Another run is writing to", str(out))
        process.send_signal(stop)
        process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == (130 if stop == signal.SIGINT else -signal.SIGTERM)
    with (out / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises where anyone still holds it
    assert not (out / "manifest.json").exists()
    assert job("featurize", corpus, "--mfcc", "--out", out).code == 0
    for part in ("clips", "features/article", "features/article-frames"):
        assert pq.read_table(out / part).equals(pq.read_table(features / part))
