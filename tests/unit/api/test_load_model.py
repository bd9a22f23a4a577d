"""A recording labelled from Python: read in another process, which a file may end, or keep."""

import os
import signal
import sys

import numpy as np
import pytest

import emocore
from emocore import api
from emocore.errors import MediaError, UserError

FIELDS = {"track": 0, "start_seconds": 0.0, "end_seconds": 1.0, "confidence": 0.5, "runner_up": "sad", "state": "ok"}
SHARES = {"happy": 0.5, "sad": 0.5}
CLIP = api.Prediction(clip="a.wav", probabilities=SHARES, predicted="happy", answered_by=("article",), **FIELDS)


def reading(monkeypatch, program):
    """A model whose process runs this program in the place of the one that reads."""
    head = "import sys, pickle; sys.path[:] = pickle.load(sys.stdin.buffer); pickle.load(sys.stdin.buffer); "
    head += "say = lambda what: (pickle.dump(what, sys.stdout.buffer), sys.stdout.flush()); "
    monkeypatch.setattr(api, "_COMMAND", head + program)
    return api.Model("RUN", seconds_per_file=0.5)


def test_a_file_that_ends_two_processes_is_killed(monkeypatch):
    program = "pickle.load(sys.stdin.buffer); say('ready'); import os; os.kill(os.getpid(), 9)"
    with reading(monkeypatch, program) as model, pytest.raises(MediaError, match=r"killed \(decode\): ended 2"):
        model.label("x.wav")


def test_a_file_that_never_ends_is_too_slow(monkeypatch):
    program = "pickle.load(sys.stdin.buffer); say('ready'); import time; time.sleep(600)"
    with reading(monkeypatch, program) as model, pytest.raises(MediaError, match="too_slow"):
        model.label("x.wav")


def test_a_process_that_dies_before_it_reads_is_no_fault_of_the_file(monkeypatch):
    with reading(monkeypatch, "sys.exit(7)") as model, pytest.raises(UserError, match=r"exit code 7"):
        model.label("x.wav")


def test_the_process_is_kept_and_ends_with_the_model(monkeypatch):
    answer = "say('ready'); say(('fault', 'open', 'broken', str(os.getpid())))"
    program = f"import os\nwhile True: pickle.load(sys.stdin.buffer); {answer}"
    model = reading(monkeypatch, program)
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
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UserError, match="pip install pandas"):
        answer.to_pandas()
