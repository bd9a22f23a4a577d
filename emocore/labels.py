"""The eight emotions, in RAVDESS order, and the names that other corpora give them."""

import unicodedata
from collections.abc import Mapping

from emocore.errors import UserError, amount

EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")

# Names in corpora (FER2013, FER+, AffectNet, CREMA-D, TESS, SAVEE, EMO-DB, IEMOCAP, MELD), of tools, and of
# folders in five languages; in any case, with or without accents. Spanish "ira" is left out: it is also a first name.
_NAMES = {
    "neutral": "neutrality neu no_emotion neutralität neutre neutralité neutro neutra neutralidad neutrale neutralità",
    "calm": "calmness ruhig ruhe gelassen calme tranquille calma calmo calmado tranquilo",
    "happy": "happiness hap joy joyful glücklich glück freude freudig fröhlich fröhlichkeit heureux heureuse joie "
    "joyeux bonheur feliz felicidad alegría alegre contento felice felicità gioia allegria allegro",
    "sad": "sadness traurig traurigkeit trauer triste tristesse tristeza tristezza",
    "angry": "anger ang wut wütend ärger ärgerlich zorn zornig colère fâché enojo enojado enfado enfadado rabia "
    "rabbia arrabbiato",
    "fearful": "fear fea scared afraid angst ängstlich furcht furchtsam peur effrayé miedo asustado paura "
    "impaurito spaventato",
    "disgust": "disgusted dis ekel angeekelt dégoût dégoûté asco asqueado disgusto disgustato",
    "surprised": "surprise sur ps pleasant_surprise pleasant_surprised überraschung überrascht surpris sorpresa "
    "sorprendido sorpreso",
}
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})
_MOST_NAMED = 20


def _fold(label: str) -> str:
    """Return a label without case and accents, as file systems and keyboards write them in several ways."""
    parts = unicodedata.normalize("NFKD", label.strip().casefold())
    return "".join(part for part in parts if not unicodedata.combining(part)).strip()


_SPELLINGS = {name: emotion for emotion, names in _NAMES.items() for name in (emotion, *names.split())}
ALIASES = {
    spelling: emotion
    for name, emotion in _SPELLINGS.items()
    for spelling in (_fold(name), _fold(name.translate(_UMLAUTS)))
}


def is_emotion(name: str, mapping: Mapping[str, str] | None = None) -> bool:
    """Whether `parse_emotion` knows the name."""
    return _lookup(name, mapping) is not None


def parse_emotion(name: str, mapping: Mapping[str, str] | None = None) -> str:
    """Return the emotion that a label stands for, whatever its case and accents.

    `mapping` (label → emotion) is asked before the built-in names. Raises UserError for an unknown label.

    >>> parse_emotion("Fear"), parse_emotion("Überraschung"), parse_emotion("bored", {"bored": "calm"})
    ('fearful', 'surprised', 'calm')
    """
    emotion = _lookup(name, mapping)
    if emotion is None:
        raise UserError(f"Unknown emotion {name!r}: {_remedy([name])}.")
    return emotion


def check_emotions(
    labels: Mapping[str, int],
    mapping: Mapping[str, str] | None = None,
    *,
    unit: str = "file",
    where: str = "",
    or_else: str = "",
) -> None:
    """Raise one UserError that names all unknown labels, the most frequent first; `labels` counts each.

    >>> check_emotions({"Joy": 2, "Fear": 1})
    """
    unknown = sorted((label for label in labels if not is_emotion(label, mapping)), key=lambda label: -labels[label])
    if not unknown:
        return
    named = ", ".join(f"{label!r} ({amount(labels[label], unit)})" for label in unknown[:_MOST_NAMED])
    if len(unknown) > _MOST_NAMED:
        named += f" and {len(unknown) - _MOST_NAMED:,} more"
    raise UserError(f"Unknown emotion{'s' if len(unknown) > 1 else ''} {named}{where}: {_remedy(unknown)}{or_else}.")


def _remedy(unknown: list[str]) -> str:
    each = "each" if len(unknown) > 1 else "it"
    return f"expected one of {', '.join(EMOTIONS)}, or a mapping for {each} (--map {unknown[0] or 'LABEL'}=EMOTION)"


def _lookup(name: str, mapping: Mapping[str, str] | None) -> str | None:
    key = _fold(name)
    own = {_fold(label): _fold(emotion) for label, emotion in (mapping or {}).items()}
    return ALIASES.get(own.get(key, key))
