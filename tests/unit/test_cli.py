"""Command lines: a mistake is one sentence and an exit code, and --config repeats a run."""

import errno
import json
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pytest
import tyro

from emocore.cli import _stop, check_choice, command_line, options_to_json, parse, run_job
from emocore.errors import TooManyFailures, UserError
from emocore.pipeline.options.run import TrainOptions


@dataclass(frozen=True, kw_only=True)
class Options:
    """Cook something."""

    data: Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="DATA…")]
    """what goes in"""
    out: str
    """where it goes"""
    level: Literal["as-is", "peak"] = "as-is"
    """loudness"""
    sample_rate_hz: int = 22_050
    """sample rate, in Hz"""
    max_failures: int | None = None
    """how many may fail"""
    mfcc: bool = False
    """keep the frames"""
    map: tuple[str, ...] = ()
    """labels"""


GOOD = ["corpus", "--out", "run"]


def sentence(arguments, options=Options):
    with pytest.raises(UserError) as error:
        parse(options, arguments)
    text = str(error.value)
    assert "\n" not in text
    assert not set(text) & set("│╭╮╰╯─\x1b")
    return text


def saved(tmp_path, options, command="cook"):
    file = tmp_path / "config.json"
    file.write_text(json.dumps({"command": command, "options": options}))
    return str(file)


def test_options_and_their_defaults():
    assert parse(Options, GOOD) == Options(data=("corpus",), out="run")
    full = [
        *["a", "b", "--out", "run", "--level", "peak", "--sample-rate-hz", "16000", "--max-failures", "0"],
        "--mfcc",
    ]
    assert parse(Options, full) == Options(
        data=("a", "b"), out="run", level="peak", sample_rate_hz=16_000, max_failures=0, mfcc=True
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([*GOOD, "--levle", "peak"], ["--levle", "perhaps you meant --level"]),
        ([*GOOD, "--sample-rate", "16000"], ["--sample-rate", "perhaps you meant --sample-rate-hz"]),
        ([*GOOD, "--zzzzzz", "1"], ["--zzzzzz"]),
        (["corpus"], ["--out", "required"]),
        ([*GOOD, "--level", "loud"], ["--level", "loud", "as-is", "peak"]),
        ([*GOOD, "--sample-rate-hz", "fast"], ["--sample-rate-hz", "fast", "int"]),
        ([*GOOD, "--sample-rate-hz", "22050.5"], ["--sample-rate-hz", "22050.5"]),
        ([*GOOD, "--max-failures", "many"], ["--max-failures", "many"]),
        ([*GOOD, "--mfcc", "perhaps"], ["perhaps"]),
        ([*GOOD, "--level"], ["--level"]),
        (["corpus", "--out"], ["--out"]),
    ],
)
def test_a_mistake_is_one_sentence_with_the_value_and_the_remedy(arguments, words):
    text = sentence(arguments)
    for word in words:
        assert word in text
    assert text.endswith("see --help for every option.")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--config"], "--config needs a file: the config.json of an earlier run."),
        (["--config", "/none/config.json"], "--config /none/config.json cannot be read (No such file or directory)"),
        (["--config=/none/config.json"], "--config /none/config.json cannot be read"),
        (["--config", "/"], "--config / cannot be read (Is a directory)"),
    ],
)
def test_a_config_that_cannot_be_read(arguments, words):
    assert sentence(arguments).startswith(words)


@pytest.mark.parametrize(
    "content", [b"", b"{half", b"[]", b"null", b"{}", b'{"options": null}', b'{"options": 3}', b"\xff\xfe\x00"]
)
def test_a_config_that_is_not_ours(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content)
    file = str(tmp_path / "config.json")
    assert sentence(["--config", file]) == f"--config {file} is not a config.json that emocore wrote."


def test_a_config_of_another_command(tmp_path):
    file = saved(tmp_path, {"out": "run", "media": ["x"], "model": "m"}, "label")
    assert sentence(["--config", file]) == (
        f"--config {file} has the option 'media', which this command does not have."
    )


@pytest.mark.parametrize("values", [{"level": "loud"}, {"sample_rate_hz": "fast"}, {"max_failures": "many"}])
def test_a_config_with_a_value_that_the_command_line_would_refuse(tmp_path, values):
    file = saved(tmp_path, {"data": ["corpus"], **values})
    sentence(["--out", "run", "--config", file])


def test_config_gives_defaults_and_options_beside_it_win(tmp_path):
    first = Options(data=("a", "b"), out="x", level="peak", sample_rate_hz=8_000, mfcc=True, map=("bored=calm",))
    file = saved(tmp_path, options_to_json(first, leave_out=("out", "max_failures")))
    assert parse(Options, ["--config", file, "--out", "x"]) == first
    assert parse(Options, ["--out", "x", f"--config={file}"]) == first
    again = parse(Options, ["c", "--out", "y", "--config", file, "--level", "as-is", "--no-mfcc"])
    assert (again.data, again.out, again.level, again.mfcc) == (("c",), "y", "as-is", False)
    assert (again.sample_rate_hz, again.map) == (8_000, ("bored=calm",))


def test_what_the_config_leaves_out_must_still_be_given(tmp_path):
    file = saved(tmp_path, {"data": ["a"]})
    assert "--out" in sentence(["--config", file])
    assert parse(Options, ["--config", file, "--out", "x"]).data == ("a",)


