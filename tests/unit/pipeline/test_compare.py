"""The compare job: its page, its figures, and the folders that it refuses."""

import json

import numpy as np
import pytest

from emocore.errors import UserError
from emocore.labels import EMOTIONS
from emocore.pipeline.compare import compare
from emocore.pipeline.options.compare import CompareOptions
from emocore.schema import PREDICTIONS, rows_to_table
from emocore.storage.files import write_json
from emocore.storage.tables import write_table


def finish(folder, skill, *, actors=12, first=0, unknown=False, protocol="loso"):
    """Write a RUN of 48 clips an actor, so many of them right."""
    rng = np.random.default_rng(int(100 * skill))
    rows = []
    for number in range(first, 48 * actors):
        emotion = EMOTIONS[number % 8]
        told = emotion if rng.random() < skill else EMOTIONS[rng.integers(0, 8)]
        actor = None if unknown else f"{number // 48:02d}"
        rows.append({"clip": f"c{number}", "take": f"c{number}", "content_id": f"{number:064x}", "actor": actor})
        rows[-1] |= {"emotion": emotion, "predicted": told, "fold": "1"}
    folder.mkdir(parents=True)
    write_table(rows_to_table(rows, PREDICTIONS), folder / "predictions.parquet")
    write_json(folder / "metrics.json", {"model": f"m{skill}", "protocol": protocol, "classes": list(EMOTIONS)})
    return str(folder)


@pytest.fixture(autouse=True)
def pages(undrawn):
    """No plot is looked at."""


def options(*runs, out, **more):
    return CompareOptions(runs=runs, out=str(out), **{"draws": 1_000, **more})


def test_two_runs_in_words_and_on_a_page(tmp_path):
    a, b = finish(tmp_path / "a", 0.3), finish(tmp_path / "b", 0.7, first=8, protocol="grouped5")
    lines = compare(options(a, b, out=tmp_path / "out"))
    assert lines[0].startswith(f"A  {a} (m0.3, loso): UAR ")
    assert lines[2].startswith("B − A: UAR +") and ", beyond noise (p = 0.002); accuracy +" in lines[2]
    assert "568 clips of 12 actors were tested by all runs, and are what is compared." in lines
    assert "Clips that are not in all runs are left out: 8 of A." in lines
    assert "Protocols differ (grouped5, loso): so may how much each model was trained on." in lines
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    assert metrics["resampled"] == "actors" and metrics["n"] == 568
    page = (tmp_path / "out/report.html").read_text()
    assert "m0.7 (" in page and "beyond noise" in page and "m0.3 (" in page


def test_the_same_command_is_done_already_and_another_is_refused(tmp_path):
    a, b = finish(tmp_path / "a", 0.3), finish(tmp_path / "b", 0.7)
    first = compare(options(a, b, out=tmp_path / "out"))
    again = compare(options(a, b, out=tmp_path / "out"))
    assert again == [f"{tmp_path}/out was finished already: choose another --out to compare again.", *first]
    with pytest.raises(UserError, match=r"was made with options.seed = 0, this command has 1: choose another --out"):
        compare(options(a, b, out=tmp_path / "out", seed=1))
    write_table(rows_to_table([{"clip": "x", "emotion": "sad"}], PREDICTIONS), tmp_path / "b/predictions.parquet")
    with pytest.raises(UserError, match=r"was made with runs = "):
        compare(options(a, b, out=tmp_path / "out"))


def test_where_nobody_knows_who_speaks_clips_are_drawn_and_it_says_so(tmp_path):
    a, b = finish(tmp_path / "a", 0.3, unknown=True), finish(tmp_path / "b", 0.31, unknown=True)
    lines = compare(options(a, b, out=tmp_path / "out"))
    assert "within noise" in lines[2] and any(line.startswith("Who speaks is not known of all") for line in lines)
    assert any("1,000 draws of clips" in line for line in lines)


def test_more_than_two_are_corrected(tmp_path):
    runs = [finish(tmp_path / str(skill), skill, actors=4) for skill in (0.3, 0.31, 0.7)]
    lines = compare(options(*runs, out=tmp_path / "out"))
    assert [line.split(":")[0] for line in lines[3:6]] == ["B − A", "C − A", "C − B"]
    assert any(line.startswith("Of 3 comparisons some would look large by chance") for line in lines)
    assert any(line.startswith("With 4 actors only, the intervals are uncertain") for line in lines)


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        ({"runs": ("a",)}, "1 RUN given: name two or more folders to compare."),
        ({"runs": ("a", "b", "./a")}, "a is given twice: name different RUN folders."),
        ({"draws": 10}, "--draws must be from 100 to 1,000,000: got 10."),
        ({"seed": -1}, "--seed must be from 0 to"),
    ],
)
def test_a_wrong_option_is_one_sentence(told, sentence):
    with pytest.raises(UserError) as error:
        CompareOptions(**{"runs": ("a", "b"), "out": "o", **told})
    assert str(error.value).startswith(sentence)


def test_what_is_no_finished_run_is_one_sentence(tmp_path):
    a = finish(tmp_path / "a", 0.3)
    (tmp_path / "b").mkdir()
    with pytest.raises(UserError, match=r"/b is no finished RUN: expected a folder that jobs/evaluate.py wrote"):
        compare(options(a, str(tmp_path / "b"), out=tmp_path / "out"))
    c = finish(tmp_path / "c", 0.5)
    write_json(tmp_path / "c/metrics.json", {"model": "x"})
    with pytest.raises(UserError, match=r"metrics.json is not the metrics of a RUN: evaluate the model again"):
        compare(options(a, c, out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()
