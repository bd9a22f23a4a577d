"""Folds whose model is adapted to the clips that it is tested on, by statistics of those clips."""

from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from emocore.arrays import Rows
from emocore.datasets.groups import TAKE, archives, groups
from emocore.datasets.protocols import Fold
from emocore.errors import UserError, amount
from emocore.models.adaptation import COUNTS, Adapt, Adaptation, adapted, shifted_training
from emocore.models.fitting import Fitted
from emocore.models.lda import scale_of
from emocore.probabilities import softmax


class ClipGroups(NamedTuple):
    """Whose statistics count for each clip."""

    by: Literal["archive", "speaker"]
    archives: NDArray[np.object_]
    speakers: NDArray[np.object_] | None

    @property
    def names(self) -> NDArray[np.object_]:
        """The groups by which training is moved, and the tests are."""
        return self.archives if self.speakers is None else self.speakers

    def moves(self, fold: Fold) -> bool:
        """Whether training is moved too: of one archive it is what it was."""
        return self.speakers is not None or len(set(self.archives[fold.train])) > 1


def clip_groups(adapt: Adapt, clips: pa.Table, group_column: str | None) -> ClipGroups | None:
    """Return the groups by which a model is adapted; None where it is not. Raises UserError for unknown speakers."""
    if adapt == "none":
        return None
    if adapt == "archive":
        return ClipGroups("archive", archives(clips), None)
    found = groups(clips, group_column)
    if not found.known:
        unknown = sum(found.column == "clip" or name.startswith(TAKE) for name in found.values)
        raise UserError(
            f"--adapt speaker goes by who speaks, which {unknown:,} of {amount(len(found.values), 'clip')} do not say: "
            "give --actor-from REGEX or --group-column with a column of people, or choose --adapt archive."
        )
    return ClipGroups("speaker", archives(clips), found.values)


def moved_inputs(
    x: NDArray[np.float32], soft: NDArray[np.float32], of_clips: ClipGroups, fold: Fold
) -> NDArray[np.float32]:
    """Return inputs float32[n, d] in which the fold's training clips stand moved by group, and all others as zeros."""
    rows = np.concatenate([fold.train, fold.validation])
    moved = np.zeros_like(x)
    counts = COUNTS[of_clips.by]
    moved[rows] = shifted_training(x[rows], soft[rows], of_clips.names[rows], scale_of(x[fold.train]), counts)
    return moved


def answer_adapted(
    x: NDArray[np.float32], fold: Fold, of_clips: ClipGroups, plain: Fitted, moved: Fitted | None
) -> tuple[NDArray[np.float64], Adaptation]:
    """Return probabilities float64[m, k] of the fold's test clips, and how they came about."""

    def model(fitted: Fitted) -> Any:
        return lambda values: softmax(fitted.classifier.logits(values), fitted.temperature)

    def of_test(names: NDArray[np.object_] | None) -> NDArray[np.object_] | None:
        return None if names is None else names[rows]

    rows: Rows = fold.test
    reference = scale_of(x[fold.train])
    tested = of_clips.archives[rows]
    return adapted(x[rows], tested, model(plain), model(moved or plain), reference, of_test(of_clips.speakers))
