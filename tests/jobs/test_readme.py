"""What the README names and states is what the code has: limits, commands, options, models, protocols, states."""

import dataclasses
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import get_args

import pytest

from emocore.cli import parse
from emocore.corpora.synthetic.corpus import DemoSettings, plan
from emocore.datasets.protocols import PROTOCOLS
from emocore.features.article import ARTICLE
from emocore.features.listen import LEAST_SPEECH_SECONDS
from emocore.labels import SETS
from emocore.media import audio, container, limit, source, stills
from emocore.media.choice import HEAD_SECONDS
from emocore.models.catalogue import MODELS, network_spec
from emocore.models.labelling_films import SEEN_SECONDS
from emocore.pipeline.options.demo import ARCHIVE_ACTORS, DemoOptions
from emocore.pipeline.options.files import FileOptions
from emocore.pipeline.options.search import Search

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text()
README = " ".join(TEXT.split())
COMMANDS = sorted(
    {line.split("#")[0].strip() for line in re.findall(r"^python (jobs/\w+\.py .*)$", TEXT, re.MULTILINE)}
)
OTHERS = {"--help", "--config", "--working-dir", "--head", "--block", "--generate"}  # of every job, and of Ray


@pytest.fixture(scope="module")
def options(job_modules):
    """The class of options of each job."""
    return {name: getattr(module, name.capitalize()) for name, module in job_modules.items()}


def table(header):
    """The first cells of the rows of the table that begins so, without their quotes."""
    rows = TEXT.split(f"| {header} |")[1].split("\n\n")[0].splitlines()[2:]
    return [name for row in rows for name in re.findall(r"`([^`]+)`", row.split("|")[1])]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_one(options, command):
    job, *arguments = shlex.split(command)
    parse(options[Path(job).stem], [one.replace("FILE", "file") for one in arguments])


def test_every_option_is_one_of_a_job(options):
    fields = [field for of_job in options.values() for field in dataclasses.fields(of_job)]
    known = {f"--{field.name.replace('_', '-')}" for field in fields}
    known |= {f"--no-{field.name.replace('_', '-')}" for field in fields if field.default is True}
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", TEXT))
    assert sorted(named - known - OTHERS) == []


def test_every_job_has_its_row(job_modules):
    named = [re.match(r"jobs/(\w+)\.py", cell)[1] for cell in table("command")]
    assert sorted(named) == sorted(job_modules)


def test_every_model_protocol_and_search_is_there_once():
    assert sorted(table("name")) == sorted(PROTOCOLS)
    assert sorted(table("`--search`")) == sorted(get_args(Search))
    models = {name for name in MODELS if f"`{name}`" in README.split("## Models")[1].split("##")[0]}
    assert models == set(MODELS)
    assert all(f"`{name}`" in README for name in SETS)


def test_a_file_is_too_large_where_the_readme_says_so():
    stated = README.split("a file is `too_large`: ")[1].split(". ")[0]
    numbers = {unit: int(number.replace(",", "")) for number, unit in re.findall(r"([0-9,]+) ([A-Za-z]+)", stated)}
    assert numbers == {
        "million": container.MAX_PIXELS // 10**6,
        "MiB": stills.MAX_STILL_BYTES >> 20,
        "scans": stills.MAX_SCANS,
        "channels": audio.MAX_CHANNELS,
        "GiB": source.MAX_MEMBER_BYTES >> 30,
    }


def test_a_file_gets_the_time_that_the_readme_says():
    minutes = limit.MEDIA_SECONDS / 60
    assert f"`--seconds-per-file` ({FileOptions().seconds_per_file:.0f} s) for each {minutes:.0f} minutes" in TEXT


def test_windows_are_as_long_as_the_readme_says():
    assert f"({ARTICLE.longest_seconds:.2f} s for the\narticle's features" in README or (
        f"({ARTICLE.longest_seconds:.2f} s for the article's features" in TEXT
    )
    assert f"windows of {SEEN_SECONDS:.0f} s from their frames" in TEXT
    assert f"less than {LEAST_SPEECH_SECONDS} s of speech is `no_speech`" in TEXT
    assert HEAD_SECONDS == 120 and "first two minutes" in TEXT


def test_every_kind_of_file_that_is_read_is_named():
    stated = README.split("are read without unpacking. Sound is read from ")[1].split(". Channels")[0]
    named = {f".{name}" for name in re.findall(r"[a-z0-9]+", stated)}
    assert source.MEDIA_SUFFIXES | source.STILL_SUFFIXES - {".jpeg"} <= named


def test_networks_train_as_long_as_the_readme_says():
    rows = dict(re.findall(r"^\| `(cnn|transfer|face-cnn)` \|.*\| ([^|]+) \|$", TEXT, re.MULTILINE))
    for name in ("cnn", "transfer"):
        settings = network_spec(name).settings
        assert rows[name] == f"{settings.epochs} epochs of {settings.steps_per_epoch} steps"
    assert rows["face-cnn"].endswith(f"{network_spec('face-cnn').settings.epochs} epochs")


def test_the_counts_of_the_demo_are_those_of_its_corpus():
    actors = DemoOptions(out="d").actors
    takes = len(plan(DemoSettings(actors=actors + ARCHIVE_ACTORS)))
    each = takes // (actors + ARCHIVE_ACTORS)
    assert f"{takes} of {takes} takes" in TEXT and f"featurize: {2 * actors * each} of" in TEXT
    archived = 2 * ARCHIVE_ACTORS * each + 2  # sound and film of each take, a recording and a broken file
    assert TEXT.count(f"label: {archived} of {archived} files") == 2


def test_the_shipped_network_is_as_good_as_its_card_says():
    card = (ROOT / "emocore/models/weights/face-cnn/README.md").read_text()
    assert re.search(r"tells ([\d.]+ %) of FER2013", README)[1] == re.search(r"\*\*([\d.]+ %)\*\*", card)[1]


def test_make_runs_what_the_readme_says():
    make = (ROOT / "Makefile").read_text()
    assert "--each 5000 --job-each 200" in make and "`make soak` reads 5,000" in README and "puts 200 through" in README
    for file in ("fuzz/test_fuzz.py", "ray/archive/test_fuzzed_job.py"):
        assert "\nEACH = 50\n" in (ROOT / "tests" / file).read_text() and "`make test` 50 and 50" in README
    parts = {path.relative_to(ROOT / "tests").parts[0] for path in (ROOT / "tests").rglob("test_*.py")}
    assert parts == set(re.findall(r"tests/(\w+)", make))
    ran = re.findall(r"^make [a-z-]+", (ROOT / ".ci/run").read_text(), re.MULTILINE)
    assert ran == ["make check", "make demo", "make test-cluster", "make test"]


def test_make_says_what_python_lacks(tmp_path):
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; esac\n')
    python.chmod(0o755)
    done = subprocess.run(["make", "install", f"PYTHON={python}"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and "apt install python3-venv" in done.stdout
