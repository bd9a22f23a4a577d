"""TextGrid, as Praat writes it: tiers of intervals (Praat manual, TextGrid file formats), read by praatio."""

from pathlib import Path

from emocore.corpora.annotations.interval import Interval, Tiers, actor_of, library, media_beside, unreadable


def read(path: str) -> Tiers:
    """Return the intervals of each tier that have a text; points have no length, and are none.

    The media file has the same stem; the actor is who the tier is named after.
    """
    textgrid = library("praatio.textgrid", "praatio", path)
    try:
        grid = textgrid.openTextgrid(path, includeEmptyIntervals=False, reportingMode="silence")
        stem = Path(path).stem
        media = media_beside(path, stem) or stem
        return {
            name: [
                Interval(media, float(one.start), float(one.end), one.label, actor_of(name))
                for one in grid.getTier(name).entries
                if one.label.strip()
            ]
            for name in grid.tierNames
            if isinstance(grid.getTier(name), textgrid.IntervalTier)
        }
    except Exception as error:  # the library says in many ways that a file is none
        raise unreadable(path, "TextGrid", error) from error
