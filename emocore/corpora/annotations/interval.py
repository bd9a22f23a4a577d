"""What every reader of annotations gives: the contract that a file of this folder fulfils.

A new one is a file with a function `read`, and a line in `catalogue`.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from emocore.errors import UserError
from emocore.media.source import AUDIO_SUFFIXES, VIDEO_SUFFIXES


@dataclass(frozen=True)
class Interval:
    """A stretch of a media file, and what was written on it. `media` is absolute, or relative to the annotations.

    `told`: what else is known of it, by the columns of a manifest.
    """

    media: str
    start_seconds: float
    end_seconds: float | None = None  # None: to the end of the file
    text: str = ""
    told: Mapping[str, str] = field(default_factory=dict)


Tiers = dict[str, list[Interval]]
"""Intervals by the name of their tier, or table, in the order of the file."""
Read = Callable[[str], Tiers]
"""Reads an absolute path. Raises UserError where it cannot be read or a library is missing."""

# What a tier is of; by any other name it is somebody's.
_OF_WHAT = re.compile(
    r"emotion|affect|mood|label|segment|turn|utterance|sentence|phrase|word|phone|syllable|transcri|text|default|note"
    r"|comment|annotation|vad|speech",
    re.IGNORECASE,
)


def actor_of(tier: str) -> dict[str, str]:
    """Return the actor that a tier is named after, as cells; none where its name says what it is of.

    >>> actor_of("Anna"), actor_of("emotion")
    ({'actor': 'Anna'}, {})
    """
    return {} if not tier.strip() or _OF_WHAT.search(tier) else {"actor": tier.strip()}


def media_beside(annotations: str, stem: str) -> str | None:
    """Return the name of the media file of this stem in the annotations' folder: a film before a recording."""
    folder = Path(annotations).parent
    found = [entry for entry in sorted(folder.iterdir()) if entry.stem == stem]
    for suffixes in (VIDEO_SUFFIXES, AUDIO_SUFFIXES):  # a film holds both
        for entry in found:
            if entry.suffix.lower() in suffixes:
                return entry.name
    return None


def library(name: str, package: str, annotations: str) -> Any:
    """Import what reads a kind of annotations. Raises UserError where it is not installed."""
    try:
        return import_module(name)
    except ImportError as error:
        raise UserError(
            f"{annotations!r} is read by {package}, which is not installed: pip install 'emocore[annotations]'."
        ) from error


def unreadable(annotations: str, kind: str, error: Exception) -> UserError:
    """Return what is said of a file that is not what its name says."""
    why = str(error).strip().rstrip(".") or type(error).__name__
    return UserError(f"{annotations!r} cannot be read as {kind}: {why}.")
