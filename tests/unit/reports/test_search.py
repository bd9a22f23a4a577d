import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from emocore.evaluation.metrics import summarize
from emocore.labels import EMOTIONS
from emocore.reports.pages import render_page, render_run
from emocore.reports.search import best_trial, kernel_table, read_trials, search_view
from emocore.reports.search_plots import value_text
from emocore.reports.tables import ABSENT
from emocore.schema import PREDICTIONS, PROBABILITIES, TRIALS, rows_to_table

EVIL = "<script>alert(1)</script>\n🎙 $x_1$ --> &amp; \u202e\" onload='x"
SPACE = {"C": "0.1 to 1000, log", "kernel": "rbf or linear"}
SCALES = {"C": "log", "kernel": "choice"}
DEFAULTS = {"C": 10.0, "kernel": "rbf"}
SEARCH = {"search": "random", "samples": 4, "folds": 2, "model": "svc", "space": {"C": {"low": 0.1}}}


def row(number, score, state="ok", fold="all", **setting):
    """A trial of two inner folds, 2 points apart, that took 10 seconds and ended 5 after the one before."""
    scores = [] if score is None else [score - 0.01, score + 0.01]
    return {
        "fold": fold,
        "number": number,
        "setting": json.dumps(setting),
        "score": score,
        "scores": scores,
        "share": 1.0 if state == "ok" else 0.25,
        "state": state,
        "reason": "MemoryError: 8 GB" if state == "failed" else None,
        "seconds": 10.0,
        "finished_seconds": 5.0 * (number + 1),
    }


ONE = [
    row(0, 0.50, C=10.0, kernel="rbf"),
    row(1, 0.56, C=25.0, kernel="rbf"),
    row(2, 0.54, C=1.0, kernel="linear"),
    row(3, 0.60, "stopped", C=300.0, kernel="linear"),
    row(4, None, "failed", C=0.2, kernel="rbf"),
]
NESTED = [
    dict(trial, fold=fold, score=trial["score"] and trial["score"] + 0.01 * i)
    for i, fold in enumerate(["2", "10", "1"])
    for trial in ONE
]


def view(rows, space=SPACE, scales=SCALES, defaults=DEFAULTS, search=SEARCH):
    return search_view(rows_to_table(rows, TRIALS), space, scales, defaults, search)


def section(rows, **more):
    return render_page("report_search.html", {"search": view(rows, **more)})


class Page(HTMLParser):
    """The words of a page, whose tags must nest and whose ids must differ."""

    def __init__(self, html):
        super().__init__()
        self.open, self.ids, self.text, self.names = [], [], [], set()
        self.feed(html.replace("<wbr>", ""))
        self.close()
        assert self.open == [] and len(self.ids) == len(set(self.ids))

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.handle_startendtag(tag, attrs)

    def handle_startendtag(self, tag, attrs):
        self.names |= {tag, *(name for name, _ in attrs)}
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def words(html):
    return " ".join(" ".join(Page(html).text).split())


def run():
    """The metrics and PREDICTIONS of 16 clips."""
    shares = np.random.default_rng(0).dirichlet(np.ones(8), 16)
    order = np.argsort(-shares, axis=1)
    rows = [
        {"clip": f"{i}", "emotion": EMOTIONS[i % 8], "predicted": EMOTIONS[order[i, 0]], "confidence": shares[i].max()}
        | {"runner_up": EMOTIONS[order[i, 1]], **dict(zip(PROBABILITIES, shares[i], strict=True))}
        for i in range(16)
    ]
    metrics = summarize(np.arange(16) % 8, shares, protocol="luna5", model="svc")
    return {"model": "svc"}, metrics, rows_to_table(rows, PREDICTIONS)


@pytest.fixture(scope="module")
def one():
    return section(ONE)


@pytest.fixture(scope="module")
def nested():
    return section(NESTED)


