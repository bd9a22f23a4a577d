"""The output folder: one run at a time, continued, never mixed."""

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from emocore.errors import UserError
from emocore.storage.files import read_json, write_json, write_text
from emocore.storage.folder import check_outlives_job, first_difference, output_folder, tables_lock

CONFIG = {"command": "train", "options": {"data": ("a", "b"), "seed": 0, "level": "peak"}, "data": "ff"}


def enter(out, config=CONFIG):
    with output_folder(str(out), config, "metrics.json") as folder:
        return folder


def refusal(out, config=CONFIG):
    with pytest.raises(UserError) as error:
        enter(out, config)
    assert "\n" not in str(error.value)
    assert str(out) in str(error.value)
    return str(error.value)


def test_fresh_continued_finished(tmp_path):
    out = tmp_path / "new" / "run"
    assert not enter(out).finished
    assert read_json(out / "config.json") == {**CONFIG, "options": {**CONFIG["options"], "data": ["a", "b"]}}
    (out / "features").mkdir()
    assert not enter(out).finished
    (out / "metrics.json").write_text("{}")
    assert enter(out).finished


def test_an_empty_folder_and_one_with_a_left_over_lock_are_new(tmp_path):
    (tmp_path / ".lock").touch()
    assert not enter(tmp_path).finished


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"command": "evaluate"}, 'command = "train", this command has "evaluate"'),
        ({"options": {**CONFIG["options"], "seed": 1}}, "options.seed = 0, this command has 1"),
        ({"options": {**CONFIG["options"], "data": ("a",)}}, 'options.data = ["a", "b"], this command has ["a"]'),
        ({"options": {"data": ("a", "b"), "seed": 0}}, 'options.level = "peak", this command has null'),
        ({"options": {**CONFIG["options"], "new": 1}}, "options.new = null, this command has 1"),
        ({"data": "00"}, 'data = "ff", this command has "00"'),
        ({"data": "00", "command": "label"}, 'command = "train", this command has "label"'),
    ],
)
def test_the_first_difference_is_named(tmp_path, change, words):
    enter(tmp_path)
    sentence = refusal(tmp_path, {**CONFIG, **change})
    assert f"{tmp_path} was made with {words}: choose another --out, or repeat that run with --config" in sentence
    assert not enter(tmp_path).finished  # the refusal changed nothing


@pytest.mark.parametrize("command", ["train", "label"])
def test_a_folder_of_another_release_is_made_anew_by_its_command(tmp_path, command):
    out = tmp_path / "OUT"
    out.mkdir()
    (out / "config.json").write_text(json.dumps({"command": command, "options": {"seed": 1}, "schema_version": "1"}))
    with pytest.raises(UserError) as error, output_folder(str(out), {"command": command, "schema_version": "2"}, "x"):
        pass
    assert str(error.value) == (
        f"{out} has schema version 1, this release reads 2: make it anew by python jobs/{command}.py "
        f"--config {out / 'config.json'} --out NEW."
    )


def test_a_finished_folder_of_another_command_is_refused_too(tmp_path):
    enter(tmp_path)
    (tmp_path / "metrics.json").write_text("{}")
    assert "options.seed" in refusal(tmp_path, {**CONFIG, "options": {**CONFIG["options"], "seed": 7}})


