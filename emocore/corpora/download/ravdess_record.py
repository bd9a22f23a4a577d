"""RAVDESS as its authors published it: which archive holds what, how large it is, and its checksum where known.

Livingstone and Russo (2018), https://doi.org/10.5281/zenodo.1188976; the facial landmark tracking is
https://doi.org/10.5281/zenodo.3255102.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from emocore.cli import check_choice
from emocore.corpora.corpus import Archive
from emocore.corpora.ravdess import ACTORS, NO_SONG
from emocore.errors import UserError

SUBSETS = ("speech", "song", "video-speech", "video-song", "facial-tracking")
_SUNG = ("song", "video-song")
_RECORD = "1188976"
_TRACKING_RECORD = "3255102"


_WHOLE = {
    "speech": Archive("Audio_Speech_Actors_01-24.zip", _RECORD, 208_468_073, "bc696df654c87fed845eb13823edef8a"),
    "song": Archive("Audio_Song_Actors_01-24.zip", _RECORD, 225_505_317, "5411230427d67a21e18aa4d466e6d1b9"),
    "facial-tracking": Archive(
        "FacialTracking_Actors_01-24.zip", _TRACKING_RECORD, 417_163_019, "5753bbc64a9a790f8a8d3e03cba526ee"
    ),
}
# fmt: off
_VIDEO_SPEECH_BYTES = (
    552_968_353, 570_673_024, 567_824_665, 546_560_009, 562_966_425, 568_517_859, 565_652_404, 562_573_079,
    523_489_249, 565_580_163, 518_634_370, 557_928_718, 501_877_549, 552_484_059, 525_205_576, 562_416_513,
    551_688_845, 565_655_520, 581_121_687, 561_349_264, 590_292_896, 560_907_466, 545_177_865, 595_799_165,
)
# fmt: on
_VIDEO_SPEECH_SIZES = dict(zip(ACTORS, _VIDEO_SPEECH_BYTES, strict=True))


def parse_actors(text: str) -> tuple[str, ...]:
    """Read actor numbers and ranges. Raises UserError for anything else.

    >>> parse_actors("1,3,5-8")
    ('01', '03', '05', '06', '07', '08')
    """
    chosen: set[int] = set()
    for part in text.split(","):
        found = re.fullmatch(r"\s*([0-9]{1,2})(?:-([0-9]{1,2}))?\s*", part)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
        if not 1 <= first <= last <= len(ACTORS):
            raise UserError(
                f"--actors {text!r} has {part.strip()!r}: expected numbers from 1 to {len(ACTORS)} and ranges of them, "
                "such as 1-24 or 1,3,5-8."
            )
        chosen.update(range(first, last + 1))
    return tuple(f"{number:02d}" for number in sorted(chosen))


def ravdess_archives(subsets: Sequence[str], actors: Sequence[str]) -> list[Archive]:
    """Return the archives that hold these actors, in the order of `SUBSETS`.

    `speech`, `song` and `facial-tracking` are one archive each, whoever is asked for; the videos are one an actor.
    Nobody has recorded songs of actor 18. Raises UserError for an unknown subset, and where no archive is left.
    """
    if not subsets:
        raise UserError(f"--subset is empty: choose from {', '.join(SUBSETS)}.")
    for subset in subsets:
        check_choice("--subset", subset, SUBSETS)
    found = [archive for subset in SUBSETS if subset in subsets for archive in _archives(subset, actors)]
    if not found:
        raise UserError(f"Actor {NO_SONG} has no published songs: choose other --actors or --subset speech.")
    return found


def _archives(subset: str, actors: Sequence[str]) -> list[Archive]:
    present = [actor for actor in actors if actor != NO_SONG or subset not in _SUNG]
    if not present:
        return []
    if subset in _WHOLE:
        return [_WHOLE[subset]]
    if subset == "video-song":
        return [Archive(f"Video_Song_Actor_{actor}.zip", _RECORD) for actor in present]
    return [Archive(f"Video_Speech_Actor_{actor}.zip", _RECORD, _VIDEO_SPEECH_SIZES[actor]) for actor in present]


def files_of_record(answer: Any, record: str) -> Mapping[str, tuple[int, str]]:
    """Return {name: (bytes, MD5)} from what the record's API answered. Raises UserError for another shape."""
    try:
        found = {str(file["key"]): (int(file["size"]), str(file["checksum"])) for file in answer["files"]}
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise UserError(
            f"Record {record} answers in a shape that emocore does not know, or a proxy answers in its place: fetch "
            f"https://doi.org/10.5281/zenodo.{record} with a browser into --dest, and run the same command again."
        ) from error
    return {
        name: (size, checksum.removeprefix("md5:"))
        for name, (size, checksum) in found.items()
        if re.fullmatch(r"md5:[0-9a-f]{32}", checksum)
    }
