"""Boosted trees over the article's 160 columns."""

import json
from pathlib import Path
from typing import Any, Self

import numpy as np
import xgboost
from numpy.typing import NDArray

from emocore.errors import UserError
from emocore.models.base import Pair, Parts, Settings, weighted_rows
from emocore.models.classes import OfClasses, check_classes, spread
from emocore.models.foreign import read_json
from emocore.models.trees import check_xgboost
from emocore.storage.files import write_bytes, write_text

_PARTS = 20  # of a fit in rounds, after each of which a search may stop it


class XgboostClassifier(OfClasses):
    """Boosted trees over the 160 columns, with XGBoost's own defaults, fitted on soft labels."""

    def __init__(self, name: str, seed: int = 0, threads: int = 1, settings: Settings | None = None) -> None:
        self.settings, self.seed, self.threads = settings or {}, seed, threads
        self.booster: Any = None
        self.classes = np.zeros(0, np.int64)

    def fit_parts(
        self,
        x: NDArray[np.float32],
        soft: NDArray[np.float32],
        weights: NDArray[np.float32],
        validation: Pair | None = None,
    ) -> Parts:
        """Fit as XGBClassifier does, on float32[n, 160], soft labels [n, k], and the classes' weights [k].

        Yields after every twentieth of the rounds.
        """
        rows, target, weight = weighted_rows(soft, weights)
        self.classes, encoded = np.unique(target, return_inverse=True)
        self.n_emotions = soft.shape[1]
        model = xgboost.XGBClassifier(**self.settings, random_state=self.seed, n_jobs=self.threads)
        kind = {"objective": "multi:softprob", "num_class": len(self.classes)}
        if len(self.classes) == 2:
            kind = {"objective": "binary:logistic"}
        rounds = model.get_num_boosting_rounds()
        if rounds < 1:
            raise UserError(f"n_estimators must be at least 1: got {rounds}.")
        # Bins are cut once where the trees are grown from histograms.
        histogram = model.tree_method in (None, "auto", "hist") and model.booster != "gblinear"
        matrix = xgboost.QuantileDMatrix if histogram else xgboost.DMatrix
        bins = {"max_bin": model.max_bin} if histogram else {}
        data = matrix(x[rows], encoded, weight=weight, nthread=self.threads, **bins)
        self.booster = xgboost.Booster({**model.get_xgb_params(), **kind}, [data])
        part = -(-rounds // _PARTS)
        for number in range(rounds):
            self.booster.update(data, number)
            if (number + 1) % part == 0 and number + 1 < rounds:
                yield (number + 1) / rounds
        yield 1.0
        return {}

    def logits(self, x: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the margins, float64[n, k]; −inf where the class is unknown."""
        data = xgboost.DMatrix(x, nthread=self.threads)
        margins = np.asarray(self.booster.predict(data, output_margin=True), dtype=np.float64)
        if margins.ndim == 1:
            margins = np.column_stack([np.zeros_like(margins), margins])
        return spread(margins, self.classes, self.n_emotions)

    def save(self, folder: Path) -> None:
        """Write model.json in XGBoost's own format, which can be looked through before XGBoost reads it."""
        write_bytes(folder / "model.json", bytes(self.booster.save_raw("json")))
        write_text(folder / "classes.json", json.dumps(self.classes.tolist()))

    @classmethod
    def load(cls, folder: Path, name: str) -> Self:
        """Read model.json. Raises UserError where its trees lead nowhere, or are of other columns or classes."""
        classifier = cls(name)
        path = folder / "model.json"
        model, classes = read_json(path), read_json(folder / "classes.json")
        try:
            classifier.classes = np.asarray(classes, dtype=np.int64)
            check_classes(classifier.classes)
            n_columns = int(model["learner"]["learner_model_param"]["num_feature"])
            check_xgboost(model, n_columns, len(classifier.classes))
        except (ValueError, TypeError, KeyError, IndexError, OverflowError) as error:
            raise UserError(f"{path} is no {name} of ours ({error}): use a bundle that you trust.") from error
        classifier.booster = xgboost.Booster({"nthread": classifier.threads}, model_file=bytearray(path.read_bytes()))
        return classifier
