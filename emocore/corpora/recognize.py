"""After which corpus files are named, and what that corpus is called."""

from collections.abc import Sequence

from emocore.corpora.catalogue import CORPORA
from emocore.corpora.corpus import Corpus, LabelRules
from emocore.corpora.folder import FOLDER
from emocore.corpora.scan import MediaFile, Row
from emocore.errors import UserError, amount
from emocore.progress import say


def read_names(
    root: str, files: Sequence[MediaFile], rules: LabelRules, corpus: Corpus | None
) -> tuple[Corpus, list[Row], list[Row]]:
    """Return by which corpus the files of a root are read, and its LISTING and FAILURES rows.

    That is the corpus given, else the one whose shape half of the names have, else a labelled folder. Raises UserError
    where fewer have it, and no folder says anything: the labels of all would be lost.
    """
    if corpus:
        return corpus, *corpus.rows(files, rules)
    has_shape = {corpus: _having(corpus, files) for corpus in CORPORA.values() if corpus.matches}
    likely = max(has_shape, key=lambda corpus: sum(has_shape[corpus]))
    n = sum(has_shape[likely])
    if 2 * n >= len(files) > 0:
        return likely, *likely.rows(files, rules)
    rows, failures = FOLDER.rows(files, rules)
    if n and not any(row["emotion"] for row in rows):
        other = next(file.below for file, has in zip(files, has_shape[likely], strict=True) if not has)
        raise UserError(
            f"{root!r}: {amount(n, 'file')} of {len(files):,} {'is' if n == 1 else 'are'} named as {likely.name} names "
            f"them, the others are not (such as {other!r}), and no folder names an emotion: leave the others out "
            f"(--exclude GLOB), give --corpus {likely.name}, by which they are failures, or a manifest that labels all."
        )
    if n:
        say(f"{root}: labels are those of the folders; {amount(n, 'file')} of {len(files):,} named as by {likely.name}")
    return FOLDER, rows, failures


def of_corpus(corpus: Corpus, root: str, rows: Sequence[Row]) -> list[Row]:
    """Return the rows with the name of their corpus, unless a manifest gives one of its own.

    A published corpus, or a Corpus of the user's, has its name wherever it lies; a folder or zip that of itself, and
    what lists files by a table that of the table and its folder.

    >>> of_corpus(FOLDER, "/data/calls.zip", [{}])
    [{'corpus': 'calls'}]
    """
    name = corpus.name
    if corpus is FOLDER:
        name = root.rstrip("/").rpartition("/")[2].removesuffix(".zip")
    elif name in CORPORA and not corpus.is_published:
        name = "/".join(root.rstrip("/").rsplit("/", 2)[-2:])
    return [{**row, "corpus": row.get("corpus") or name} for row in rows]


def _having(corpus: Corpus, files: Sequence[MediaFile]) -> list[bool]:
    assert corpus.matches
    return [any(map(corpus.matches, _names(file.below))) for file in files]


def _names(below: str) -> tuple[str, str]:
    folder, _, name = below.rpartition("/")
    stem = name.rpartition(".")[0]
    return stem, f"{folder.rpartition('/')[2]}/{stem}"