def test_the_section_is_all_that_a_search_adds_to_a_run(one):
    found = render_run(*run(), search=view(ONE))
    assert one.strip() in found
    assert found.replace(one.strip(), "").split() == render_run(*run(), search=None).split()


def test_the_section_is_well_formed_and_fetches_nothing(one, nested):
    for html in (one, nested):
        assert not Page(html).names & {"script", "link", "img", "iframe", "object", "image", "src"}
        targets = re.findall(r'url\(#([^)]*)\)|href="#([^"]*)"', html)
        assert {a or b for a, b in targets} <= set(Page(html).ids)
        assert html.count("<svg") == html.count('role="img"') == 2


def test_same_trials_in_any_order_give_the_same_bytes(one, nested):
    assert section(ONE[::-1]) == one
    assert section(NESTED[::-1]) == nested


def test_the_best_is_whole_and_the_first_of_equals():
    (trials,) = read_trials(rows_to_table([*ONE, row(5, 0.56, C=2.0)], TRIALS)).values()
    assert best_trial(trials).number == 1
    assert best_trial(trials[3:5]) is None


def test_the_best_stands_beside_the_defaults(one):
    found = words(one)
    assert "C 10 25 × 2.5 kernel rbf rbf same" in found
    assert "UAR, as the search scored 50.0 % 56.0 % +6.0 points" in found
    assert "the highest of 3 noisy scores, so its score is optimistic" in found
    assert "Random search over 2 parameters of svc. A setting's score is its mean UAR over 2 inner folds." in found


def test_linear_scales_say_a_difference_and_words_say_other():
    rows = [row(0, 0.5, a=0.5, b=None, c=0, d=1), row(1, 0.6, a=0.75, b=[100], c=2, e=True)]
    scales = {"a": "linear", "b": "choice", "c": "log"}
    table = view(rows, space={}, scales=scales, defaults={})["distance_table"]
    assert [" ".join(r[1:]) for r in table.rows[:3]] == ["0.5 0.75 +0.25", "None [100] other", "0 2 +2"]
    assert [" ".join(r[1:]) for r in table.rows[3:5]] == [f"1 not set {ABSENT}", f"not set True {ABSENT}"]


def test_the_best_settings_come_with_their_folds_and_seconds(one):
    head = "The 3 best settings trial UAR by inner fold, % seconds C kernel"
    assert f"{head} 1 56.0 % 55.0, 57.0 10.0 25 rbf 2 54.0 %" in words(one)
    many = view([row(i, 0.3 + i / 100, C=float(i + 1)) for i in range(12)])["best_table"]
    assert [r[0] for r in many.rows] == [str(i) for i in range(11, 1, -1)]


def test_kernels_are_compared_on_whole_trials_where_both_were_scored(one):
    assert "all 56.0 % 54.0 % +2.0 53.0 % 54.0 %" in words(one)
    without = rows_to_table([ONE[0], ONE[1], ONE[3]], TRIALS)
    assert kernel_table(read_trials(without), DEFAULTS) is None


def test_trials_are_counted_with_what_they_cost(one):
    found = words(one)
    assert "Settings tried 5 3 trained whole, 1 stopped early (after 25.0 % of the training), 1 failed" in found
    assert "Computing 50.0 s in 25.0 s by the clock" in found
    assert "Failed trials by reason reason trials MemoryError: 8 GB 1" in found


def test_nested_searches_have_a_row_a_fold_in_order(nested):
    found = view(NESTED)
    for name in ("kernel_table", "best_table", "count_table"):
        assert [r[0] for r in found[name].rows] == ["1", "2", "10"]
    assert found["distance_table"].rows[0] == ["defaults", "10", "rbf", "", "", ""]
    assert found["distance_table"].rows[1][:3] == ["1", "25\xa0(×\xa02.5)", "rbf"]
    assert found["count_table"].rows[0] == ["1", "5", "3", "1", "1", "50"]
    told = words(nested)
    assert "Best score, mean of the folds 57.0 % UAR; the defaults 51.0 %, +6.0 points" in told
    assert "Each of the 3 folds has a search of its own" in told


