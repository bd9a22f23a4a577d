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


def answer_in(journal, *clips):
    """As if the process died there."""
    journal._write("answer", list(clips))


def test_clips_that_were_answered_for_together_are_suspects_and_none_is_to_blame(journal):
    answer_in(journal(), "a", "b")
    one = journal()
    assert (one.suspects, one.answers_deaths, one.deaths) == ({"a", "b"}, {}, {})
    with one.answering(["a"]):
        pass
    answer_in(one, "b")
    answer_in(journal(), "b")
    last = journal()
    assert last.answers_deaths == {"b": 2} and last.suspects == {"a", "b"}
    with last.answering(["a"]), last.answering(["a", "b"]):
        pass
    with pytest.raises(MediaError) as error, last.answering(["b"]):
        raise AssertionError("must not be answered for")
    assert (error.value.stage, error.value.reason) == ("predict", "killed")


def test_a_death_while_answering_is_not_the_doing_of_the_file_that_is_read(journal):
    for _ in range(2):
        one = journal()
        one._write("begin", "read")
        answer_in(one, "clip")
    assert (journal().deaths, journal().answers_deaths) == ({}, {"clip": 2})
    one = journal()
    with pytest.raises(KeyboardInterrupt), one.guard("read"):
        with one.answering(["other"]):
            pass
        raise KeyboardInterrupt
    one._write("begin", "read")
    with one.answering(["other"]):
        pass
    assert journal().deaths == {"read": 1}


def test_many_answers_together_have_the_time_of_one(journal, monkeypatch):
    """A model that never comes back is not waited for as often as a shard has files."""
    told = []
    monkeypatch.setattr("faulthandler.dump_traceback_later", lambda seconds, **_: told.append(seconds))
    with journal().answering([f"{n}.wav" for n in range(64)]):
        pass
    assert told == [2 * 600.0]


def test_answering_for_nothing_is_no_answer(journal):
    for _ in range(UNEXPLAINED_ALLOWED):
        with journal().answering([]):
            pass
    assert journal().suspects == set()


def test_answers_that_went_with_their_machine_are_nobodys_doing(journal):
    answer_in(journal(here="lost"), "a", "b")
    assert journal(is_lost=lambda machine: machine == "lost").suspects == set()


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


HANG_ANSWERING = """
import sys
from pathlib import Path
from emocore.pipeline.archive.journal import Journal
journal = Journal(Path(sys.argv[1]), 0.1)
with journal.guard("read"):
    with journal.answering(["quick"]):
        pass
    with journal.answering(sys.argv[2:]):
        while True:
            pass
"""


def test_an_answer_that_never_comes_ends_with_its_process(tmp_path):
    path = tmp_path / "000000"
    for clips in (["a", "b"], ["a"]):
        command = [sys.executable, "-c", HANG_ANSWERING, path, *clips]
        assert subprocess.run(command, timeout=20, check=False, env=environment(), cwd=ROOT).returncode == 1
    journal = Journal(path, 1.0)
    assert (journal.hung, journal.answers_hung, journal.suspects) == (set(), {"a"}, {"a", "b"})
    with pytest.raises(MediaError, match="not answered after 2 s: see --seconds-per-file") as error:
        journal.answering(["a"]).__enter__()
    assert (error.value.stage, error.value.reason) == ("predict", "too_slow")


def test_the_alarm_of_a_file_begins_again_behind_an_answer(tmp_path):
    """The process is ended though the answer's own alarm is gone."""
    code = HANG_ANSWERING.replace(
        "    with journal.answering(sys.argv[2:]):\n        while", "    if True:\n        while"
    )
    command = [sys.executable, "-c", code, tmp_path / "a"]
    assert subprocess.run(command, timeout=20, check=False, env=environment(), cwd=ROOT).returncode == 1
    assert Journal(tmp_path / "a", 1.0).hung == {"read"}


def test_the_alarm_is_gone_after_the_file(tmp_path):
    """Else it would end this process."""
    with Journal(tmp_path / "a", 0.1).guard("a"):
        pass
    time.sleep(0.3)
    assert Journal(tmp_path / "a", 0.1).hung == set()
