"""What report.html shows of a hyper-parameter search: the trials of one search, or of a search in each outer fold."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean, median
from typing import Any

import numpy as np
import pyarrow as pa

from emocore.reports.search_plots import Trial, is_number, parameter_plot, progress_plot, value_text
from emocore.reports.tables import ABSENT, SPACE, Table, percent, plain, settings_table

MOST_DOTS = 300
UNSET = "not set"
NAMES = {
    "random": "Random search",
    "grid": "Grid search",
    "random+grid": "Random search, then a grid around its best,",
    "bayes": "Bayesian search",
    "asha": "Random search with early stopping (ASHA)",
}
Searches = Mapping[str, Sequence[Trial]]


def search_view(
    trials: pa.Table,
    space: Mapping[str, str],
    scales: Mapping[str, str],
    defaults: Mapping[str, Any],
    search: Mapping[str, Any],
) -> dict[str, Any]:
    """Return what report_search.html needs, from a TRIALS table in any order.

    `space` is parameter → range in words, `scales` parameter → "log", "linear" or "choice" (where one is absent, its
    values tell), `defaults` the model's value of each parameter, which trial 0 of each search has. `search` says
    `search` (a key of NAMES, or any name) and `model`, and is listed but for what is nested. The best trial is the
    one of the highest score among those trained to the end, the first of equals.
    """
    searches = read_trials(trials)
    every = [trial for group in searches.values() for trial in group]
    best = {fold: found for fold, group in searches.items() if (found := best_trial(group))}
    names = list(dict.fromkeys([*space, *(name for trial in every for name in trial.setting)]))
    defaults = {**{name: v for t in every if t.number == 0 for name, v in t.setting.items()}, **defaults}
    return {
        "name": NAMES.get(search.get("search", ""), f"Search ({plain(search.get('search'))})"),
        "model": plain(search.get("model")),
        "n_inner": max((len(t.scores) for t in every), default=0),
        "n_parameters": len(names),
        "n_searches": len(searches),
        "most_whole": max((sum(t.whole for t in group) for group in searches.values()), default=0),
        "tiles": _tiles(searches, best),
        **_plots(searches, best, names, scales, defaults),
        "distance_table": _distance_table(searches, best, names, scales, defaults) if best else None,
        "kernel_table": kernel_table(searches, defaults),
        "best_table": _best_table(searches, best, names) if best else None,
        "count_table": _count_table(searches) if len(searches) > 1 else None,
        "reason_table": _reason_table(every),
        "space_table": _space_table(names, space, defaults),
        "facts_table": settings_table("The search", {k: v for k, v in search.items() if not isinstance(v, Mapping)}),
    }


def _plots(
    searches: Searches,
    best: Mapping[str, Trial],
    names: Sequence[str],
    scales: Mapping[str, str],
    defaults: Mapping[str, Any],
) -> dict[str, Any]:
    """Scores by parameter and over time, and how many dots are left out to keep the page small."""
    scored = [trial for group in searches.values() for trial in group if trial.score is not None]
    dots = _thinned(scored)
    drawn = [name for name in names if any(name in trial.setting for trial in dots)]
    timed = any(trial.finished_seconds is not None for trial in best.values())
    return {
        "parameter_plot": parameter_plot(dots, best.values(), drawn, scales, defaults) if drawn else None,
        "n_dots_left_out": len(scored) - len(dots),
        "progress_plot": progress_plot(searches) if timed else None,
    }


def _space_table(names: Sequence[str], space: Mapping[str, str], defaults: Mapping[str, Any]) -> Table:
    rows = [[plain(name), plain(space.get(name)), _value(defaults, name)] for name in names]
    return Table("What was searched", ["parameter", "drawn from", "default"], rows, text=3)


def read_trials(table: pa.Table) -> dict[str, list[Trial]]:
    """Return the trials of each fold in the order of their numbers; short names of folds first: 2 before 10."""
    searches: dict[str, list[Trial]] = {}
    rows = table.to_pylist()
    for row in sorted(rows, key=lambda r: (len(r["fold"] or ""), r["fold"] or "", r["number"] or 0)):
        trial = Trial(
            fold=plain(row["fold"]),
            number=row["number"] or 0,
            setting=json.loads(row["setting"] or "{}"),
            score=_finite(row["score"]),
            scores=[_finite(score) for score in row["scores"] or []],
            share=_finite(row["share"]),
            state=plain(row["state"]),
            reason=row["reason"],
            seconds=_finite(row["seconds"]) or 0.0,
            finished_seconds=_finite(row["finished_seconds"]),
        )
        searches.setdefault(trial.fold, []).append(trial)
    return searches


def best_trial(trials: Sequence[Trial]) -> Trial | None:
    """Return the whole trial of the highest score, the first of equals; None where none was finished."""
    return max((t for t in trials if t.whole), key=lambda t: (t.score or 0, -t.number), default=None)


def kernel_table(searches: Searches, defaults: Mapping[str, Any]) -> Table | None:
    """RBF against linear: the best and the median score of each, one row a search; None unless both were scored."""

    def scores(trials: Sequence[Trial], kernel: str) -> list[float]:
        kept = [t for t in trials if t.setting.get("kernel", defaults.get("kernel")) == kernel]
        return [t.score for t in kept if t.whole and t.score is not None]

    rows, seen = [], set()
    for fold, trials in searches.items():
        found = {kernel: scores(trials, kernel) for kernel in ("rbf", "linear")}
        seen |= {kernel for kernel in found if found[kernel]}
        rbf, linear = (max(values, default=None) for values in found.values())
        middle = [percent(median(values) if values else None) for values in found.values()]
        rows.append([fold, percent(rbf), percent(linear), _points(linear, rbf), *middle])
    head = ["fold", "best RBF", "best linear", "RBF minus linear, points", "median RBF", "median linear"]
    return Table("RBF against linear kernel", head, rows) if len(seen) == 2 else None


def _tiles(searches: Searches, best: Mapping[str, Trial]) -> dict[str, Any]:
    """The numbers above the plots; of several searches, the means of their best and of the defaults beside them."""
    every = [trial for group in searches.values() for trial in group]
    first = {fold: score for fold, group in searches.items() if (score := _default_score(group)) is not None}
    default = fmean(first.values()) if first else None
    compared = fmean(best[fold].score or 0 for fold in first) if first else None
    shares = [t.share for t in every if t.state == "stopped" and t.share is not None]
    wall = max((t.finished_seconds or 0 for t in every), default=0)
    return {
        "best": percent(fmean(found.score or 0 for found in best.values()) if best else None),
        "default": percent(default),
        "gain": _points(default, compared),
        "n": len(every),
        "states": Counter(trial.state for trial in every),
        "share": percent(fmean(shares)) if shares else None,
        "computing": _duration(sum(trial.seconds for trial in every)),
        "wall": _duration(wall) if wall and len(searches) == 1 else None,
    }


def _distance_table(
    searches: Searches,
    best: Mapping[str, Trial],
    names: Sequence[str],
    scales: Mapping[str, str],
    defaults: Mapping[str, Any],
) -> Table:
    """The best setting beside the defaults: one row a parameter, or of several searches, one row a fold."""
    caption = "How far the best lies from the defaults"
    if len(searches) == 1:
        ((fold, found),) = best.items()
        rows = [
            [plain(n), _value(defaults, n), _value(found.setting, n), _distance(defaults, found.setting, n, scales)]
            for n in names
        ]
        default = _default_score(searches[fold])
        gain = f"{_points(default, found.score)} points" if default is not None else ABSENT
        rows.append(["UAR, as the search scored", percent(default), percent(found.score), gain])
        return Table(caption, ["parameter", "default", "best", "best from default"], rows)
    rows = [["defaults", *(_value(defaults, n) for n in names), *[""] * 3]]
    for fold, found in best.items():
        default, cells = _default_score(searches[fold]), []
        for name in names:
            distance = _distance(defaults, found.setting, name, scales)
            far = f" ({distance})".replace(" ", SPACE) if distance[0] in "×+-" else ""
            cells.append(_value(found.setting, name) + far)
        rows.append([fold, *cells, percent(default), percent(found.score), _points(default, found.score)])
    head = ["fold", *map(plain, names), "UAR of the defaults", "UAR of the best", "difference, points"]
    return Table(f"{caption}, in each fold", head, rows)


def _distance(defaults: Mapping[str, Any], setting: Mapping[str, Any], name: str, scales: Mapping[str, str]) -> str:
    """How far a value lies from the default, in words: a ratio where the scale is logarithmic, else a difference."""
    if name not in setting or name not in defaults:
        return ABSENT
    old, new = defaults[name], setting[name]
    if value_text(old) == value_text(new):
        return "same"
    if not (is_number(old) and is_number(new)):
        return "other"
    if scales.get(name) == "log" and old > 0 and new > 0:
        return f"× {new / old:.3g}"
    return f"{new - old:+.4g}"


def _best_table(searches: Searches, best: Mapping[str, Trial], names: Sequence[str]) -> Table:
    """The ten best whole trials of one search; of several, the scores of each one's best."""
    head = ["UAR", "by inner fold, %", "seconds"]
    if len(searches) > 1:
        rows = [[fold, str(trial.number), *_scores(trial)] for fold, trial in best.items()]
        return Table("The best setting of each fold", ["fold", "trial", *head], rows)
    (group,) = searches.values()
    ten = sorted((t for t in group if t.whole), key=lambda t: (-(t.score or 0), t.number))[:10]
    rows = [[str(t.number), *_scores(t), *(_value(t.setting, name) for name in names)] for t in ten]
    return Table(f"The {len(rows)} best settings", ["trial", *head, *map(plain, names)], rows)


