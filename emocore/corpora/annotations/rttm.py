"""RTTM, as diarization writes it: who speaks when (NIST, Rich Transcription 2009 evaluation plan, appendix A)."""

from pathlib import Path

from emocore.corpora.annotations.interval import Interval, Tiers, media_beside, unreadable

_LEAST_FIELDS = 8  # type, file, channel, begin, duration, orthography, subtype, speaker
_UNKNOWN = "<NA>"


def read(path: str) -> Tiers:
    """Return the lines of type SPEAKER as one tier, each with its speaker as the actor.

    A file's id is the stem of a media file beside; where there is none, and no other id, the RTTM's own stem is. Lines
    that last no time are passed over; a stretch in which several speak is nobody's.
    """
    speakers: dict[tuple[str, float, float], set[str]] = {}
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
        for number, line in enumerate(lines, 1):
            fields = line.split()
            if not fields or fields[0] != "SPEAKER":
                continue
            if len(fields) < _LEAST_FIELDS:
                raise ValueError(f"line {number} has {len(fields)} fields, expected {_LEAST_FIELDS} or more")
            name, start, lasts, speaker = fields[1], float(fields[3]), float(fields[4]), fields[7]
            if lasts > 0:  # sums of decimals: what both have digits for is kept
                speakers.setdefault((name, start, round(start + lasts, 6)), set()).add(speaker)
    except (OSError, ValueError) as error:
        raise unreadable(path, "RTTM", error) from error
    names = dict.fromkeys(name for name, _, _ in speakers)
    own = media_beside(path, Path(path).stem) if len(names) == 1 else None
    media = {name: media_beside(path, name) or own or name for name in names}
    found = []
    for (name, start, end), heard in speakers.items():
        actors = {} if len(heard) > 1 or _UNKNOWN in heard else {"actor": next(iter(heard))}
        found.append(Interval(media[name], start, end, told=actors))
    return {"SPEAKER": found}
