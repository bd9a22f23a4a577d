"""What each corpus gave that was tested by a model trained on the others."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from emocore.datasets.examples import Examples
from emocore.datasets.protocols import Fold
from emocore.evaluation.bias import by_group
from emocore.pipeline.training.folds import FoldResult


def by_corpus(
    examples: Examples, folds: Sequence[Fold], results: Sequence[FoldResult], seed: int
) -> list[dict[str, Any]]:
    """Return a row for each fold of protocol cross-corpus, in the folds' order; what metrics.json calls `corpora`.

    Keys: `name, trained_on, n_trained, emotions, n_left_out, n_actors, chance`, and those of `by_group`. A model knows
    the emotions alone that both sides know, so that its answers are among them; `n_left_out` counts the corpus's clips
    of others.
    """
    result_of = {result.name: result for result in results}
    corpora = np.array(examples.clips["corpus"].to_pylist(), object)
    actors = examples.clips["actor"].to_pylist()
    rows = []
    for fold in folds:
        result = result_of[fold.name]
        truth, who = examples.truth[result.rows], [actors[row] for row in result.rows]
        predicted = result.probabilities.argmax(axis=1)
        names = [fold.name] * len(truth)
        (figures,) = by_group(truth, predicted, names, who, seed, examples.emotions)
        emotions = [examples.emotions[number] for number in np.unique(truth)]
        rows.append(
            {
                "name": fold.name,
                "trained_on": sorted(set(corpora[fold.train])),
                "n_trained": len(fold.train),
                "emotions": emotions,
                "n_left_out": int((corpora == fold.name).sum()) - len(fold.test),
                "n_actors": len(set(who) - {None}),
                "chance": 1 / len(emotions),
                **{name: value for name, value in figures.items() if name != "group"},
            }
        )
    return rows
