"""EAF, as ELAN writes it: tiers of annotations on media that the file names (EAF 3.0), read by pympi-ling."""

from os.path import normpath
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from emocore.corpora.annotations.interval import Interval, Tiers, actor_of, library, media_beside, unreadable


def read(path: str) -> Tiers:
    """Return the annotations of each tier that has times or refers to one that has, those without a text too.

    The actor is the tier's participant, else who it is named after.
    """
    elan = library("pympi.Elan", "pympi-ling", path)
    try:
        file = elan.Eaf(path)
        media, origin = _media(path, file.get_linked_files())
        return {name: [_interval(media, origin, one, file, name) for one in _times(file, name)] for name in file.tiers}
    except Exception as error:  # the library says in many ways that a file is none
        raise unreadable(path, "EAF", error) from error


def _times(file: Any, tier: str) -> list[Any]:
    found = [one for one in file.get_annotation_data_for_tier(tier) if None not in one[:2]]
    return sorted(found, key=lambda one: one[:2])


def _interval(media: str, origin: float, one: Any, file: Any, tier: str) -> Interval:
    start, end, text = one[:3]  # in milliseconds
    participant = (file.tiers[tier][2].get("PARTICIPANT") or "").strip()
    told = {"actor": participant} if participant else actor_of(tier)
    return Interval(media, (start + origin) / 1000, (end + origin) / 1000, text or "", told)


def _media(path: str, linked: list[dict[str, Any]]) -> tuple[str, float]:
    """Return the first of the linked files that is there, and which of its milliseconds is the annotations' zero.

    A corpus may have moved: a file is looked for where the link leads, relative to the EAF, and beside it.
    """
    for one in linked:
        links = [one.get("RELATIVE_MEDIA_URL") or "", one.get("MEDIA_URL") or ""]
        names = [unquote(urlparse(link).path) for link in links if link]
        for name in [*names, *(Path(name).name for name in names)]:
            if name and (Path(path).parent / name).is_file():
                return normpath(name), float(one.get("TIME_ORIGIN") or 0)
    stem = Path(path).stem
    return media_beside(path, stem) or stem, 0.0
