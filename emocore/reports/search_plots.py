"""Plots of a hyper-parameter search: score by parameter, best score over time. Users' words are cut to ASCII."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from emocore.reports.plots import BLUE, GREY, ORANGE, STYLE, _canvas, _svg
from emocore.reports.tables import ABSENT, plain

SMALL = 9
# Points between two ticks of words, at least, and what a letter takes.
WORD_POINTS, LETTER_POINTS, PANEL_POINTS = 16, 5, 140
LONGEST_WORD, LONGEST_NAME = 15, 26
GOLDEN = (math.sqrt(5) - 1) / 2  # its multiples spread evenly, whatever their number
DOT: Any = {"linestyle": "", "marker": "o", "markersize": 4.5}
WHOLE: Any = {**DOT, "color": BLUE, "alpha": 0.6, "markeredgewidth": 0}
STOPPED: Any = {**DOT, "color": GREY, "markerfacecolor": "none", "markeredgewidth": 0.8}
BEST: Any = {**DOT, "color": ORANGE, "markersize": 7, "markeredgecolor": "white"}


@dataclass(frozen=True)
class Trial:
    """A row of TRIALS: its setting read from JSON, and no score where it is not a finite number."""

    fold: str
    number: int
    setting: Mapping[str, Any]
    score: float | None
    scores: Sequence[float | None]
    share: float | None
    state: str
    reason: str | None
    seconds: float
    finished_seconds: float | None

    @property
    def whole(self) -> bool:
        """Whether it was trained to the end and has a score: only such trials can be the best."""
        return self.state == "ok" and self.score is not None


def is_number(value: object) -> bool:
    """Return whether a value can stand on an axis: a finite number, and not a truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def value_text(value: object) -> str:
    """Return a parameter's value as one line of text: four digits, lists in brackets.

    >>> value_text(0.123456), value_text([100, 50]), value_text(None), value_text(True)
    ('0.1235', '[100, 50]', 'None', 'True')
    """
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(value_text, value))}]"
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else ABSENT
    return "None" if value is None else plain(value)


@rc_context(STYLE)
def parameter_plot(
    trials: Sequence[Trial],
    best: Collection[Trial],
    names: Sequence[str],
    scales: Mapping[str, str],
    defaults: Mapping[str, Any],
) -> Markup:
    """Draw the score of trials that have one against each of `names`, one small panel a parameter, in two columns.

    `best` are marked, and a dashed line stands at the default of each parameter that has one.
    """
    columns = min(2, len(names))
    rows = math.ceil(len(names) / columns)
    figure, grid = _canvas(50 + 135 * rows, nrows=rows, ncols=columns, sharey=True, squeeze=False)
    for name, axes in zip(names, grid.flat, strict=False):
        _parameter_panel(axes, name, trials, best, scales.get(name), defaults)
    for axes in grid.flat[len(names) :]:
        axes.set_visible(False)
    for axes in grid[:, 0]:
        _score_axis(axes)
    _legend(figure, grid.flat)
    return _svg(figure, "search-parameters")


def _parameter_panel(
    axes: Any,
    name: str,
    trials: Sequence[Trial],
    best: Collection[Trial],
    scale: str | None,
    defaults: Mapping[str, Any],
) -> None:
    shown = [t for t in trials if name in t.setting]
    marked = [t for t in best if name in t.setting]
    values = [t.setting[name] for t in (*shown, *marked)] + ([defaults[name]] if name in defaults else [])
    axis = _Axis(values, scale)
    if name in defaults:
        axes.axvline(axis.place(defaults[name]), color=GREY, linestyle="--", linewidth=1, label="default")
    for style, words, group in (
        (STOPPED, "stopped early", [t for t in shown if not t.whole]),
        (WHOLE, "whole", [t for t in shown if t.whole]),
        (BEST, "best", marked),
    ):
        x = [axis.place(t.setting[name], t.number + sum(t.fold.encode())) for t in group]
        axes.plot(x, [t.score for t in group], **style, label=words)
    axis.dress(axes)
    axes.set_title(_cut(name, LONGEST_NAME), fontsize=10, parse_math=False)


@rc_context(STYLE)
def progress_plot(searches: Mapping[str, Sequence[Trial]]) -> Markup:
    """Draw the best score of whole trials so far over the time since each search began; of one search, each trial."""
    timed = {
        fold: sorted((t for t in trials if t.finished_seconds is not None), key=lambda t: t.finished_seconds or 0)
        for fold, trials in searches.items()
    }
    longest = max((t.finished_seconds or 0 for trials in timed.values() for t in trials), default=0)
    unit, seconds = next((u for u in (("hours", 3600), ("minutes", 60)) if longest > 2 * u[1]), ("seconds", 1))
    figure, axes = _canvas(250)
    one = len(timed) == 1
    for trials in timed.values():
        whole = [t for t in trials if t.whole]
        if not whole:
            continue
        time = [(t.finished_seconds or 0) / seconds for t in [*whole, trials[-1]]]
        score = np.maximum.accumulate([t.score or 0 for t in whole])
        axes.step(
            time, [*score, score[-1]], where="post", color=ORANGE, linewidth=2 if one else 1,
            alpha=1 if one else 0.7, marker="o", markevery=[len(whole)], markersize=3,
            label="best so far",
        )  # fmt: skip
        if one:
            for style, words, group in (
                (WHOLE, "whole", whole),
                (STOPPED, "stopped early", [t for t in trials if not t.whole and t.score is not None]),
            ):
                x = [(t.finished_seconds or 0) / seconds for t in group]
                axes.plot(x, [t.score for t in group], **style, label=words)
    _legend(figure, [axes])
    _score_axis(axes)
    axes.set_xlabel(f"{unit} since the search began")
    axes.set_xlim(left=0)
    axes.locator_params(axis="x", nbins=6)
    return _svg(figure, "search-progress")


