import re
from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pytest

from emocore.corpora.ravdess import RAVDESS
from emocore.evaluation.metrics import summarize
from emocore.labels import EMOTIONS
from emocore.reports.labels import count_labels, summarize_timings
from emocore.reports.pages import PROTOCOLS, render_run
from emocore.reports.pages import render_labels as render_counts
from emocore.reports.tables import ABSENT, mistake_table, plain
from emocore.schema import FAILURES, LABELS, PREDICTIONS, PROBABILITIES, rows_to_table

EVIL = "<script>alert(1)</script>\n🎙 \u202egnp.wav\" onload='x"
OF_RAVDESS = {"licences": [RAVDESS.licence], "people": RAVDESS.people}
CONFIG = {"model": "svc", "corpus": "ravdess", "seed": 0, "versions": {"emocore": "0.1.0"}}
CONFIG |= {"protocol_words": RAVDESS.protocols["luna5"].words}
VOID = {"meta", "br", "link", "img"}


class Page(HTMLParser):
    """Collects the tags of a page and checks that they nest."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.open, self.ids, self.text = [], [], [], []
        self.feed(html.replace("<wbr>", ""))
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text.append(data)

    def words(self):
        return " ".join(" ".join(self.text).split())


def render_labels(config, summary, parts, failures, timings=()):
    parts = [parts] if isinstance(parts, pa.Table) else parts
    return render_counts(config, summary, count_labels(parts), failures, summarize_timings(timings))


def run(n=160, actors=4, labelled=True, **columns):
    """A PREDICTIONS table of noisy answers, and its metrics."""
    rng = np.random.default_rng(0)
    truth = np.arange(n) % 8
    shares = rng.dirichlet(np.ones(8), n) * 0.6 + np.eye(8)[np.where(rng.random(n) < 0.5, truth, truth[::-1])] * 0.4
    order = np.argsort(-shares, axis=1)
    rows = [
        {
            "clip": f"clip-{i}",
            "actor": f"{i // 8 % actors + 1:02d}",
            "gender": ["female", "male"][i // 8 % actors % 2],
            "intensity": "normal",
            "emotion": EMOTIONS[truth[i]] if labelled else None,
            "predicted": EMOTIONS[order[i, 0]],
            "confidence": shares[i, order[i, 0]],
            "runner_up": EMOTIONS[order[i, 1]],
            "fold": f"fold {i // 8 % actors % 2 + 1}",
            **dict(zip(PROBABILITIES, shares[i], strict=True)),
        }
        | columns
        for i in range(n)
    ]
    known = truth if labelled else np.full(n, -1)
    names, folds = [row["actor"] for row in rows], [row["fold"] for row in rows]
    metrics = summarize(known, shares, protocol="luna5", model="svc", actors=names, folds=folds, seconds=1.0)
    return metrics, rows_to_table(rows, PREDICTIONS)


@pytest.fixture(scope="module")
def page():
    return render_run(CONFIG, *run())


def labels(parts=2, **columns):
    rows = [
        {
            "clip": f"{i}",
            "path": f"/a/{i}",
            "duration_seconds": 3.0,
            "predicted": EMOTIONS[i % 3],
            "confidence": 0.7,
        }
        | {"state": "ok"}
        | columns
        for i in range(10)
    ]
    silent = {
        "clip": "s",
        "path": "/a/s",
        "duration_seconds": None,
        "state": "silent",
        "duplicate_of": "/a/0",
    }
    return [rows_to_table(rows, LABELS)] * (parts - 1) + [rows_to_table([*rows, silent], LABELS)]


def failures(path="/a/broken.wav"):
    row = {"path": path, "stage": "open", "detail": path, "attempts": 1}
    return rows_to_table([row | {"reason": r} for r in ["broken", "empty_file", "broken"]], FAILURES)


def test_headline_numbers_are_those_of_the_metrics(page):
    metrics, _ = run()
    words = Page(page).words()
    assert f"{100 * metrics['uar']:.1f} %" in words
    low, high = metrics["ci95_uar"]
    assert f"{100 * low:.1f} to {100 * high:.1f} %" in words
    assert "resampling actors" in words
    assert "with 4 actors only" in words
    assert "Speaker-independent: no actor stands on both" in words


def test_page_is_well_formed_and_fetches_nothing(page):
    parsed = Page(page)
    for tag, attributes in parsed.tags:
        assert tag not in {"script", "link", "img", "iframe", "object", "image", "base"}
        assert "src" not in attributes
        for name in ("href", "xlink:href"):
            assert attributes.get(name, "#").startswith("#")
    assert "@import" not in page
    assert all(target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", page))
    assert len(parsed.ids) == len(set(parsed.ids))


def test_every_reference_inside_a_plot_points_to_its_own_page(page):
    targets = set(re.findall(r"url\(#([^)]*)\)", page)) | set(re.findall(r'href="#([^"]*)"', page))
    assert targets
    assert targets <= set(Page(page).ids)


def test_page_is_accessible_on_phones_and_to_readers(page):
    tags = Page(page).tags
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in [a for t, a in tags if t == "meta"]
    assert all(a.get("scope") in {"col", "row"} for t, a in tags if t == "th")
    assert sum(t == "svg" for t, _ in tags) == sum(bool(a.get("aria-label")) for t, a in tags if a.get("role") == "img")
    scrolled = re.findall(r'<div class="scroll[^>]*>\s*<table>', page)
    assert len(scrolled) == sum(t == "table" for t, _ in tags)


def test_same_input_gives_the_same_bytes(page):
    assert render_run(CONFIG, *run()) == page


def test_names_of_clips_are_escaped():
    html = render_run(CONFIG | {"note": EVIL}, *run(n=80, clip=EVIL, actor=EVIL, fold=EVIL, gender=EVIL))
    assert "<script" not in html
    assert "onload='" not in html
    words = Page(html).words()
    assert r"<script>alert(1)</script>\n🎙 \u202egnp.wav" in words
    html = render_labels(CONFIG, {"note": EVIL}, labels(state=EVIL), failures(EVIL))
    assert "<script" not in html
    Page(html)


def test_nothing_prints_nan():
    one = render_run({**CONFIG, "limit": float("nan"), "none": None}, *run(n=1))
    none = render_labels(CONFIG, {"x": float("nan")}, labels(duration_seconds=float("nan")), FAILURES.empty_table())
    for text in (one, none):
        words = Page(text).words().lower()
        assert not re.search(r"\b(nan|none|inf)\b", words.replace(f"none {ABSENT}", ""))
        assert ABSENT in words


def test_unlabelled_clips_show_distributions_only():
    words = Page(render_run({"model": "svc"}, *run(labelled=False))).words()
    assert "No labelled clip" in words
    assert "Predicted emotions" in words
    assert "Confusion" not in words
    assert "UAR" not in words


@pytest.mark.parametrize(
    ("config", "warned", "licence", "people"),
    [
        (OF_RAVDESS, False, True, True),
        (OF_RAVDESS | {"people": ""}, False, True, False),
        (OF_RAVDESS | {"synthetic": True}, True, True, False),
        ({}, False, False, False),
    ],
)
def test_notes_follow_the_corpus(config, warned, licence, people):
    html = render_run(config, *run(n=16))
    assert ("Generated voices" in html, "CC BY-NC-SA 4.0" in html, "62.4" in html) == (
        warned,
        licence,
        people,
    )
    assert "Article 5(1)(f)" in html
    assert "Article 50(3)" in html


def test_a_finished_model_carries_its_corpus_licence():
    html = render_labels({"licences": [RAVDESS.licence]}, {}, LABELS.empty_table(), FAILURES.empty_table())
    assert "CC BY-NC-SA 4.0" in html


def test_every_protocol_says_whether_it_is_speaker_independent():
    assert list(PROTOCOLS) == ["loso", "grouped5", "cross-corpus", "given", "all", "as-is"]
    for _, independence in PROTOCOLS.values():
        assert "peaker-independent" in independence or "no actor was held out" in independence
    metrics, predictions = run(n=16)
    words = Page(render_run(CONFIG, metrics | {"protocol": "luna5"}, predictions)).words()
    assert "Five folds of four or five actors, each tested once. Speaker-independent: no actor" in words
    words = Page(render_run(CONFIG, metrics | {"protocol": "as-is"}, predictions)).words()
    assert "only if the model never saw these actors in training" in words


def test_most_confident_mistakes_come_first():
    rows = [
        {"clip": c, "actor": None, "emotion": e, "predicted": "sad", "runner_up": "calm", "confidence": p}
        for c, e, p in [("a", "sad", 0.99), ("b", "calm", 0.5), ("c", "calm", 0.9), ("d", None, 0.95)]
    ]
    table = mistake_table(rows, most=1)
    assert table.caption == "The 1 most confident of 2 mistakes"
    assert table.rows == [["c", ABSENT, "calm", "sad", "calm", "90.0\xa0%"]]


def test_plain_spells_out_control_characters():
    assert plain("a\nb\x00\u202e\u2028 é 🎙 👩\u200d🔬") == r"a\nb\x00\u202e\u2028 é 🎙 👩" + "\u200d🔬"


def test_size_of_a_report_on_ravdess():
    html = render_run(CONFIG, *run(n=1440, actors=24))
    assert len(html.encode()) < 600_000


def test_labels_are_counted_over_all_parts():
    html = render_labels(CONFIG, {"seconds": 2.5}, iter(labels(parts=3)), failures())
    words = Page(html).words()
    assert "Files 34 1 of them equal to another" in words  # three times ten, one silent, three failures
    assert "Labelled 30 88.2 %" in words
    assert "Failed 3 8.8 %" in words
    assert "neutral 12 40.0 %" in words
    assert "silent 1 3.2 %" in words
    assert re.search(r"broken 2 /a/broken.wav .* empty_file 1 ", words)


def test_what_was_passed_over_stands_on_the_page():
    summary = {"passed_over": {".txt": 1_200, "": 3}}
    words = Page(render_labels({}, summary, LABELS.empty_table(), FAILURES.empty_table())).words()
    assert "Passed over as no media" in words and "1,200" in words
    assert "Left out" not in words and "Links" not in words
    assert "Passed over" not in Page(render_labels({}, {}, LABELS.empty_table(), FAILURES.empty_table())).words()


def test_what_was_left_out_and_which_links_were_followed_stands_on_the_page():
    summary = {"left_out": {"@eaDir": 1_200, "*<b>.wav": 1}, "links_left_out": 0, "links_out": 3}
    words = Page(render_labels({}, summary, LABELS.empty_table(), FAILURES.empty_table())).words()
    assert "Left out by name" in words and "@eaDir 1,200" in words and "*<b>.wav 1" in words
    assert "Links followed to what lies outside of what was named: 3." in words and "Links left out" not in words


def test_labels_of_an_empty_archive():
    words = Page(render_labels({}, {}, LABELS.empty_table(), FAILURES.empty_table())).words()
    assert "No file was labelled." in words
    assert "Every file could be read." in words


HISTORY = {
    name: [
        {"epoch": n, "loss": 2 / n, "val_loss": 1 + abs(n - 3) / 4, "val_accuracy": 0.5, "seconds": 2.0}
        for n in range(1, 6)
    ]
    for name in ("1", EVIL)
}


def seen(history=HISTORY, **more):
    metrics, predictions = run()
    metrics |= {"frame_accuracy": 0.421, "n_frames": 1234, "distinct": {"n": 150, "accuracy": 0.333, "uar": 0.25}}
    return Page(render_run(CONFIG, metrics | more, predictions, history))


def test_frames_and_clips_have_each_their_accuracy():
    metrics, _ = run()
    words = seen().words()
    assert "Single frames: 42.1 % accuracy of 1,234" in words
    assert f"for whole clips: {100 * metrics['accuracy']:.1f} %" in words
    assert "Without copies: 33.3 % accuracy, 25.0 % UAR on the 150 clips" in words
    assert "Without copies" not in seen(distinct={"n": 160, "accuracy": 0.333, "uar": 0.25}).words()


def test_the_training_is_shown_with_the_epoch_that_was_kept():
    page = seen()
    assert "How it was trained" in page.words() and "Loss by epoch" in page.words()
    assert "1 5 3 50.0 % 10" in page.words()  # fold, epochs, best, accuracy, seconds
    assert len(page.ids) == len(set(page.ids)) and not any(tag == "script" for tag, _ in page.tags)
    assert "How it was trained" not in seen(history={}).words()


def test_epochs_without_validation_are_drawn_too():
    history = {"all": [{"epoch": n, "loss": n} for n in (1, 2)]}
    assert f"all 2 2 {ABSENT} 0" in seen(history).words()  # the last is kept


def test_an_estimate_on_validation_clips_says_so():
    words = seen(protocol="all", estimate="validation", speaker_independent=True).words()
    assert "scored on those: the epoch and the temperature were chosen on them" in words
    assert "three inner folds" not in words


def test_the_slowest_files_and_the_throughput():
    def shard(finished, seconds):
        paths = [f"/a/{finished}-{second}.wav" for second in seconds]
        return pa.table({"path": paths, "seconds": seconds, "finished": [float(finished)] * len(seconds)})

    parts = [shard(1000, [0.5, 9.0]), shard(1030, [0.25] * 58), shard(2340.5, [0.5] * 30)]
    timings = summarize_timings(parts)
    assert timings.slowest[:2] == [(9.0, "/a/1000-9.0.wav"), (0.5, "/a/2340.5-0.5.wav")] and len(timings.slowest) == 10
    # From 990.5, when the first was begun, to 2340.5: the last stretch is half a minute.
    assert timings.stretch_seconds == 60 and len(timings.stretches) == 23
    assert {place: rate for place, rate in timings.stretches if rate} == {0.0: 1.0, 22 / 60: 1.0}
    words = Page(render_labels(CONFIG, {}, labels(), failures(), parts)).words()
    assert "Throughput" in words and "/a/1000-9.0.wav 9.00" in words


def test_a_week_of_labelling_is_forty_bars_at_most():
    parts = [pa.table({"path": ["a"], "seconds": [1.0], "finished": [3600.0 * hour]}) for hour in range(168)]
    timings = summarize_timings(parts)
    assert len(timings.stretches) == 21 and timings.stretch_seconds == 8 * 3600
    assert timings.stretches[0] == (0.0, 8 / (8 * 3600))


def test_each_file_of_an_archive_can_be_found_with_its_answer():
    parts = labels()
    page = Page(render_labels(CONFIG, {"files": 99, "labels": 98, "seconds": 2.5}, parts, failures()))
    words = page.words()
    assert "All 21 files file emotion runner-up confidence" in words
    assert f"s silent {ABSENT} {ABSENT}" in words and f"4 happy {ABSENT} 70.0 %" not in words
    assert f"5 happy {ABSENT} 70.0 %" in words
    assert "Labelled 20 83.3 % of the files; 1 more could be read, and had nothing to answer from" in words
    assert "99" not in words and "98" not in words  # each count once, from the tables


def test_of_a_large_archive_the_most_confident_are_shown_and_the_rest_is_named():
    rows = [{"clip": f"c{i}", "path": f"/a/{i}", "predicted": "sad", "confidence": i / 700} for i in range(700)]
    counts = count_labels([rows_to_table(rows[:400], LABELS), rows_to_table(rows[400:], LABELS)])
    assert [answer.clip for answer in counts.answers] == [f"c{i}" for i in range(699, 199, -1)]
    words = Page(render_counts(CONFIG, {}, counts, failures(), summarize_timings([]))).words()
    assert "The 500 most confident of 700 files" in words and "The other 200 are in labels/" in words


def test_files_of_a_shard_are_spread_over_the_time_that_they_took():
    paths = [f"/a/{i}" for i in range(100)]
    timings = summarize_timings([pa.table({"path": paths, "seconds": [1.0] * 100, "finished": [1000.0] * 100})])
    assert timings.stretch_seconds == 5 and len(timings.stretches) == 20  # not a hundred in the last second
    assert sum(rate * 5 for _, rate in timings.stretches) == pytest.approx(100)
    assert max(rate for _, rate in timings.stretches) <= 1.2


def test_a_run_shows_what_its_model_has_and_no_option_of_another():
    options = {
        "command": "jobs/train.py D --model svc --out R",
        "epochs": None,
        "faces": False,
        "recipe": None,
        "map": [],
    }
    config = (
        CONFIG | options | {"settings": {"C": 5, "gamma": "scale", "max_depth": None}, "duration": "12 s", "seed": 0}
    )
    words = Page(render_run(config, *run())).words()
    assert "The model name value C 5 gamma scale max_depth none" in words
    assert "command jobs/train.py D --model svc --out R" in words and "duration 12 s" in words and "seed 0" in words
    settings = words[words.index("Settings and versions") : words.index("Licence and intended use")]
    assert ABSENT not in settings and not re.search(r"\b(epochs|faces|recipe|map)\b", settings)
    assert "emocore 0.1.0" in settings and "{" not in settings


def test_long_paths_break_between_their_parts():
    html = render_labels(CONFIG, {}, labels(clip="tapes/long name_of/take-3.wav"), failures())
    assert "tapes/<wbr>long name_<wbr>of/<wbr>take-<wbr>3.wav<" in html


def test_rows_of_wide_tables_name_their_columns_on_narrow_screens(page):
    assert '<td data-head="95 % interval">' in page
    assert '.wide td::before { content: attr(data-head) ": "' in page