def _scores(trial: Trial) -> tuple[str, str, str]:
    by_fold = ", ".join(ABSENT if score is None else f"{100 * score:.1f}" for score in trial.scores)
    return percent(trial.score), by_fold or ABSENT, f"{trial.seconds:,.1f}"


def _count_table(searches: Searches) -> Table:
    """How the trials of each search ended, and what they cost."""
    rows = []
    for fold, trials in searches.items():
        states = Counter(trial.state for trial in trials)
        counts = [len(trials), *(states[state] for state in ("ok", "stopped", "failed"))]
        rows.append([fold, *(f"{n:,}" for n in counts), f"{sum(t.seconds for t in trials):,.0f}"])
    return Table("Trials of each fold", ["fold", "trials", "whole", "stopped early", "failed", "seconds"], rows)


def _reason_table(trials: Sequence[Trial]) -> Table | None:
    reasons = Counter(plain(trial.reason) for trial in trials if trial.state == "failed")
    rows = [[reason, f"{n:,}"] for reason, n in sorted(reasons.items(), key=lambda item: (-item[1], item[0]))]
    return Table("Failed trials by reason", ["reason", "trials"], rows) if rows else None


def _default_score(trials: Sequence[Trial]) -> float | None:
    """The score of trial 0, the defaults, where it was trained to the end."""
    return next((trial.score for trial in trials if trial.number == 0 and trial.whole), None)


def _thinned(trials: Sequence[Trial]) -> list[Trial]:
    # Each dot stands in every panel: more of them add bytes only.
    pick = np.unique(np.linspace(0, len(trials) - 1, min(len(trials), MOST_DOTS)).astype(int))
    return [trials[i] for i in pick]


def _value(setting: Mapping[str, Any], name: str) -> str:
    return value_text(setting[name]) if name in setting else UNSET


def _points(old: float | None, new: float | None) -> str:
    return ABSENT if old is None or new is None else f"{100 * (new - old):+.1f}"


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _duration(seconds: float) -> str:
    for size, name in ((3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:,.1f}{SPACE}{name}"
    return f"{seconds:.1f}{SPACE}s"