class _Axis:
    """Places of a parameter's values on one axis: numbers along it, everything else in a slot of its own before them.

    So a default of "scale", None or, on a logarithmic axis, 0 stands beside the numbers that were drawn.
    """

    def __init__(self, values: Sequence[Any], scale: str | None) -> None:
        numeric = scale in ("log", "linear") or (scale is None and all(map(is_number, values)))
        self.log, self.numeric = scale == "log", numeric
        numbers = [v for v in values if self._fits(v)]
        self.low: float = min(numbers, default=1)
        self.high: float = max(numbers, default=1)
        self.whole = all(isinstance(v, int) for v in numbers)
        others = {value_text(v): v for v in values if not self._fits(v)}
        self.words = sorted(others, key=lambda text: _rank(others[text], text))
        self.width = max(4, len(self.words)) if numbers else 0

    def _fits(self, value: Any) -> bool:
        return self.numeric and is_number(value) and (value > 0 or not self.log)

    def place(self, value: Any, seed: int | None = None) -> float:
        """Where a value stands; in a slot of words, trials are spread by their seed."""
        if not self._fits(value):
            spread = 0.0 if seed is None else 0.5 * (seed * GOLDEN % 1 - 0.5)
            return self.words.index(value_text(value)) + spread
        low, high, at = (math.log(v) if self.log else float(v) for v in (self.low, self.high, value))
        return len(self.words) + self.width * ((at - low) / (high - low) if low < high else 0.5)

    def dress(self, axes: Any) -> None:
        """Set limits and ticks: so few that their words do not touch, and slanted where they are long."""
        room = PANEL_POINTS / (len(self.words) + self.width)
        step = max(1, math.ceil(WORD_POINTS / room))
        ticks = [(float(i), _cut(self.words[i], LONGEST_WORD)) for i in range(0, len(self.words), step)]
        slanted = any(len(text) * LETTER_POINTS > room * step for _, text in ticks)
        if self.width:
            marks = [(self.place(v), _short(v)) for v in self._marks()]
            longest = max(len(text) for _, text in marks) * LETTER_POINTS + 6
            nearest = room * min((b - a for (a, _), (b, _) in pairwise(marks)), default=1)
            ticks += marks[:: math.ceil(longest / nearest) if nearest else len(marks)]
        axes.set_xticks([place for place, _ in ticks], [text for _, text in ticks], fontsize=SMALL, parse_math=False)
        if slanted:
            axes.tick_params(axis="x", labelrotation=35)
            for label in axes.get_xticklabels():
                label.set(ha="right", rotation_mode="anchor")
        axes.set_xlim(-0.5, len(self.words) + (self.width + 0.3 if self.width else -0.5))

    def _marks(self) -> list[float]:
        """Round numbers on the axis, or its ends where there are no two."""
        if not self.log:
            locator = MaxNLocator(4, integer=self.whole, steps=[1, 2, 5, 10])
            marks = [float(v) for v in locator.tick_values(self.low, self.high)]
        else:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            decades = [10.0**power for power in powers if self.low <= 10.0**power <= self.high]
            marks = decades if len(decades) > 2 else [part * 10.0**power for power in powers for part in (1, 2, 5)]
        inside = [v for v in marks if self.low <= v <= self.high]
        return inside if len(inside) > 1 else sorted({self.low, self.high})


def _rank(value: Any, text: str) -> tuple[int, list[float], str]:
    """The order of words on an axis: numbers and lists of numbers by size, then the rest by letters."""
    parts = value if isinstance(value, list | tuple) else [value]
    return (0, list(parts), text) if all(map(is_number, parts)) else (1, [], text)


def _legend(figure: Figure, panels: Iterable[Any]) -> None:
    """Explain above all panels what any of them shows."""
    pairs = [pair for axes in panels for pair in zip(*axes.get_legend_handles_labels(), strict=True)]
    shown = {words: handle for handle, words in pairs if len(handle.get_xdata())}
    words = [word for word in ("whole", "stopped early", "best", "best so far", "default") if word in shown]
    handles = [shown[word] for word in words]
    figure.legend(handles, words, loc="outside upper center", ncols=4, fontsize=10, columnspacing=1.2)


def _score_axis(axes: Any) -> None:
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.set_ylabel("UAR")


def _short(value: float) -> str:
    """A tick in few letters: 0.0001, 500, 1e5."""
    if value == 0 or 0.0001 <= abs(value) < 100_000:
        return f"{value:.4g}" if abs(value) < 10_000 else f"{value:.0f}"
    digits, _, power = f"{value:.2e}".partition("e")
    return f"{float(digits):g}e{int(power)}"


def _cut(text: str, longest: int) -> str:
    # ASCII: matplotlib warns of each character that its font lacks.
    text = plain(text).encode("ascii", "backslashreplace").decode()
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
