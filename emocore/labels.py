"""The emotions that a model tells apart: named sets, sets of one's own, and the names that corpora give emotions."""

import re
import unicodedata
from collections.abc import Mapping, Sequence

from emocore.errors import UserError, amount

EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
SETS = {
    "ravdess": EMOTIONS,  # the default
    "ekman": ("happy", "sad", "angry", "fearful", "disgust", "surprised"),
    "fer": ("neutral", "happy", "sad", "angry", "fearful", "disgust", "surprised"),
}
MOST_EMOTIONS = 64
_NAME = re.compile(r"[^\W_][\w-]{0,31}")  # short and printable: it is in the names of columns, in pages and in plots

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


def emotion_set(told: Sequence[str]) -> tuple[str, ...]:
    """Return the emotions of a set: one of SETS by its name, or names, also parted by commas; EMOTIONS for none.

    A foreign name of one of EMOTIONS is that emotion's; any other is an emotion of one's own. Raises UserError for
    fewer than two, more than MOST_EMOTIONS, one that is there twice, and one that is no short word.

    >>> emotion_set(["ekman"])[:2], emotion_set(["neutral,boredom", "Joy"])
    (('happy', 'sad'), ('neutral', 'boredom', 'happy'))
    """
    given = [name.strip() for part in told for name in part.split(",") if name.strip()]
    if not told:
        return EMOTIONS
    if len(given) == 1 and given[0].lower() in SETS:
        return SETS[given[0].lower()]
    names = [_lookup(name, None, ()) or _fold(name) for name in given]
    try:
        check_set(names)
    except ValueError as error:
        raise UserError(
            f"--emotions {' '.join(told)}: {error}; give one of {', '.join(SETS)}, or two or more different words, "
            "such as neutral,boredom,happy."
        ) from error
    return tuple(names)


def check_set(names: Sequence[object]) -> None:
    """Raise ValueError unless these can be a model's emotions: 2 to MOST_EMOTIONS different short words."""
    if not 2 <= len(names) <= MOST_EMOTIONS:
        raise ValueError(f"{amount(len(names), 'emotion')} where a set has 2 to {MOST_EMOTIONS}")
    for name in names:
        if not (isinstance(name, str) and _NAME.fullmatch(name)):
            raise ValueError(f"{str(name)[:40]!r} is no word of letters, digits, _ and -, 32 at most")
    if len(set(names)) < len(names):
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} is there twice")


def is_emotion(name: str, mapping: Mapping[str, str] | None = None, emotions: Sequence[str] = EMOTIONS) -> bool:
    """Whether `parse_emotion` knows the name."""
    return _lookup(name, mapping, emotions) is not None


def parse_emotion(name: str, mapping: Mapping[str, str] | None = None, emotions: Sequence[str] = EMOTIONS) -> str:
    """Return the emotion that a label stands for, whatever its case and accents: of `emotions`, or of EMOTIONS.

    `mapping` (label → emotion) is asked before the names of the set, and these before the built-in ones. Raises
    UserError for an unknown label.

    >>> parse_emotion("Fear"), parse_emotion("Überraschung"), parse_emotion("bored", {"bored": "calm"})
    ('fearful', 'surprised', 'calm')
    """
    emotion = _lookup(name, mapping, emotions)
    if emotion is None:
        raise UserError(f"Unknown emotion {name!r}: {_remedy([name], emotions)}.")
    return emotion


def check_emotions(
    labels: Mapping[str, int],
    mapping: Mapping[str, str] | None = None,
    emotions: Sequence[str] = EMOTIONS,
    *,
    unit: str = "file",
    where: str = "",
    or_else: str = "",
) -> None:
    """Raise one UserError that names all unknown labels, the most frequent first; `labels` counts each.

    >>> check_emotions({"Joy": 2, "Fear": 1})
    """
    unknown = sorted(
        (label for label in labels if not is_emotion(label, mapping, emotions)), key=lambda label: -labels[label]
    )
    if not unknown:
        return
    named = ", ".join(f"{label!r} ({amount(labels[label], unit)})" for label in unknown[:_MOST_NAMED])
    if len(unknown) > _MOST_NAMED:
        named += f" and {len(unknown) - _MOST_NAMED:,} more"
    raise UserError(
        f"Unknown emotion{'s' if len(unknown) > 1 else ''} {named}{where}: {_remedy(unknown, emotions)}{or_else}."
    )


def _remedy(unknown: list[str], emotions: Sequence[str]) -> str:
    each = "each" if len(unknown) > 1 else "it"
    return (
        f"expected one of {', '.join(emotions)}, a mapping for {each} (--map {unknown[0] or 'LABEL'}=EMOTION), or a "
        "set of your own (--emotions NAME,NAME,…)"
    )


def _lookup(name: str, mapping: Mapping[str, str] | None, emotions: Sequence[str]) -> str | None:
    own = {_fold(label): _fold(emotion) for label, emotion in (mapping or {}).items()}
    key = own.get(_fold(name), _fold(name))
    return key if key in emotions else ALIASES.get(key)
