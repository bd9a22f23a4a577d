"""Named ways to part clips into training and test, none of which lets an actor stand on both sides."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from emocore.arrays import Rows
from emocore.corpora.catalogue import protocols
from emocore.datasets.groups import TAKE, Groups, columns_of_people, genders, groups, spread
from emocore.errors import UserError, amount

PUBLISHED = protocols()
CROSS_CORPUS = "cross-corpus"
_NO_ROWS: Rows = np.empty(0, np.int64)


@dataclass(frozen=True, eq=False)
class Fold:
    """Row indices into a table of clips: to fit on, to choose on (perhaps none) and to test on."""

    name: str
    train: Rows
    validation: Rows
    test: Rows
    weights: npt.NDArray[np.float32] | None = None  # what each of the table's clips counts in training; None: the same

    def weighted(self, soft: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Return the soft labels float32[n, k] of all clips, each times what it counts in training."""
        return soft if self.weights is None else soft * self.weights[:, None]


def make_folds(
    protocol: str,
    clips: pa.Table,
    *,
    group_column: str | None = None,
    actor_from: str | None = None,
    seed: int = 0,
) -> tuple[list[Fold], int]:
    """Return a protocol's folds on the actors that are present, and how many were left out as empty.

    `group_column` and `actor_from` say what stands for the actor, as in `groups`; the seed deals the groups
    of grouped5. Only `given` fills `validation`, and leaves out clips without a split. Raises UserError for
    an unknown protocol, for actors that the protocol cannot place, and where nothing is left to train or to
    test on.
    """
    if protocol not in PROTOCOLS:
        raise UserError(f"Unknown protocol {protocol!r}: expected one of {', '.join(PROTOCOLS)}.")
    if not clips.num_rows:
        raise UserError(f"Protocol {protocol!r} has no clips to part: give a corpus with at least one.")
    return PROTOCOLS[protocol](clips, groups(clips, group_column, actor_from), seed)


def inner_folds(
    clips: pa.Table,
    rows: Rows,
    n: int,
    seed: int,
    *,
    group_column: str | None = None,
    actor_from: str | None = None,
) -> list[tuple[Rows, Rows]]:
    """Return (train, test) pairs that part these rows by actor, balanced by gender.

    There are n, or one an actor where there are fewer actors. Clips of unknown actors are parted by take.
    Raises UserError where there is only one group.
    """
    values, gender = _part(clips, rows, group_column, actor_from)
    n = min(n, len(gender))
    _check_several(gender, f"{n} inner folds")
    fold_of = spread(list(values), gender, n, seed)
    folds = np.array([fold_of[value] for value in values])
    return [(rows[folds != fold], rows[folds == fold]) for fold in range(n)]


def draw_validation(
    clips: pa.Table,
    rows: Rows,
    seed: int,
    share: float = 0.2,
    *,
    group_column: str | None = None,
    actor_from: str | None = None,
) -> tuple[Rows, Rows]:
    """Return (train, validation) of these rows: validation is a share of the actors of each gender.

    It is one actor at least. Clips of unknown actors are drawn by take. Raises UserError where there is only
    one group.
    """
    values, gender = _part(clips, rows, group_column, actor_from)
    _check_several(gender, "validation actors")
    wanted = min(max(1, round(share * len(gender))), len(gender) - 1)
    waiting: dict[str, list[str]] = {}
    for name in np.random.default_rng(seed).permutation(sorted(gender)):
        waiting.setdefault(gender[str(name)], []).append(str(name))
    size = {kind: len(names) for kind, names in waiting.items()}
    drawn: set[str] = set()
    for _ in range(wanted):  # the gender with the smallest share so far, of these the larger
        kind = min((k for k in waiting if waiting[k]), key=lambda k: (1 - len(waiting[k]) / size[k], -size[k], k))
        drawn.add(waiting[kind].pop())
    inside = np.array([value in drawn for value in values])
    return rows[~inside], rows[inside]