def test_other_things_stay_as_they_are(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    assert "holds other things ('thesis.tex')" in refusal(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_in_the_place_of_the_folder_or_above_it(tmp_path):
    file = tmp_path / "file"
    file.write_text("x")
    assert refusal(file) == f"--out {file} is a file: name a folder, new or empty."
    assert "--out" in refusal(file / "run")


def test_a_place_where_no_folder_can_be_made_is_one_sentence():
    assert "--out" in refusal("/proc/emocore/run")


@pytest.mark.parametrize("content", [b"{half", b"", b"\xff\xfe"])
def test_a_config_that_is_not_json(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content)
    assert "config.json is not valid JSON: choose another --out." in refusal(tmp_path)


@pytest.mark.parametrize("content", ["[]", "null", '"text"', '{"architectures": ["Wav2Vec2Model"]}'])
def test_a_config_of_something_else(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    sentence = refusal(tmp_path)
    assert "was made with  =" not in sentence
    assert (tmp_path / "config.json").read_text() == content


@pytest.mark.parametrize("old", [{"a": 1, "b": {"c": [1, 2]}}])
@pytest.mark.parametrize(
    ("now", "found"),
    [
        ({"b": {"c": [1, 2]}, "a": 1}, None),
        ({"a": 1, "b": {"c": [2, 1]}}, ("b.c", "[1, 2]", "[2, 1]")),
        ({"a": 1, "b": 3}, ("b", '{"c": [1, 2]}', "3")),
        ({"a": 1}, ("b", '{"c": [1, 2]}', "null")),
    ],
)
def test_first_difference(old, now, found):
    assert first_difference(old, now) == found


def test_writes_are_whole_or_not_there(tmp_path, monkeypatch):
    write_json(tmp_path / "a.json", {"ä": 1})
    write_text(tmp_path / "a.txt", "old")
    assert read_json(tmp_path / "a.json") == {"ä": 1}
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"x": object()})
    with pytest.raises(UnicodeEncodeError):
        write_text(tmp_path / "a.txt", "new \ud800")
    assert read_json(tmp_path / "a.json") == {"ä": 1}
    assert (tmp_path / "a.txt").read_text() == "old"


# Two runs at once

HOLDER = """
import subprocess, sys, time
from emocore.storage.folder import output_folder
with output_folder(sys.argv[1], {"command": "train"}, "metrics.json"):
    worker = subprocess.Popen(["sleep", "60"], close_fds=False, stdout=subprocess.DEVNULL)
    print(worker.pid, flush=True)
    time.sleep(60)
"""


@contextmanager
def holder(out):
    """Another process that holds the folder, and the id of a worker that it started."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(out)], stdout=subprocess.PIPE, text=True)
    worker = int(process.stdout.readline())
    try:
        yield process, worker
    finally:
        process.kill()
        process.communicate()
        os.kill(worker, signal.SIGKILL)


def test_a_second_run_is_refused_until_the_first_is_killed_even_if_its_workers_live_on(tmp_path):
    config = {"command": "train"}
    with holder(tmp_path) as (process, worker):
        sentence = refusal(tmp_path, config)
        assert sentence == (f"Another run is writing to {tmp_path}: wait until it ends, or choose another --out.")
        process.send_signal(signal.SIGKILL)
        process.wait()
        os.kill(worker, 0)  # alive
        assert not enter(tmp_path, config).finished


def test_the_lock_ends_with_the_block_and_with_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), output_folder(str(tmp_path), CONFIG, "metrics.json"):
        assert "Another run" in refusal(tmp_path)
        raise ZeroDivisionError
    enter(tmp_path)


def test_an_out_in_the_job_s_copy_of_the_working_directory_is_one_sentence(tmp_path, monkeypatch):
    copy = tmp_path / "session" / "runtime_resources" / "working_dir_files" / "_ray_pkg_0"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    sentence = "lies in the job's copy of the working directory, which Ray deletes: name a folder by its whole path"
    assert sentence in refusal(Path("runs/svc"))
    assert not Path("runs").exists()
    with pytest.raises(UserError, match="--dest"):
        check_outlives_job("--dest", copy / "ravdess")
    enter(tmp_path / "runs")


def test_tables_that_are_read_stay_as_they_are(tmp_path):
    folder = tmp_path / "F"
    with output_folder(str(folder), {"a": 1}, "last"):
        busy = r"F is being brought up to date: wait until that ends\."
        with pytest.raises(UserError, match=busy), tables_lock([str(folder)]):
            pass
    both = [str(folder), str(tmp_path / "a copy without a lock")]
    with tables_lock(both), tables_lock(both), pytest.raises(UserError, match="Another run is writing to"):
        enter(folder, {"a": 1})
    enter(folder, {"a": 1})


def test_a_new_output_folder_is_for_its_owner_only(tmp_path):
    with output_folder(str(tmp_path / "new" / "out"), {"command": "label", "options": {}}, "summary.json") as folder:
        assert folder.path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("left", [".plan.arrow", ".journals"])
def test_a_command_that_workers_refuse_before_a_file_was_written_does_not_claim_the_folder(tmp_path, left):
    with pytest.raises(UserError, match="damaged"), output_folder(str(tmp_path), CONFIG, "summary.json"):
        (tmp_path / left).touch()
        raise UserError("damaged weights")
    assert not enter(tmp_path, {**CONFIG, "command": "label"}).finished
