"""What a corpus with names of its own is to the rest: the contract that a file of this folder fulfils.

A new one is a file with a `Corpus` and a line in `catalogue`. One of your own needs no line: `--corpus my_module:NAME`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from emocore.corpora.scan import MediaFile, Row
from emocore.labels import EMOTIONS


@dataclass(frozen=True)
class LabelRules:
    """What the user says of labels: what they stand for, and where a path holds the actor."""

    mapping: Mapping[str, str] | None = None  # label → emotion
    actor_from: str | None = None  # a regular expression whose first group is the actor
    emotions: tuple[str, ...] = EMOTIONS  # that clips are labelled with
    tiers: tuple[str, ...] = ()  # of annotations; none: the only one, or the only one of emotions


@dataclass(frozen=True)
class ActorFolds:
    """A published protocol: what it does in a sentence, and the actors that each of its folds tests on."""

    words: str
    test_actors: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Archive:
    """One published zip; what is None is read from the record at first use."""

    name: str
    record: str
    size: int | None = None  # bytes
    md5: str | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Corpus:
    """How a corpus names its files, and what is known of it.

    `rows` turns media files into LISTING rows (`MediaFile.row`, `clip`, and what the name says), and FAILURES rows for
    wrong names. Of a manifest, of annotations, and of a table of pictures, the one file is the list itself.
    """

    name: str
    rows: Callable[[Sequence[MediaFile], LabelRules], tuple[list[Row], list[Row]]]
    # Whether a file's name without its suffix, alone or as FOLDER/NAME, has this corpus's shape.
    matches: Callable[[str], bool] | None = None
    is_take: Callable[[str], bool] = lambda _: False  # whether a take is one performance, in whatever folder it lies
    actors: tuple[str, ...] = ()
    protocols: Mapping[str, ActorFolds] = field(default_factory=dict)
    licence: str = ""  # a sentence for people who use a model that was trained on it
    people: str = ""  # a sentence on how well people name its emotions
    citation: str = ""

    @property
    def is_published(self) -> bool:
        """Whether it is one corpus of the field, not a way to label any."""
        return bool(self.citation)

    archives: Callable[[Sequence[str], Sequence[str]], list[Archive]] | None = None  # of subsets, actors