def check_disjoint(
    clips: pa.Table, fold: Fold, *, group_column: str | None = None, actor_from: str | None = None
) -> None:
    """Raise UserError where identical bytes, a take or an actor stand in two of train, validation and test."""
    content = clips["content_id"].to_pylist() if "content_id" in clips.column_names else [None] * clips.num_rows
    group = groups(clips, group_column, actor_from)
    keys: dict[str, Sequence[str | None]] = {
        "hold identical bytes": content,
        "are recordings of one take": clips["take"].to_pylist(),
        f"have one {group.column}": list(group.values),
    }
    sides = (
        ("trains", "tests", np.concatenate([fold.train, fold.validation]), fold.test),
        ("trains", "chooses", fold.train, fold.validation),
    )
    for (does, does_too, rows, others), (same, key) in product(sides, keys.items()):
        first = {key[row]: row for row in reversed(rows.tolist()) if key[row] is not None}
        clash = next((row for row in others.tolist() if key[row] in first), None)
        if clash is not None:
            paths = clips["path"].take([first[key[clash]], clash]).to_pylist()
            raise UserError(
                f"Fold {fold.name!r} {does} on {paths[0]!r} and {does_too} on {paths[1]!r}, which {same}: "
                f"leave one of them out, or put both on one side."
            )


def _by_actor(protocol: str, _: pa.Table, group: Groups, __: int) -> tuple[list[Fold], int]:
    corpus, published = PUBLISHED[protocol]
    actors = np.array([f"{int(value):02d}" if _is_number(value) else value for value in group.values])
    for actor, value in zip(actors, group.values, strict=True):
        if actor not in corpus.actors:
            first, last = (end.lstrip("0") for end in (corpus.actors[0], corpus.actors[-1]))
            raise UserError(
                f"Protocol {protocol!r} parts the {corpus.name.upper()} actors {first} to {last} and found "
                f"{group.column} {_name(value)}: choose grouped5, or say where the path holds it (--actor-from REGEX)."
            )
    return _test_on(protocol, {str(n): np.isin(actors, test) for n, test in enumerate(published.test_actors, 1)})


def _is_number(value: str) -> bool:
    return value.isascii() and value.isdigit()


def _check_known(protocol: str, clips: pa.Table, group: Groups) -> None:
    """Raise UserError where a clip's group is unknown: its takes would be dealt at random, whoever speaks."""
    if group.known or group.column == "clip":
        return
    unknown = sum(value.startswith(TAKE) for value in group.values)
    columns = [name for name in columns_of_people(clips) if name != group.column]
    by_column = "--group-column with a column that says who it is"
    if columns:
        by_column = f"--group-column {columns[0]} (columns that look like people: {', '.join(columns)})"
    raise UserError(
        f"Protocol {protocol!r} keeps people apart, and {unknown:,} of {amount(len(group.values), 'clip')} have no "
        f"{group.column}: give {by_column}, say where the path holds the actor (--actor-from REGEX), or "
        "choose grouped5 with --group-column clip, by which a person may stand on both sides."
    )


def _loso(clips: pa.Table, group: Groups, _: int) -> tuple[list[Fold], int]:
    _check_known("loso", clips, group)
    return _test_on("loso", {name: group.values == name for name in sorted(set(group.values))})


def _grouped5(clips: pa.Table, group: Groups, seed: int) -> tuple[list[Fold], int]:
    _check_known("grouped5", clips, group)
    fold_of = spread(list(group.values), genders(clips, group.values), 5, seed)
    folds = np.array([fold_of[value] for value in group.values])
    return _test_on("grouped5", {str(fold + 1): folds == fold for fold in range(5)})


def _given(clips: pa.Table, _: Groups, __: int) -> tuple[list[Fold], int]:
    split = np.array(clips["split"].to_pylist(), object)
    train, validation, test = (np.flatnonzero(split == side) for side in ("train", "validation", "test"))
    for side, rows in {"train": train, "test": test}.items():
        if not len(rows):
            raise UserError(
                f"Protocol 'given' found no {side!r} clip: name a folder level or a manifest's split "
                f"train and test, or choose grouped5."
            )
    return [Fold("given", train, validation, test)], 0


