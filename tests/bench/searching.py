"""Seconds of a search on Ray Tune, beside scikit-learn's RandomizedSearchCV over the same candidates and folds.

python tests/bench/searching.py FEATURES [--models xgboost random-forest svc] [--samples 50] [--pairs 3] [--space FILE]
python tests/bench/searching.py FEATURES --models xgboost --early asha bayes [--seeds 3]
"""

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import xgboost
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import RandomizedSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from emocore.datasets.examples import labelled, load_examples
from emocore.datasets.protocols import Fold
from emocore.features.article import ARTICLE
from emocore.models.fitting import Recipe
from emocore.models.parameters import defaults_of
from emocore.models.space_file import read_space
from emocore.models.spaces import Space, draw, setting_key
from emocore.pipeline import cluster
from emocore.pipeline.options.search import SearchOptions
from emocore.pipeline.training.fit_arrays import inner_splits
from emocore.pipeline.tuning.objective import ArrayCandidates
from emocore.pipeline.tuning.runner import Room
from emocore.pipeline.tuning.search import search_settings

FOLDS, NEAR = 3, 0.005
# Theirs: the estimator, and how its parameters are called inside of it.
THEIRS = {
    "svc": (make_pipeline(StandardScaler(), OneVsRestClassifier(SVC())), "onevsrestclassifier__estimator__"),
    "random-forest": (RandomForestClassifier(random_state=0, n_jobs=1), ""),
    "xgboost": (xgboost.XGBClassifier(random_state=0, n_jobs=1), ""),
}


def main() -> None:
    """Print the seconds of each pair, the ratios, and by how much the scores differ."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("features")
    parser.add_argument("--models", nargs="+", default=list(THEIRS))
    parser.add_argument("--space")
    parser.add_argument("--early", nargs="+", default=[])
    for name, default in (("samples", 50), ("pairs", 3), ("seeds", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    examples = labelled(load_examples([options.features], [ARTICLE], "speech"))
    none = np.zeros(0, np.int64)
    fold = Fold("all", np.arange(len(examples.soft)), none, none)
    for model in options.models:
        space = read_space(model, options.space)
        recipe = Recipe(model, 0, balanced=False)
        splits = inner_splits(examples.clips, examples.soft, fold, recipe, None, FOLDS)
        candidates = ArrayCandidates(recipe, examples.x, examples.soft, splits, 1, 0)
        if options.early:
            _early(model, space, candidates, options)
        else:
            _pairs(model, space, candidates, options)


def _pairs(model: str, space: Space, candidates: ArrayCandidates, options: argparse.Namespace) -> None:
    started = time.monotonic()
    cluster.connect()
    _ours(model, space, candidates, "random", options.samples, 0)
    cold = time.monotonic() - started
    settings = _settings(model, space, options.samples)
    _theirs(model, candidates, settings[:2])  # joblib's processes stay
    ours, theirs = [], []
    for number in range(options.pairs):
        rows, seconds = _ours(model, space, candidates, "random", options.samples, 0)
        ours.append(seconds)
        scores, seconds = _theirs(model, candidates, settings)
        theirs.append(seconds)
        found = {setting_key(row["setting"]): row["score"] for row in rows}
        apart = max(abs(found[setting_key(s)] - score) for s, score in zip(settings, scores, strict=True))
        print(f"{model}, pair {number + 1}: {ours[-1]:.1f} s, scikit-learn {theirs[-1]:.1f} s, {apart:.1e}", flush=True)
    ratio = median(one / other for one, other in zip(ours, theirs, strict=True))
    print(f"{model}: ratio {ratio:.3f}; cold, Ray and its processes included: {cold - median(ours):+.1f} s", flush=True)


def _early(model: str, space: Space, candidates: ArrayCandidates, options: argparse.Namespace) -> None:
    """Print the shares of random's seconds after which each search was within NEAR of random's best, and ended."""
    cluster.connect()
    found: dict[str, list[tuple[float, float, float]]] = {search: [] for search in ["random", *options.early]}
    for seed in range(options.seeds):
        rows, _ = _ours(model, space, candidates, "random", options.samples, seed)
        for search, figures in found.items():
            others = rows if search == "random" else _ours(model, space, candidates, search, options.samples, seed)[0]
            near = _seconds_until(others, _best(rows) - NEAR) / _seconds(rows)
            figures.append((near, _seconds(others) / _seconds(rows), _best(rows) - _best(others)))
            shares = f"near at {near:.2f}, ended at {figures[-1][1]:.2f}"
            print(f"{search}, seed {seed}: {shares}, {figures[-1][2]:+.4f} behind", flush=True)
    for search, figures in found.items():
        near, ended, behind = map(median, zip(*figures, strict=True))
        print(f"{search}: near at {near:.2f} of random's seconds, ended at {ended:.2f}, {behind:+.4f} behind")


def _settings(model: str, space: Space, samples: int) -> list[dict]:
    drawn = [setting for setting in draw(space, samples, 0) if setting != defaults_of(model, space)]
    return [defaults_of(model, space), *drawn][:samples]


def _ours(
    model: str, space: Space, candidates: ArrayCandidates, search: str, samples: int, seed: int
) -> tuple[list[dict], float]:
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        _, rows = search_settings(
            candidates,
            Room({"CPU": 1}),
            model,
            space,
            SearchOptions(search=search, samples=samples),
            seed,
            Path(folder),
            f"{search} {model}",
        )
    return rows, time.monotonic() - started


def _theirs(model: str, candidates: ArrayCandidates, settings: list[dict]) -> tuple[list[float], float]:
    estimator, prefix = THEIRS[model]
    grid = [{f"{prefix}{name}": [value] for name, value in setting.items()} for setting in settings]
    folds = [(split.train, split.held) for split in candidates.splits]
    search = RandomizedSearchCV(
        estimator, grid, n_iter=len(grid), scoring="balanced_accuracy", cv=folds, n_jobs=2, refit=False, random_state=0
    )
    x = candidates.x if model == "xgboost" else candidates.x.astype(np.float64)
    started = time.monotonic()
    search.fit(x, candidates.soft.argmax(axis=1))
    seconds = time.monotonic() - started
    found = dict(
        zip(map(setting_key, search.cv_results_["params"]), search.cv_results_["mean_test_score"], strict=True)
    )
    keys = [setting_key({name: values[0] for name, values in one.items()}) for one in grid]
    return [found[key] for key in keys], seconds


def _seconds_until(rows: list[dict], score: float) -> float:
    """Return the seconds of computing up to the first setting that reached the score; all of them if none did."""
    ordered = sorted(rows, key=lambda row: row["finished_seconds"])
    place = next((i for i, row in enumerate(ordered) if row["state"] == "ok" and row["score"] >= score), len(rows))
    return _seconds(ordered[: place + 1])


def _seconds(rows: list[dict]) -> float:
    return sum(row["seconds"] for row in rows)


def _best(rows: list[dict]) -> float:
    return max(row["score"] for row in rows if row["state"] == "ok")


if __name__ == "__main__":
    main()
