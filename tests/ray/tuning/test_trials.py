"""Trials on Ray Tune with settings that score, fail, or end their process as a test wants: each gets one row."""

import os

import optuna
import pytest

from emocore.errors import UserError
from emocore.models.spaces import Choice, Range, draw
from emocore.pipeline.options.search import SearchOptions
from emocore.pipeline.tuning import runner as trial_runner
from emocore.pipeline.tuning.runner import Room
from emocore.pipeline.tuning.search import Journal, search_settings

pytestmark = pytest.mark.usefixtures("cluster")
SPACE = {"C": Choice(tuple(float(i) for i in range(20, 40)))}  # the default, 10.0, is not in it
DEFAULT = 10.0
RANGE = {"C": Range(1.0, 100.0, log=True)}


def made_up(folder, scores, parts=1, fates=None):
    """Candidates whose settings score what `scores` says of their C; each call leaves an x in a file of its own."""

    class MadeUp:  # defined here, so that Ray sends it by value
        def reports(self, setting, in_parts):
            from emocore.pipeline.tuning.objective import Report  # noqa: PLC0415 - in the worker

            c = setting["C"]
            with (folder / f"{c}").open("a") as file:
                file.write("x")
            fate = (fates or {}).get(c)
            if fate == "die" or (fate == "die once" and (folder / f"{c}").stat().st_size == 1):
                os._exit(1)
            if isinstance(fate, Exception):
                raise fate
            score = scores.get(c, 0.5)
            for part in range(1, parts + 1) if in_parts else ():
                yield Report(part / (parts + 1), [score, score])
            yield Report(1.0, [score, score / 2])

    folder.mkdir(exist_ok=True)
    return MadeUp()


@pytest.fixture
def search(tmp_path):
    """Search among SPACE; return the best C and the rows by number; `tries` says how often each C was tried."""

    def call(how, scores, samples=6, space=None, out="S", **options):
        work = made_up(tmp_path / "tries", scores, **options)
        told = SearchOptions(search=how, samples=samples, folds=2)
        room = Room({"CPU": 1})
        best, rows = search_settings(work, room, "svc", space or SPACE, told, 0, tmp_path / out, "search")
        assert not (tmp_path / out / "tune").exists()
        numbers = [row["number"] for row in rows]
        assert len(numbers) == len(set(numbers))
        return best["C"], [row for _, row in sorted(zip(numbers, rows, strict=True), key=lambda pair: pair[0])]

    return call


@pytest.fixture
def tries(tmp_path):
    return lambda: {float(path.name): path.stat().st_size for path in (tmp_path / "tries").iterdir()}


def drawn(samples, space=None):
    """The values of C in the order of their numbers."""
    return [DEFAULT, *(setting["C"] for setting in draw(space or SPACE, samples, 0))][:samples]


def values(rows):
    return [row["setting"]["C"] for row in rows]


def test_every_setting_is_scored_once_the_defaults_first_and_of_equals_the_first_is_best(search, tries):
    order = drawn(12)
    best, rows = search("random", {order[5]: 1.0, order[8]: 1.0}, samples=12)
    assert best == order[5] and values(rows) == order and tries() == dict.fromkeys(order, 1)
    assert [row["number"] for row in rows] == list(range(12))
    assert [row["score"] for row in rows] == [0.75 if i in (5, 8) else 0.375 for i in range(12)]  # the mean
    assert all((row["state"], row["share"], row["reason"]) == ("ok", 1.0, None) for row in rows)
    assert all(0 <= row["seconds"] < 60 and 0 < row["finished_seconds"] < 60 for row in rows)


def test_a_setting_that_is_refused_is_a_row_and_the_search_goes_on(search, tries):
    order = drawn(6)
    fates = {order[0]: ValueError("C must be\n  less"), order[2]: MemoryError(), order[4]: UserError("No.")}
    best, rows = search("random", {order[3]: 0.9}, fates=fates)
    assert best == order[3] and tries() == dict.fromkeys(order, 1)
    assert [row["state"] for row in rows] == ["failed", "ok", "failed", "ok", "failed", "ok"]
    assert [row["reason"] for row in rows] == [
        *("ValueError: C must be", None, "MemoryError: ", None, "UserError: No.", None)
    ]
    assert [(row["score"], row["scores"], row["share"]) for row in rows if row["state"] == "failed"] == 3 * [
        (None, [], 0.0)
    ]


def test_where_all_are_refused_one_reason_is_told(search):
    with pytest.raises(UserError) as error:
        search("random", {}, samples=3, fates=dict.fromkeys(drawn(3), ValueError("gamma must be above 0")))
    assert str(error.value) == (
        "None of the 3 settings could be trained (ValueError: gamma must be above 0): give another --space."
    )


def test_settings_whose_process_dies_fail_and_the_others_have_one_row(search, tries, monkeypatch):
    """With 12 settings a trial has two: those beside a deadly one are scored by another."""
    monkeypatch.setattr(trial_runner, "RETRIES", 1)
    order = drawn(12)
    fates = {order[1]: "die", order[7]: "die once"}
    best, rows = search("random", {order[2]: 0.9}, samples=12, fates=fates)
    assert best == order[2] and values(rows) == order
    assert [row["state"] for row in rows] == ["ok", "failed", *10 * ["ok"]]
    assert rows[1]["reason"] == "its process died each time: see where memory runs out"
    assert tries() == dict.fromkeys(order, 1) | {order[0]: 2, order[1]: 3, order[7]: 2}


