"""A recording labelled from Python: read in another process, which a file may end, or keep."""

import os
import pickle
import signal
import sys
from dataclasses import dataclass, replace

import numpy as np
import pytest

import emocore
from emocore import api
from emocore.errors import MediaError, UserError

FIELDS = {"track": 0, "start_seconds": 0.0, "end_seconds": 1.0, "confidence": 0.5, "runner_up": "sad", "state": "ok"}
SHARES = {"happy": 0.5, "sad": 0.5}
CLIP = api.Prediction(clip="a.wav", probabilities=SHARES, predicted="happy", answered_by=("article",), **FIELDS)


def reading(monkeypatch, tmp_path, program):
    """A model whose process runs this program in the place of the one that reads."""
    lines = ["import os, sys, time", "from emocore import child", "def work():", "    child.told()"]
    lines += ["    with child.answering() as say:", *(f"        {line}" for line in program)]
    (tmp_path / "stand_in.py").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(api, "READER", "stand_in:work")
    return api.Model("RUN", seconds_per_file=0.5)


BEGUN = ["child.told()", "say({'stage': 'decode'})"]
ANSWERING = [*BEGUN, "say({'stage': 'predict'})"]


@pytest.mark.parametrize(
    ("program", "told"), [(BEGUN, r"killed \(decode\): ended 2"), (ANSWERING, r"killed \(predict\): ended 2")]
)
def test_a_file_that_ends_two_processes_is_killed(monkeypatch, tmp_path, program, told):
    program = [*program, "os.kill(os.getpid(), 9)"]
    with reading(monkeypatch, tmp_path, program) as model, pytest.raises(MediaError, match=told):
        model.label("x.wav")


@pytest.mark.parametrize(("program", "told"), [(BEGUN, r"too_slow \(decode"), (ANSWERING, r"too_slow \(predict")])
def test_a_file_that_never_ends_is_too_slow(monkeypatch, tmp_path, program, told):
    program = [*program, "time.sleep(600)"]
    with reading(monkeypatch, tmp_path, program) as model, pytest.raises(MediaError, match=told):
        model.label("x.wav")


def test_what_a_taken_process_says_is_not_unpickled(monkeypatch, tmp_path):
    touch = tmp_path / "touched"
    pickled = pickle.dumps(Touching(str(touch)))
    program = [*BEGUN, f"os.write(say.args[0].fileno(), {pickled!r} + b'\\n')"]
    with reading(monkeypatch, tmp_path, program) as model, pytest.raises(MediaError, match="killed"):
        model.label("x.wav")
    assert not touch.exists()


@pytest.mark.parametrize(
    "said", ["{'answer': []}", "{'answer': 1}", "{'answer': [{'clip': 'a'}]}", "{'fault': ['open']}", "{'odd': 1}"]
)
def test_an_answer_of_another_form_is_a_failure_of_the_file(monkeypatch, tmp_path, said):
    program = [*BEGUN, f"say({said})", "time.sleep(600)"]
    with reading(monkeypatch, tmp_path, program) as model, pytest.raises(MediaError, match="answered something else"):
        model.label("x.wav")


@pytest.mark.parametrize("then", ["time.sleep(600)", "os._exit(0)", "child.told()"])
def test_a_file_that_spoilt_the_process_costs_the_next_one_nothing(monkeypatch, tmp_path, then):
    """The first process answers once, and then hangs, ends, or says nothing; the next answers as it should."""
    fault = "say({'fault': ['open', 'broken', 'in its turn']})"
    mark = tmp_path / "one was here"
    program = [*BEGUN, fault, f"if not os.path.exists({str(mark)!r}):", f"    open({str(mark)!r}, 'w'); {then}"]
    with reading(monkeypatch, tmp_path, program) as model:
        for _ in range(2):
            with pytest.raises(MediaError, match="in its turn"):
                model.label("x.wav")


@dataclass
class Touching:
    """Makes a file as it is unpickled."""

    path: str

    def __reduce__(self):
        return open, (self.path, "w")


def test_a_process_that_dies_before_it_reads_is_no_fault_of_the_file(monkeypatch, tmp_path):
    program = ["print('no such library', file=sys.stderr)", "sys.exit(7)"]
    told = r"exit code 7\): its last words: no such library"
    with reading(monkeypatch, tmp_path, program) as model, pytest.raises(UserError, match=told):
        model.label("x.wav")


def test_a_model_that_cannot_be_loaded_is_one_sentence_and_the_process_goes_on(monkeypatch, tmp_path):
    program = ["child.told()", "say({'refused': 'no model'})", "child.told()", "say({'refused': 'still none'})"]
    with reading(monkeypatch, tmp_path, program) as model:
        for told in ("no model", "still none"):
            with pytest.raises(UserError, match=told):
                model.label("x.wav")


def test_the_process_is_kept_and_ends_with_the_model(monkeypatch, tmp_path):
    program = ["while True:", "    child.told()", "    print('of a library')"]
    program += ["    say({'fault': ['open', 'broken', str(os.getpid())]})"]
    model = reading(monkeypatch, tmp_path, program)
    numbers = set()
    for _ in range(2):
        with pytest.raises(MediaError) as fault:
            model.label(b"x")
        numbers.add(int(fault.value.detail))
    (number,) = numbers
    model.close()
    with pytest.raises(ProcessLookupError):
        os.kill(number, signal.SIG_DFL)


def test_a_model_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(UserError):
        emocore.load_model(tmp_path / "none")


@pytest.mark.parametrize(
    ("samples", "rate"), [([0.0], None), ([0.0], 0), ([2.0], 16_000), ([np.nan], 16_000), ([[0.0]], 16_000)]
)
def test_samples_that_are_no_sound_are_refused(samples, rate):
    with pytest.raises(UserError, match="Samples"):
        api.Model("RUN").label(np.array(samples), sample_rate_hz=rate)


def test_an_answer_has_tracks_and_a_plot_and_a_frame(monkeypatch):
    answer = api.Answer(CLIP, [CLIP])
    assert answer.tracks == {0: [CLIP]}
    (axes,) = answer.plot().axes
    assert [text.get_text() for text in axes.get_yticklabels()] == ["happy", "sad"]
    later = replace(CLIP, start_seconds=3.0, end_seconds=6.0)
    (over_time,) = replace(answer, windows=[CLIP, later], emotions=tuple(CLIP.probabilities)).plot().axes
    assert over_time.get_xlabel() == "seconds" and over_time.get_ylabel() == "probability"
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UserError, match="pip install pandas"):
        answer.to_pandas()
