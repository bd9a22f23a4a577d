"""How a search is kept on disk, dealt out to processes, and told to Optuna."""

import errno
import json
import os
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emocore.errors import OutputError
from emocore.models.parameters import defaults_of
from emocore.models.spaces import Choice, Range, draw
from emocore.pipeline.tuning import trial as trials
from emocore.pipeline.tuning.objective import Report
from emocore.pipeline.tuning.runner import _domain, _encode, _Rows, batch_sizes, is_inside
from emocore.pipeline.tuning.search import Journal, trials_table
from emocore.pipeline.tuning.trial import decode, failed_row, is_over
from emocore.schema import TRIALS

SPACE = {
    "hidden_layer_sizes": Choice(([50], [100, 50])),
    "batch_size": Choice(("auto", 32)),
    "early_stopping": Choice((True, False)),
    "alpha": Range(1e-3, 30.0, log=True),
    "momentum": Range(0.0, 1.0),
    "max_iter": Range(10, 40, log=True, whole=True),
    "tol": Range(0.01, 0.01),
}


def row(number, score=0.5, **other):
    whole = {"scores": [score], "share": 1.0, "state": "ok", "reason": None, "seconds": 1.0}
    return {"number": number, "setting": {"C": 1.0 + number}, "score": score, **whole, **other}


# The journal


def test_what_a_search_found_survives_it(tmp_path):
    journal = Journal(tmp_path / "deep" / "trials.jsonl")
    rows = [row(0), row(2, 0.25), failed_row({"number": 1, "setting": {"C": [1, "é\n"]}}, "ValueError: C", 2.0)]
    for one in rows:
        journal.keep(one)
    again = Journal(tmp_path / "deep" / "trials.jsonl")
    assert again.rows == journal.rows and [again.has(i) for i in range(4)] == [True, True, True, False]
    assert [{key: value for key, value in r.items() if key != "finished_seconds"} for r in again.rows] == rows


@pytest.mark.parametrize("cut", ["{", '{"number": 3, "setting": {"C": 4', json.dumps(row(3))])
def test_a_line_that_was_cut_off_is_forgotten_and_those_behind_it_are_whole(cut, tmp_path):
    path = tmp_path / "trials.jsonl"
    Journal(path).keep(row(0))
    Journal(path).keep(row(1))
    with path.open("a") as file:
        file.write(cut)
    journal = Journal(path)
    assert [kept["number"] for kept in journal.rows] == [0, 1] and not journal.has(3)
    journal.keep(row(3, 0.75))
    assert [(kept["number"], kept["score"]) for kept in Journal(path).rows] == [(0, 0.5), (1, 0.5), (3, 0.75)]


def test_the_clock_goes_on_where_it_stopped(tmp_path):
    path = tmp_path / "trials.jsonl"
    path.write_text(json.dumps({**row(0), "finished_seconds": 500.0}) + "\n")
    journal = Journal(path)
    journal.keep(row(1))
    assert 500 <= journal.rows[1]["finished_seconds"] < 560


def test_a_new_journal_is_empty(tmp_path):
    (tmp_path / "trials.jsonl").touch()
    assert Journal(tmp_path / "trials.jsonl").rows == Journal(tmp_path / "other.jsonl").rows == []


def test_a_table_has_the_order_of_drawing():
    failed = failed_row({"number": 1, "setting": {"gamma": "scale"}}, "ValueError: no", 0.5)
    table = trials_table("a/b", [row(2), row(0, finished_seconds=9.0), failed])
    assert table.schema == TRIALS and table["number"].to_pylist() == [0, 1, 2]
    assert table["fold"].to_pylist() == ["a/b"] * 3 and table["finished_seconds"].to_pylist() == [9.0, None, None]
    assert table["score"].to_pylist() == [0.5, None, 0.5] and table["state"].to_pylist() == ["ok", "failed", "ok"]
    assert json.loads(table["setting"][1].as_py()) == {"gamma": "scale"}


# Which are over


def test_a_setting_is_over_when_it_is_whole_or_failed():
    assert is_over(row(0)) and is_over(failed_row({"number": 0, "setting": {}}, "no", 0.0))
    assert not is_over(row(0, share=0.99))