def _all(clips: pa.Table, _: Groups, __: int) -> tuple[list[Fold], int]:
    return [Fold("all", np.arange(clips.num_rows), _NO_ROWS, _NO_ROWS)], 0


def _as_is(clips: pa.Table, _: Groups, __: int) -> tuple[list[Fold], int]:
    return [Fold("as-is", _NO_ROWS, _NO_ROWS, np.arange(clips.num_rows))], 0


def _cross_corpus(clips: pa.Table, _: Groups, __: int) -> tuple[list[Fold], int]:
    """Test each corpus by what was trained on the others, over the emotions that both sides know."""
    corpora = np.array([corpus or "" for corpus in clips["corpus"].to_pylist()], object)
    emotions = np.array(clips["emotion"].to_pylist(), object)
    names = sorted(set(corpora))
    if len(names) < 2:
        raise UserError(
            f"Protocol {CROSS_CORPUS!r} trains on some corpora and tests on another, and all clips are of one, "
            f"{names[0]!r}: give several DATA, or a manifest with a column 'corpus'."
        )
    folds = []
    for name in names:
        tested = corpora == name
        both = sorted(set(emotions[tested]) & set(emotions[~tested]) - {None})
        if len(both) < 2:
            raise UserError(
                f"The corpus {name!r} shares {amount(len(both), 'emotion')} with the others: protocol {CROSS_CORPUS!r} "
                "needs two or more, so leave it out, or join labels (--map LABEL=EMOTION)."
            )
        known = np.isin(emotions, both)
        train = np.flatnonzero(~tested & known)
        folds.append(Fold(name, train, _NO_ROWS, np.flatnonzero(tested & known), _balance(corpora, train)))
    return folds, 0


def _balance(corpora: npt.NDArray[np.object_], train: Rows) -> npt.NDArray[np.float32]:
    """Return weights by which all corpora count the same in training, and clips 1 in the mean."""
    names, place, counts = np.unique(corpora[train].astype(str), return_inverse=True, return_counts=True)
    weights = np.ones(len(corpora), np.float32)
    weights[train] = len(train) / (len(names) * counts[place])
    return weights


PROTOCOLS: dict[str, Callable[[pa.Table, Groups, int], tuple[list[Fold], int]]] = {
    **{name: partial(_by_actor, name) for name in PUBLISHED},
    "loso": _loso,
    "grouped5": _grouped5,
    CROSS_CORPUS: _cross_corpus,
    "given": _given,
    "all": _all,
    "as-is": _as_is,
}


def _test_on(protocol: str, tests: Mapping[str, npt.NDArray[np.bool_]]) -> tuple[list[Fold], int]:
    folds = []
    for name, test in tests.items():
        if test.all():
            raise UserError(
                f"Protocol {protocol!r} tests on every clip in fold {name!r} and leaves nothing to train on: "
                f"give clips of more actors, or choose loso or grouped5."
            )
        if test.any():
            folds.append(Fold(name, np.flatnonzero(~test), _NO_ROWS, np.flatnonzero(test)))
    if not folds:
        wanted = ", ".join(actor for actors in PUBLISHED[protocol][1].test_actors for actor in actors)
        raise UserError(
            f"Protocol {protocol!r} tests on actors {wanted} and none is present: give their clips, or choose loso."
        )
    return folds, len(tests) - len(folds)


def _part(
    clips: pa.Table, rows: Rows, group_column: str | None, actor_from: str | None
) -> tuple[npt.NDArray[np.object_], dict[str, str]]:
    chosen = clips.take(rows)
    values = groups(chosen, group_column, actor_from).values
    return values, genders(chosen, values)


def _check_several(gender: Mapping[str, str], purpose: str) -> None:
    if len(gender) < 2:
        raise UserError(
            f"Clips of {len(gender)} actor cannot be parted for {purpose}: give clips of two or more actors."
        )


def _name(value: str) -> str:
    return "unknown" if value.startswith(TAKE) else repr(value)