def test_paths_of_a_config_hold_from_any_folder(tmp_path, monkeypatch):
    (tmp_path / "corpus").mkdir()
    (tmp_path / "link").symlink_to("corpus")
    monkeypatch.chdir(tmp_path)
    values = options_to_json(Options(data=("corpus", "link", "none"), out="x"), leave_out=("out",), paths=("data",))
    assert values["data"] == [str(tmp_path / "corpus"), str(tmp_path / "link"), "none"]
    assert "out" not in values
    json.dumps(values)


def test_help_names_every_option_with_its_default(capsys):
    with pytest.raises(SystemExit) as stop:
        parse(Options, ["--help"])
    assert stop.value.code in (0, None)
    page = capsys.readouterr().out
    for name in ("--out", "--level", "--sample-rate-hz", "22050", "as-is", "--config", "Cook something"):
        assert name in page


def test_choice():
    check_choice("--model", "svc", ["svc", "mlp"])
    with pytest.raises(UserError, match=r"^--model 'svm' is unknown: choose one of svc, mlp\.$"):
        check_choice("--model", "svm", ["svc", "mlp"])


# The whole way: arguments to exit code


def fail_with(error):
    def job(options):
        raise error

    return job


def full_disk():
    return OSError(errno.ENOSPC, "No space left on device", "/out/tune/state.json")


def wrapped(error):
    """An error as Ray wraps it."""
    outer = RuntimeError("pages\nof text")
    outer.cause = error
    return outer


@pytest.mark.parametrize(
    ("job", "arguments", "code", "line"),
    [
        (fail_with(UserError("The rate is wrong.")), GOOD, 2, "The rate is wrong."),
        (fail_with(full_disk()), GOOD, 2, "The disk of /out/tune is full (No space left on device): free some space"),
        (fail_with(wrapped(full_disk())), GOOD, 2, "/out/tune is full (No space left on device)"),
        (fail_with(TooManyFailures("9 files failed.")), GOOD, 3, "9 files failed."),
        (print, [*GOOD, "--level", "loud"], 2, "--level"),
        (print, ["corpus", "--out"], 2, "--out"),
    ],
)
def test_exit_code_and_one_line_on_stderr(monkeypatch, capsys, job, arguments, code, line):
    monkeypatch.setattr(sys, "argv", ["job", *arguments])
    with pytest.raises(SystemExit) as stop:
        run_job(Options, job)
    output = capsys.readouterr()
    assert stop.value.code == code
    assert output.err.endswith("\n")
    assert len(output.err.splitlines()) == 1
    assert line in output.err
    assert output.out == ""


@pytest.mark.parametrize("error", [ZeroDivisionError("ours"), OSError(errno.EIO, "of a file that is read")])
def test_a_crash_stays_one(monkeypatch, error):
    monkeypatch.setattr(sys, "argv", ["job", *GOOD])
    with pytest.raises(type(error)):
        run_job(Options, fail_with(error))


def test_done_is_a_plain_return(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["job", *GOOD])
    run_job(Options, lambda options: sys.stdout.write(f"{options.out}\n"))
    assert capsys.readouterr() == ("run\n", "")


SCRIPT = """
import sys
sys.path.insert(0, {folder!r})
from test_cli import Options
from emocore.cli import run_job
def job(options):
    if options.out == "crash":
        1 / 0
    for i in range(20_000):
        print("a line that nobody reads", i)
run_job(Options, job)
"""


@pytest.mark.parametrize(("out", "code"), [("crash", 1), ("lines", 0)])
def test_a_crash_is_1_and_a_reader_that_goes_away_is_no_crash(out, code):
    script = SCRIPT.format(folder=str(Path(__file__).parent))
    command = [sys.executable, "-c", script, "corpus", "--out", out]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        process.stdout.close()
        errors = process.stderr.read()
    assert process.returncode == code, errors
    assert ("ZeroDivisionError" in errors) == (out == "crash")
    assert bool(errors) == (out == "crash")


def test_a_command_line_holds_what_was_given_and_repeats_it():
    typed = ["a folder", "--model", "svc", "--out", "R", "--set", "C=5", "--corpus", "ravdess"]
    options = parse(TrainOptions, typed)
    line = command_line("jobs/train.py", options)
    assert line.startswith("jobs/train.py 'a folder' ") and "--epochs" not in line and "--seed" not in line
    assert parse(TrainOptions, shlex.split(line)[1:]) == options


@pytest.mark.parametrize("url", ["s3://bucket/out", "gs://b/x", "https://host/f"])
def test_a_url_in_the_place_of_a_path_is_one_sentence(url):
    @dataclass(frozen=True)
    class Told:
        """What a job is told."""

        out: str
        data: tuple[str, ...] = ()

    for arguments in (["--out", url], ["--out", "x", "--data", "a", url]):
        with pytest.raises(UserError) as error:
            parse(Told, arguments)
        assert str(error.value) == f"{url!r} is a URL and this version reads local paths only: copy or mount it first."


def test_what_is_said_of_files_moves_no_cursor(capsys):
    with pytest.raises(SystemExit):
        _stop("model \x1b[31mred\x1b[0m is unknown\x07", 2)
    assert capsys.readouterr().err == "model \\x1b[31mred\\x1b[0m is unknown\\x07\n"