@given(n=st.integers(0, 500), slots=st.integers(1, 64))
def test_batches_hold_every_setting_once_and_become_smaller(n, slots):
    sizes = batch_sizes(n, slots)
    assert sum(sizes) == n and sizes == sorted(sizes, reverse=True)
    assert all(size >= 1 for size in sizes) and sizes[-slots:] == [1] * min(n, slots)
    assert not n or sizes[0] <= n / (4 * slots) + 1  # the first process to begin has a quarter of its share at most


# What Optuna is told


def test_a_setting_comes_back_from_optuna_as_it_went():
    for setting in draw(SPACE, 100, seed=1):
        assert decode(_encode(SPACE, setting)) == setting and is_inside(SPACE, setting)
        assert {type(value) for value in _encode(SPACE, setting).values()} <= {str, int, float}


def test_optuna_proposes_whatis_inside():
    for _ in range(50):
        setting = decode({name: _domain(values).sample() for name, values in SPACE.items()})
        assert is_inside(SPACE, setting) and isinstance(setting["max_iter"], int)


def test_both_ends_of_a_range_of_whole_numbers_are_proposed():
    for values in (Range(2, 4, whole=True), Range(2, 4, log=True, whole=True)):
        assert {_domain(values).sample() for _ in range(300)} == {2, 3, 4}


@pytest.mark.parametrize(
    "other",
    [
        {"alpha": "scale"},
        {"alpha": None},
        {"alpha": 31.0},
        {"momentum": -0.1},
        {"max_iter": 9},
        {"hidden_layer_sizes": [50, 50]},
        {"hidden_layer_sizes": 50},
        {"batch_size": "Auto"},
        {"another": 1},
    ],
)
def test_what_lies_outside_of_the_space_is_not_told(other):
    (setting,) = draw(SPACE, 1, seed=0)
    assert not is_inside(SPACE, {**setting, **other})
    assert not is_inside(SPACE, {name: value for name, value in setting.items() if name not in other}) or (
        "another" in other
    )


@pytest.mark.parametrize(
    ("model", "space"),
    [
        ("svc", {"C": Choice((1, 10, 100))}),
        ("xgboost", {"gamma": Choice((0, 1)), "subsample": Choice((0.5, 1))}),
        ("svc", {"C": Choice((1.0, 10.0)), "shrinking": Choice((1, 0))}),
    ],
)
def test_defaults_that_are_told_are_among_the_choices_that_are_told(model, space):
    """A user writes C = [1, 10, 100], and our default is 10.0."""
    defaults = defaults_of(model, space)
    if is_inside(space, defaults):
        for name, value in _encode(space, defaults).items():
            assert value in _domain(space[name]).categories


def test_seconds_are_those_of_computing_not_of_waiting(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(trials.time, "monotonic", lambda: now[0])

    def reports():
        for _ in range(2):
            now[0] += 3
            yield Report(0.5, [])

    clock = trials._Clock()
    for _ in clock.during(reports()):
        now[0] += 100  # the driver thinks
    assert clock.seconds == 6


# A disk that is full


class NoRoom:
    """Candidates for which the disk takes no more at the second setting."""

    def reports(self, setting, in_parts):  # noqa: ARG002
        if setting["C"] == 2:
            raise OutputError("The disk of /out is full: free some space.")
        yield Report(1.0, [0.5])


def told(rows, result):
    rows.on_trial_result(0, [], SimpleNamespace(trial_id="t"), result)


def test_a_full_disk_is_no_setting_s_failure(tmp_path):
    journal = Journal(tmp_path / "trials.jsonl")
    trial = trials.Trial.__new__(trials.Trial)
    trial.setup({"batch": [{"number": n, "setting": {"C": n}} for n in (1, 2, 3)]}, NoRoom(), in_parts=True)
    rows = _Rows(journal.keep)
    told(rows, trial.step())
    rows.on_step_end(0, [])
    told(rows, trial.step())
    with pytest.raises(OutputError, match="The disk of /out is full"):
        rows.on_step_end(0, [])
    assert [row["number"] for row in Journal(tmp_path / "trials.jsonl").rows] == [1]


def test_a_row_that_finds_no_room_ends_the_search(monkeypatch, tmp_path):
    monkeypatch.setattr("os.fsync", lambda _: no_room())
    rows = _Rows(Journal(tmp_path / "trials.jsonl").keep)
    told(rows, {"rows": [row(0)]})
    with pytest.raises(OutputError, match=rf"^The disk of {tmp_path} is full"):
        rows.check()


def no_room():
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
