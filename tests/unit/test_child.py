"""The process beside a program: what it says is lines of JSON, or nothing; it is ended whatever it does."""

import time
from pathlib import Path

import pytest

from emocore import child
from emocore.child import Child

HEAD = "import os, sys, time\nfrom emocore import child\ndef work():\n    "


@pytest.fixture
def beside(tmp_path, monkeypatch):
    """Begin a process that runs this one line."""
    begun = []
    monkeypatch.syspath_prepend(str(tmp_path))

    def begin(line):
        (tmp_path / "stand_in.py").write_text(HEAD + line + "\n")
        begun.append(Child("stand_in:work"))
        return begun[-1]

    yield begin
    for one in begun:
        one.end()


def test_it_is_told_and_answers_and_a_library_that_prints_says_nothing(beside):
    echo = beside("with child.answering() as say: print('noise'); os.write(1, b'{}\\n'); say({'told': child.told()})")
    echo.tell("caf\udce9")
    assert echo.answer() == {"told": "caf\udce9"}
    assert echo.answer() == {}


@pytest.mark.parametrize("said", ["no JSON", "[1]", '{"cut', "[" * 50_000])
def test_what_is_no_answer_is_none_and_the_process_is_ended(beside, monkeypatch, said):
    monkeypatch.setattr(child, "_SECONDS_TO_END", 0.1)
    odd = beside(f"os.write(int(sys.argv[1]), b{said!r} + b'\\n'); time.sleep(60)")
    assert odd.answer() == {}
    started = time.monotonic()
    assert "said what is no answer" in str(odd.ended_as_it_began())
    assert time.monotonic() - started < 5


def test_its_last_words_are_told(beside):
    assert str(beside("import no_such_library").ended_as_it_began()) == (
        "A process that reads files ended as it began (exit code 1): its last words: ModuleNotFoundError: No module "
        "named 'no_such_library'"
    )


def test_it_ends_with_the_pipe(beside):
    waiting = beside("child.told()")
    waiting._process.stdin.close()
    assert waiting._process.wait(10) == 1  # EOFError, as nobody is left to tell it anything


def test_nothing_is_imported_from_the_working_directory(beside, tmp_path, monkeypatch):
    (tmp_path / "a stranger's").mkdir()
    (tmp_path / "a stranger's" / "pickle.py").write_text("raise SystemExit(9)")
    monkeypatch.chdir(tmp_path / "a stranger's")
    echo = beside("with child.answering() as say: say({'told': child.told()})")
    echo.tell(1)
    assert echo.answer() == {"told": 1}


def test_what_it_has_started_ends_with_it(beside):
    parent = beside(
        "with child.answering() as say: os.fork() or time.sleep(600); say({'pid': os.getpid()}); time.sleep(600)"
    )
    other = parent.answer()["pid"]
    parent.kill()
    assert parent.answer() == {}  # nobody holds the pipe any more
    stat = Path(f"/proc/{other}/stat")
    until = time.monotonic() + 10  # a kill takes its time on a busy machine
    while stat.exists() and "Z" not in stat.read_text().split(")")[1]:
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_process_whose_end_is_known_is_not_signalled_again(beside, monkeypatch):
    """Its number may be another's by then."""
    waiting = beside("child.told()")
    waiting.end()
    monkeypatch.setattr(child.os, "killpg", lambda *_: pytest.fail("signalled"))
    waiting.kill()
    waiting.end()
