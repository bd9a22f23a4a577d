"""The page of runs compared, with its plot."""

from emocore.reports.compare import letter, render_compare
from emocore.reports.plots import difference_plot


def gap(value, low, high, p, beyond):
    return {"value": value, "ci95": [low, high], "p": p / 3, "p_holm": p, "beyond_noise": beyond}


def metrics(*gaps):
    model = {"model": "svc", "protocol": "loso", "uar": 0.5, "accuracy": 0.5, "ci95_uar": [0.4, 0.6]}
    model |= {"ci95_accuracy": [0.4, 0.6], "recall": {"sad": 0.5, "happy": None}, "n_unpaired": 0}
    counts = {"both_right": 10, "first_only": 2, "second_only": 1_234, "neither": 5}
    pairs = [{"first": i, "second": i + 1, "uar": one, "accuracy": one, **counts} for i, one in enumerate(gaps)]
    models = [{**model, "run": f"runs/<{i}>"} for i in range(len(gaps) + 1)]
    told = {"resampled": "actors", "n": 40, "n_actors": 20, "draws": 10_000, "emotions": ["sad", "happy"]}
    return {**told, "models": models, "pairs": pairs}


FACTS = {"command": "jobs/compare.py a b", "seed": 0, "versions": {"emocore": "x"}, "synthetic": False}


def test_the_page_says_in_words_who_is_better_and_escapes_names():
    page = render_compare(metrics(gap(-0.046, -0.08, -0.006, 0.0006, True), gap(0.002, -0.02, 0.03, 0.9, False)), FACTS)
    words = " ".join(page.split())
    assert (
        "svc (runs/&lt;0&gt;) scores 4.6 points of UAR above svc (runs/&lt;1&gt;): beyond noise (p &lt; 0.001)."
        in words
    )
    assert (
        "svc (runs/&lt;2&gt;) scores 0.2 points of UAR above svc (runs/&lt;1&gt;): within noise (p = 0.900)." in words
    )
    assert "1,234" in page and "<script" not in page and "runs/<0>" not in page
    assert page == render_compare(
        metrics(gap(-0.046, -0.08, -0.006, 0.0006, True), gap(0.002, -0.02, 0.03, 0.9, False)), FACTS
    )


def test_runs_of_one_score_are_the_same():
    assert "have the same UAR" in render_compare(metrics(gap(0.0, 0.0, 0.0, 1.0, False)), FACTS)


def test_what_is_beyond_noise_is_filled():
    drawn = [difference_plot({"B − A": (0.1, (0.05, 0.15), beyond)}) for beyond in (True, False)]
    assert all(">B − A<" in svg for svg in drawn) and drawn[0] != drawn[1]


def test_more_runs_than_letters():
    assert [letter(i) for i in (0, 25, 26)] == ["A", "Z", "R27"]
