"""The report's plots as inline SVG: the same numbers give the same bytes, and no plot holds a user's text."""

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from emocore.arrays import Floats
from emocore.evaluation.calibration import Bin
from emocore.reports.curves import Curve

# Okabe & Ito's palette: told apart with any colour vision.
BLUE, ORANGE, GREY, INK = "#0072B2", "#D55E00", "#767676", "#222222"
PALETTE = ("#999999", "#56B4E9", "#F0E442", BLUE, ORANGE, "#CC79A7", "#009E73", "#E69F00")  # of eight emotions
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "emocore",
    "font.family": "sans-serif",
    "font.size": 11,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": "#E3E3E3",
    "legend.frameon": False,
}
# Points: about the width of a phone's screen, so that text keeps its size there.
WIDTH, POINTS_PER_INCH = 370, 72
_CELLS = 9  # of a row of the confusion matrix, whose text has its full size


@rc_context(STYLE)
def confusion_plot(confusion: Sequence[Sequence[int]], classes: Sequence[str]) -> Markup:
    """Draw [true][predicted] counts as row shares, with percent and count in each cell."""
    counts = np.asarray(confusion, dtype=np.float64)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    size = len(classes)
    small = min(1.0, _CELLS / size)  # where there are more, the text of a cell shrinks with it
    figure, axes = _canvas(WIDTH)
    axes.pcolormesh(shares, cmap="Blues", vmin=0, vmax=1, edgecolors="white", linewidth=1.5)
    for i, j in np.ndindex(size, size):
        ink = "white" if shares[i, j] > 0.72 else INK
        if counts[i, j]:
            place = {"ha": "center", "color": ink}
            axes.text(j + 0.5, i + 0.48, f"{100 * shares[i, j]:.0f}", va="bottom", fontsize=11 * small, **place)
            axes.text(j + 0.5, i + 0.56, f"{counts[i, j]:.0f}", va="top", fontsize=8 * small, **place)
    axes.set_xticks(np.arange(size) + 0.5, classes, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(np.arange(size) + 0.5, classes)
    axes.tick_params(length=0, labelsize=11 * small)
    axes.spines[:].set_visible(False)
    axes.invert_yaxis()
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    return _svg(figure, "confusion")


@rc_context(STYLE)
def recall_plot(recall: dict[str, float | None], ranges: dict[str, list[float] | None], chance: float) -> Markup:
    """Draw each emotion's recall as a dot with its interval, and the chance level as a line."""
    names = [name for name in recall if recall[name] is not None]
    figure, axes = _canvas(55 + 24 * len(names))
    for i, name in enumerate(names):
        if span := ranges.get(name):
            axes.plot(span, [i, i], color=BLUE, linewidth=2.5, alpha=0.55, solid_capstyle="butt")
        axes.plot(recall[name], i, "o", color=BLUE, markersize=7)
    axes.axvline(chance, color=GREY, linestyle="--", linewidth=1)
    axes.text(chance + 0.01, -0.95, "chance", color=GREY, fontsize=10, va="center")
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -1.3)
    axes.tick_params(axis="y", length=0)
    _percent_axis(axes, "x", "recall")
    axes.grid(axis="x")
    return _svg(figure, "recall")


