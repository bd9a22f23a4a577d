"""How a corpus is read, as options."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import tyro

from emocore.errors import UserError
from emocore.features.family import FeatureFamily, Level
from emocore.labels import EMOTIONS, emotion_set
from emocore.pipeline.options.files import FileOptions

if TYPE_CHECKING:
    from emocore.corpora.listing import Listing


@dataclass(frozen=True, kw_only=True)
class CorpusOptions(FileOptions):
    """How a corpus is read."""

    corpus: str = "auto"
    """how the labels are written: ravdess, crema-d, tess, savee, emo-db, emovo, nemo: in their names; fer2013: in
    Kaggle's table; folder: folders named by emotion; manifest: its columns; annotations: their tiers; or a Corpus of
    your own, MODULE:NAME; auto: as the names look"""
    map: Annotated[tuple[str, ...], tyro.conf.arg(metavar="LABEL=EMOTION …")] = ()
    """what labels of your own stand for"""
    emotions: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME …")] = ()
    """the emotions to tell apart: ravdess (8), ekman (6), fer (7: without calm), or names of your own, such as
    neutral,boredom,happy; those of the feature tables, else ravdess, unless given"""
    actor_from: str | None = None
    """regular expression on the path below the corpus; its first group is the actor"""
    sample_rate_hz: int | None = None
    """sample rate of the audio features, in Hz; 22050 unless feature tables say otherwise"""
    level: Level | None = None
    """loudness as recorded, or with every clip's peak at full scale; as-is unless feature tables say otherwise"""

    def heard(self, family: FeatureFamily) -> FeatureFamily:
        """Return a family of sound with the rate and level that were asked for."""
        asked = {"sample_rate_hz": self.sample_rate_hz, "level": self.level}
        return family.with_input(**{name: value for name, value in asked.items() if value is not None})

    def list(self, roots: tuple[str, ...], stills: bool = False, emotions: tuple[str, ...] = EMOTIONS) -> "Listing":
        """List the corpora; with `stills` images are media too; `emotions`: unless given. Raises UserError."""
        from emocore.corpora.listing import list_corpora  # noqa: PLC0415 - it reads media, the options do not

        mapping = _mapping(self.map)
        return list_corpora(
            roots,
            kind=self.corpus,
            mapping=mapping,
            actor_from=self.actor_from,
            stills=stills,
            exclude=self.exclude,
            no_follow=self.no_follow,
            emotions=emotion_set(self.emotions) if self.emotions else emotions,
            tiers=self.tier,
        )


def _mapping(pairs: tuple[str, ...]) -> dict[str, str]:
    for pair in pairs:
        if "=" not in pair:
            raise UserError(f"--map {pair!r} is not LABEL=EMOTION: write for instance --map bored=neutral.")
    return dict(pair.split("=", 1) for pair in pairs)