def test_users_words_are_escaped():
    rows = [dict(row(i, 0.5, **{EVIL: [EVIL, 1.0][i]}), fold=EVIL) for i in range(2)]
    rows.append(dict(row(2, None, "failed"), fold=EVIL, reason=EVIL))
    html = section(rows, space={EVIL: EVIL}, scales={}, defaults={EVIL: EVIL}, search={"search": EVIL, "model": EVIL})
    assert "\u202e" not in html
    assert r"<script>alert(1)</script>\n🎙 $x_1$ --> &amp; \u202e" in words(html)
    assert "script" not in Page(html).names and "onload" not in Page(html).names


def axis_words(html):
    return [text for text in re.findall(r"<text[^>]*>([^<]*)</text>", html) if "%" not in text]


def test_what_is_no_number_on_an_axis_has_a_place_before_the_numbers():
    rows = [row(0, 0.5, gamma="scale"), row(1, 0.6, gamma=0.01), row(2, 0.55, gamma=1.0), row(3, 0.5, gamma=0)]
    found = axis_words(section(rows, space={"gamma": ""}, scales={"gamma": "log"}, defaults={"gamma": "scale"}))
    assert found[:5] == ["0", "scale", "0.01", "0.1", "1"]


def test_a_parameter_of_very_many_choices_has_few_ticks():
    rows = [row(i, 0.5, layers=[i, 2 * i]) for i in range(60)]
    html = section(rows, space={"layers": ""}, scales={"layers": "choice"}, defaults={})
    assert sum(text.startswith("[") for text in axis_words(html)) <= 10


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [row(0, None, "failed", C=1.0), row(1, None, "failed", C=2.0)],
        [row(0, 0.5, "stopped", C=1.0)],
        [row(0, 0.5, C=1.0)],
        [row(0, 0.5), row(1, 0.6)],
        [row(0, 0.5, C=1.0), row(1, 0.6, gamma=2), row(2, 0.4, kernel=None)],
        [row(0, 1.0, C=[]), row(1, 1.0, C=True), row(2, 1.0, C={"a": 1}), row(3, 1.0, C=1e-300), row(4, 0.0, C=1e99)],
        [row(0, 0.5, C=1000.0), row(1, 0.5, C=float(np.nextafter(1000, 2000)))],
        [row(0, float("nan"), C=1.0), row(1, 0.5, C=float("nan")), row(2, 0.6, C=float("inf"))],
        [dict(row(0, 0.5, C=1.0), scores=None, share=None, seconds=None, finished_seconds=None, fold=None)],
        [dict(row(1, 0.5, C=1.0), scores=[None, float("nan")], setting=None)],
        [*NESTED[:5], row(0, None, "failed", fold="3", C=1.0)],
    ],
)
def test_a_search_that_went_otherwise_has_a_page_too(rows):
    html = section(rows)
    found = words(html)
    assert not re.search(r"\b(nan|inf)\b", found.lower())
    assert not re.search(r"\b(nan|inf)\b", " ".join(re.findall(r"<svg.*?</svg>", html, re.DOTALL)).lower())
    whole = any(r["state"] == "ok" and 0 <= r["score"] <= 1 for r in rows)
    assert ("No setting was trained to the end" in found) != whole


def test_dots_are_thinned_but_the_best_is_drawn():
    rows = [row(i, 0.5, C=float(i + 1)) for i in range(700)]
    rows[1]["score"] = 0.9
    found = view(rows)
    assert found["n_dots_left_out"] == 400
    assert len(found["parameter_plot"]) < 100_000 and ">best<" in found["parameter_plot"]


def test_values_are_short_and_tell_apart():
    given = [0.123456, 1e-7, 100, [100, 50], [], None, True, "scale", float("nan")]
    texts = ["0.1235", "1e-07", "100", "[100, 50]", "[]", "None", "True", "scale", ABSENT]
    assert list(map(value_text, given)) == texts