@rc_context(STYLE)
def difference_plot(differences: Mapping[str, tuple[float, Sequence[float], bool]]) -> Markup:
    """Draw differences in points with their intervals, and the line of none; those beyond noise are filled."""
    figure, axes = _canvas(55 + 26 * len(differences))
    for i, (value, span, is_beyond) in enumerate(differences.values()):
        axes.plot([100 * end for end in span], [i, i], color=BLUE, linewidth=2.5, alpha=0.55, solid_capstyle="butt")
        face = BLUE if is_beyond else "white"
        axes.plot(100 * value, i, "o", color=BLUE, markerfacecolor=face, markersize=7)
    axes.axvline(0, color=GREY, linestyle="--", linewidth=1)
    axes.set_yticks(range(len(differences)), list(differences))
    axes.set_ylim(len(differences) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("difference in UAR, points")
    axes.grid(axis="x")
    return _svg(figure, "difference")


@rc_context(STYLE)
def reliability_plot(bins: Sequence[Bin]) -> Markup:
    """Draw accuracy by confidence, the diagonal of perfect calibration, and the clips of each bin."""
    figure, (axes, below) = _canvas(
        330, nrows=2, sharex=True, gridspec_kw={"height_ratios": [3.2, 1]}, subplot_kw={"xlim": (0, 1)}
    )
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="perfectly calibrated")
    axes.bar(
        [b["low"] for b in bins],
        [b["accuracy"] or 0 for b in bins],
        [b["high"] - b["low"] for b in bins],
        align="edge", color=BLUE, alpha=0.75, edgecolor="white", label="accuracy in the bin",
    )  # fmt: skip
    used = [b for b in bins if b["n"]]
    axes.plot([b["confidence"] for b in used], [b["accuracy"] for b in used], "o", color=ORANGE, markersize=4)
    axes.legend(loc="upper left", fontsize=10)
    _percent_axis(axes, "y", "accuracy")
    below.bar(
        [b["low"] for b in bins], [b["n"] for b in bins], [b["high"] - b["low"] for b in bins],
        align="edge", color=GREY, edgecolor="white",
    )  # fmt: skip
    below.set_ylabel("clips")
    _percent_axis(below, "x", "confidence")
    return _svg(figure, "reliability")


@rc_context(STYLE)
def coverage_plot(coverage: Floats, accuracy: Floats) -> Markup:
    """Draw accuracy over the share of clips answered, most confident first."""
    # More points than the plot has pixels add bytes only.
    pick = np.unique(np.linspace(0, len(coverage) - 1, 200).astype(int))
    figure, axes = _canvas(250)
    axes.plot(coverage[pick], accuracy[pick], color=BLUE, linewidth=2)
    axes.axhline(accuracy[-1], color=GREY, linestyle="--", linewidth=1)
    axes.text(0.01, accuracy[-1] - 0.02, "all clips answered", color=GREY, fontsize=10, va="top")
    _percent_axis(axes, "y", "accuracy of those")
    _percent_axis(axes, "x", "clips answered, most confident first")
    axes.grid()
    return _svg(figure, "coverage")


@rc_context(STYLE)
def emotion_plot(counts: dict[str, int]) -> Markup:
    """Draw how many clips were predicted as each emotion."""
    figure, axes = _canvas(55 + 24 * len(counts))
    values = list(counts.values())
    bars = axes.barh(list(counts), values, color=BLUE, height=0.7)
    axes.bar_label(bars, [f"{v:,}" for v in values], padding=4, fontsize=10)
    axes.set_xlim(0, max(*values, 1) * 1.18)
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.locator_params(axis="x", integer=True, nbins=4)
    axes.set_xlabel("clips")
    return _svg(figure, "emotions")


@rc_context(STYLE)
def confidence_plot(counts: Sequence[int]) -> Markup:
    """Draw a histogram of confidence from the counts of equal bins over [0, 1]."""
    edges = np.linspace(0, 1, len(counts) + 1)
    figure, axes = _canvas(210)
    axes.bar(edges[:-1], counts, np.diff(edges), align="edge", color=BLUE, edgecolor="white")
    axes.set_ylabel("clips")
    axes.locator_params(axis="y", integer=True, nbins=5)
    _percent_axis(axes, "x", "confidence")
    return _svg(figure, "confidence")


@rc_context(STYLE)
def throughput_plot(stretches: Sequence[tuple[float, float]], width: float) -> Markup:
    """Draw files a second in each stretch of `width` hours; pairs of hours since the begin, and files a second."""
    figure, axes = _canvas(210)
    hours, rates = zip(*stretches, strict=True)
    in_minutes = hours[-1] + width < 3
    unit = 60 if in_minutes else 1
    axes.bar([unit * hour for hour in hours], rates, unit * width, align="edge", color=BLUE, edgecolor="white")
    axes.set_ylabel("files a second")
    axes.set_xlabel("minutes since the first" if in_minutes else "hours since the first")
    return _svg(figure, "throughput")


