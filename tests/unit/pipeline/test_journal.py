"""The journal: which file a process was reading when it died, and which deaths no file is to blame for."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from emocore.errors import MediaError, UserError
from emocore.pipeline.archive.journal import UNEXPLAINED_ALLOWED, Journal

ROOT = Path(__file__).parents[3]


def environment():
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def events(journal):
    return [json.loads(line)[0] for line in journal.path.read_text().splitlines()]


@pytest.fixture
def journal(tmp_path):
    """A journal as a process finds it."""
    return lambda **more: Journal(tmp_path / "journals" / "000000.parquet", 600.0, **more)


def test_what_was_begun_and_not_ended_killed_its_process(journal):
    assert not journal().deaths
    with journal().guard("good"):
        pass
    assert not journal().deaths
    die_in(journal(), "bad")
    assert journal().deaths == {"bad": 1}
    with journal().guard("bad"):  # a second try, which goes well
        pass
    assert journal().deaths == {"bad": 1}


def test_the_second_death_is_the_last(journal):
    for _ in range(2):
        with journal().guard("good"):
            pass
        die_in(journal(), "bad")
    with pytest.raises(MediaError) as error, journal().guard("bad"):
        raise AssertionError("must not be read")
    assert (error.value.stage, error.value.reason) == ("decode", "killed")
    assert journal().deaths == {"bad": 2}
    with journal().guard("good"):
        pass


def test_two_killers_are_told_apart(journal):
    for path in ("one", "two", "one", "two"):
        die_in(journal(), path)
    assert journal().deaths == {"one": 2, "two": 2}


def test_a_fault_of_the_file_is_no_death(journal):
    one = journal()
    for _ in range(3):
        with pytest.raises(MediaError), one.guard("broken"):
            raise MediaError("decode", "broken", "x")
        with pytest.raises(KeyboardInterrupt), one.guard("stopped"):
            raise KeyboardInterrupt
    assert not journal().deaths


@pytest.mark.parametrize("path", ["new\nline", "ünïcödé", "\udcff", 'quote"', "", "["])
def test_any_path_is_one_line(journal, path):
    die_in(journal(), path)
    die_in(journal(), "other")
    assert journal().deaths == {path: 1, "other": 1}


@pytest.mark.parametrize("keep", [1, 5, 12])
def test_a_torn_last_line_was_no_reading_and_hides_none_after_it(journal, keep):
    die_in(journal(), "first")
    path = journal().path
    torn = json.dumps(["begin", "second"])[:keep]
    path.write_text(path.read_text() + torn)
    assert journal().deaths == {"first": 1}
    for _ in range(2):
        die_in(journal(), "third")
    assert journal().deaths == {"first": 1, "third": 2}


def test_a_committed_shard_leaves_no_journal(journal):
    die_in(journal(), "bad")
    one = journal()
    one.forget()
    one.forget()
    assert not one.path.exists() and not journal().deaths


def test_a_process_that_went_with_its_machine_was_killed_by_no_file(journal):
    die_in(journal(here="lost"), "good")
    die_in(journal(here="there"), "bad")
    assert journal().deaths == {"good": 1, "bad": 1}
    assert journal(is_lost=lambda machine: machine == "lost").deaths == {"bad": 1}


def test_processes_that_die_without_reading_are_not_started_for_ever(journal):
    for _ in range(UNEXPLAINED_ALLOWED + 1):
        journal()
    with pytest.raises(UserError, match=r"6 processes ended while they worked on 000000.parquet"):
        journal()
    journal(is_lost=lambda _: True)  # machines that go are no reason to stop


def die_in(journal, path):
    """As if the process died there: begun, and the guard never left."""
    journal._write("begin", path)


HANG = """
import sys, time
from pathlib import Path
from emocore.pipeline.archive.journal import Journal
with Journal(Path(sys.argv[1]), 0.1).guard("hang"):
    while True:
        pass
"""


def test_a_hang_ends_with_its_process_and_is_not_read_again(tmp_path):
    path = tmp_path / "000000.parquet"
    done = subprocess.run([sys.executable, "-c", HANG, path], timeout=20, check=False, env=environment(), cwd=ROOT)
    assert done.returncode == 1
    journal = Journal(path, 1.0)
    assert (journal.hung, journal.deaths) == ({"hang"}, {})
    with pytest.raises(MediaError, match="not done after 2 s: see --seconds-per-file") as error, journal.guard("hang"):
        pass
    assert error.value.reason == "too_slow"
    with journal.guard("other"):
        pass


def test_the_alarm_is_gone_after_the_file(tmp_path):
    """Else it would end this process."""
    with Journal(tmp_path / "a", 0.1).guard("a"):
        pass
    time.sleep(0.3)
    assert Journal(tmp_path / "a", 0.1).hung == set()
