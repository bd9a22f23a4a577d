"""The eight emotions, in RAVDESS order, and the names that other corpora give them."""

from collections.abc import Mapping

from emocore.errors import UserError

EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")

# Names in FER2013, CREMA-D, TESS, SAVEE, EMO-DB and plain folders, lower case.
ALIASES = {
    **{name: name for name in EMOTIONS},
    "neutrality": "neutral",
    "neu": "neutral",
    "calmness": "calm",
    "happiness": "happy",
    "hap": "happy",
    "joy": "happy",
    "sadness": "sad",
    "anger": "angry",
    "ang": "angry",
    "fear": "fearful",
    "fea": "fearful",
    "disgusted": "disgust",
    "dis": "disgust",
    "surprise": "surprised",
    "sur": "surprised",
    "ps": "surprised",
    "pleasant_surprise": "surprised",
    "pleasant_surprised": "surprised",
}


def is_emotion(name: str, mapping: Mapping[str, str] | None = None) -> bool:
    """Whether `parse_emotion` knows the name."""
    return _lookup(name, mapping) is not None


def parse_emotion(name: str, mapping: Mapping[str, str] | None = None) -> str:
    """Return the emotion that a label stands for, whatever its case.

    `mapping` (label → emotion) is asked before the built-in names. Raises UserError for an unknown label.

    >>> parse_emotion("Fear"), parse_emotion("surprise"), parse_emotion("bored", {"bored": "calm"})
    ('fearful', 'surprised', 'calm')
    """
    emotion = _lookup(name, mapping)
    if emotion is None:
        raise UserError(
            f"Unknown emotion {name!r}: expected one of {', '.join(EMOTIONS)}, or a mapping for it "
            f"(--map {name or 'LABEL'}=EMOTION)."
        )
    return emotion


def _lookup(name: str, mapping: Mapping[str, str] | None) -> str | None:
    key = name.strip().lower()
    own = {label.strip().lower(): emotion.strip().lower() for label, emotion in (mapping or {}).items()}
    return ALIASES.get(own.get(key, key))