@rc_context(STYLE)
def training_plot(history: Mapping[str, Sequence[Mapping[str, float]]]) -> Markup:
    """Draw the loss of each epoch, on training and validation frames; of several folds, each in a thin line."""
    figure, axes = _canvas(250)
    width = 2 if len(history) == 1 else 0.8
    for name, colour, words in (("loss", BLUE, "training"), ("val_loss", ORANGE, "validation")):
        for i, epochs in enumerate(history.values()):
            shown = [row for row in epochs if name in row]
            axes.plot(
                [row["epoch"] for row in shown], [row[name] for row in shown],
                color=colour, linewidth=width, marker="o", markersize=2 * width, label="" if i else words,
            )  # fmt: skip
    axes.legend(loc="upper right", fontsize=10)
    axes.set_ylabel("loss")
    axes.set_xlabel("epoch")
    axes.locator_params(axis="x", integer=True, nbins=6)
    axes.grid()
    return _svg(figure, "training")


def probability_figure(title: str, probabilities: Mapping[str, float]) -> Figure:
    """Return bars of the probabilities of one answer, the largest first."""
    ranked = sorted(probabilities, key=lambda emotion: probabilities[emotion])
    figure, axes = _canvas(220)
    axes.barh(ranked, [probabilities[emotion] for emotion in ranked])
    axes.set_title(title.rpartition("/")[2])
    axes.set_xlim(0, 1)
    _percent_axis(axes, "x", "probability")
    return figure


@rc_context(STYLE)
def curve_plot(curve: Curve, number: int) -> Markup:
    """Draw a recording over time: the shares of its emotions, one above the other; white where nothing was answered."""
    return _svg(curve_figure(curve), f"curve{number}")


def curve_figure(curve: Curve) -> Figure:
    """Return the shares of a recording's emotions over time, one above the other."""
    figure, axes = _canvas(260)
    unit, scale = ("seconds", 1.0) if curve.seconds[-1] < 180 else ("minutes", 60.0)
    if curve.seconds[-1] >= 3 * 3600:
        unit, scale = "hours", 3600.0
    edges = np.append(curve.seconds, curve.seconds[-1] + curve.step_seconds) / scale
    tops = np.cumsum(curve.shares, axis=1)
    tops = np.vstack([tops, tops[-1:]])  # a step's value holds to its end
    below = np.zeros(len(edges))
    for place, emotion in enumerate(curve.emotions):
        colour = PALETTE[place % len(PALETTE)]
        axes.fill_between(edges, below, tops[:, place], step="post", color=colour, linewidth=0, label=emotion)
        below = tops[:, place]
    axes.set(xlim=(0, edges[-1]), xlabel=unit)
    _percent_axis(axes, "y", "probability")
    figure.legend(loc="outside lower center", ncols=4, fontsize=9, handlelength=1)
    return figure


def _canvas(height: float, **grid: Any) -> tuple[Figure, Any]:
    """A figure of WIDTH by `height` points without pyplot's global state, and its axes."""
    figure = Figure(figsize=(WIDTH / POINTS_PER_INCH, height / POINTS_PER_INCH), layout="constrained")
    return figure, figure.subplots(**grid)


def _percent_axis(axes: Any, which: str, label: str) -> None:
    axis = getattr(axes, f"{which}axis")
    axis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set(**{f"{which}lim": (0, 1), f"{which}label": label, f"{which}ticks": [0, 0.25, 0.5, 0.75, 1]})


def _svg(figure: Figure, name: str) -> Markup:
    """The figure as an <svg> element that takes size and font from the page; `name` keeps its ids apart."""
    stream = io.StringIO()
    blank = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(stream, format="svg", transparent=True, metadata=blank)
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r" font-family: [^;]*;", "", text)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(url\(|href=")#', rf"\1#{name}-", text)
    text = re.sub(r'<svg ([^>]*?)width="[^"]*" ', r'<svg \1aria-hidden="true" focusable="false" ', text)
    return Markup(re.sub(r'(<svg [^>]*?)height="[^"]*" ', r"\1", text))