def test_a_proposed_setting_whose_process_dies_is_a_row_too(search, monkeypatch):
    monkeypatch.setattr(trial_runner, "RETRIES", 0)
    best, rows = search("bayes", {}, samples=2, fates=dict.fromkeys(SPACE["C"].values, "die"))
    assert best == DEFAULT and [(row["number"], row["state"]) for row in rows] == [(0, "ok"), (1, "failed")]
    assert rows[1]["reason"] == "its process died each time: see where memory runs out"
    assert rows[1]["setting"]["C"] in SPACE["C"].values


def test_asha_stops_poor_settings_but_not_the_defaults(search):
    """The defaults are the worst; each that comes later is poorer than those before it, and one is refused."""
    order = drawn(10)
    scores = {c: 0.9 - 0.05 * i for i, c in enumerate(order)} | {DEFAULT: 0.01}
    best, rows = search("asha", scores, samples=10, parts=9, fates={order[6]: ValueError("no")})
    assert values(rows) == order and best == order[1]
    states = [row["state"] for row in rows]
    assert states[:2] == ["ok", "ok"] and states.count("stopped") >= 4
    assert (states[6], rows[6]["reason"]) == ("failed", "ValueError: no")
    for row in rows[:6] + rows[7:]:
        assert (row["share"] == 1) == (row["state"] == "ok") and row["share"] in (0.1, 0.3, 1.0)
        assert len(row["scores"]) == 2 and row["reason"] is None


def test_proposals_are_settings_of_the_space_beside_the_defaults(search):
    optuna.logging._reset_library_root_logger()  # as in a new process
    best, rows = search("bayes", {DEFAULT: 0.1}, samples=8, parts=4)
    assert optuna.logging.get_verbosity() == optuna.logging.WARNING  # else it writes into the job's log
    assert [row["number"] for row in rows] == list(range(8))
    assert values(rows)[0] == DEFAULT and set(values(rows)[1:]) <= set(SPACE["C"].values)
    assert rows[0]["state"] == "ok" and {row["state"] for row in rows} <= {"ok", "stopped"}
    assert next(row for row in rows if row["setting"]["C"] == best)["state"] == "ok"


def test_defaults_outside_of_a_small_space_do_not_use_it_up(search):
    _, rows = search("bayes", {}, samples=5, space={"C": Choice((20.0,))})
    assert values(rows) == [DEFAULT, 20.0]


def test_choices_keep_their_types_on_the_way_through_optuna(search, tmp_path):
    """The default, 10.0, is among them, written otherwise; texts that look like numbers stay texts."""
    choices = ("10", 10, [10, 10])
    space = {"C": Choice(choices)}

    class Typed:
        def reports(self, setting, in_parts):
            from emocore.pipeline.tuning.objective import Report  # noqa: PLC0415 - in the worker

            yield Report(1.0, [0.1 * len(repr(setting["C"])) + 0.0 * in_parts])

    told = SearchOptions(search="bayes", samples=6, folds=2)
    _, rows = search_settings(Typed(), Room({"CPU": 1}), "svc", space, told, 0, tmp_path / "S", "search")
    assert len(rows) == 3 and repr(rows[0]["setting"]["C"]) == "10.0"
    for row in rows[1:]:
        written = repr(row["setting"]["C"])
        assert written in map(repr, choices) and row["score"] == pytest.approx(0.1 * len(written))


@pytest.mark.parametrize(("how", "rows", "samples"), [("random+grid", 4, 3), ("bayes", 3, 6), ("asha", 4, 8)])
def test_what_was_cut_off_goes_on_where_it_was(how, rows, samples, search, tries, interrupt, tmp_path):
    order = drawn(samples, RANGE)
    scores = {c: 0.9 - 0.05 * i for i, c in enumerate(order)}

    def again():
        return search(how, scores, samples=samples, space=RANGE, parts=9)

    interrupt(again, rows)
    before = Journal(tmp_path / "S" / "trials.jsonl").rows
    assert len(before) == rows
    best, found = again()
    assert all(row in found for row in before)
    assert all(tries()[row["setting"]["C"]] == 1 for row in before)
    assert best == DEFAULT and again() == (best, found)  # nothing is left to do
    assert len(found) == samples + 2 * (how == "random+grid")
    if how != "bayes":
        assert values(found)[:samples] == order


def test_a_grid_around_the_best_follows_the_draws(search, tries):
    order = drawn(3, RANGE)
    best, rows = search("random+grid", {order[2]: 0.9}, samples=3, space=RANGE)
    assert values(rows)[:3] == order and [row["number"] for row in rows] == [0, 1, 2, 3, 4]
    # A sixth of two magnitudes to either side, unless the range ends there.
    around = [max(1.0, order[2] / 10 ** (1 / 3)), min(100.0, order[2] * 10 ** (1 / 3))]
    assert values(rows)[3:] == pytest.approx(around, rel=1e-3) and best == order[2]
    assert tries() == dict.fromkeys(values(rows), 1)
