"""The weights of a Whisper's encoder, read from files that may be anybody's: CTranslate2's and safetensors."""

import hashlib
import json
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from emocore.errors import UserError

Kinds = Mapping[int | str, type[np.generic]]

FILES = ("model.bin", "model.safetensors")  # of a folder, in the order in which they are looked for
CONTEXT_STEPS = 1500  # that have a position, 50 a second: 30 s
_VERSION = 6  # of CTranslate2's format
_HEAD_STATES = 64  # of a head of attention, in every Whisper; safetensors do not say it
_LEAST_BLOCKS, _MOST_BLOCKS = 4, 64  # 4 of the smallest Whisper, 32 of the largest
_MOST_ARRAYS = 10_000
_MOST_HEADER_BYTES = 2**24
_MELS = (80, 128)  # bands, of the smaller and of the latest
_CTRANSLATE2: Kinds = {0: np.float32, 4: np.float16}  # 1, 2, 3 and 5: int8, int16, int32 and bfloat16
_HEADS = "encoder/num_heads"
_OF_HEADS: Kinds = {2: np.int16}
_SAFETENSORS: Kinds = {"F32": np.float32, "F16": np.float16}

Arrays = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Encoder:
    """An encoder's arrays by CTranslate2's names without `encoder/`; linear layers are [out, in]."""

    arrays: Arrays
    heads: int  # of attention

    @property
    def mels(self) -> int:
        """How many bands it hears."""
        return int(self.arrays["conv1/weight"].shape[1])

    @property
    def states(self) -> int:
        """How many values a step has."""
        return int(self.arrays["conv1/weight"].shape[0])

    @property
    def blocks(self) -> int:
        """How many blocks it has."""
        return sum(name.endswith("ffn/linear_0/weight") for name in self.arrays)


def weights_file(path: str | Path) -> Path:
    """Return the file of weights that a path names, or that lies in the folder of that name. Raises UserError."""
    given = Path(path)
    found = next((file for file in (given, *(given / name for name in FILES)) if file.is_file()), None)
    if found is None:
        raise UserError(f"{path} has no weights of a Whisper: name a folder with {' or '.join(FILES)} in it.")
    return found


def weights_hash(file: Path) -> str:
    """Return a file's SHA-256. Raises UserError."""
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(file, error) from error


def read_encoder(file: Path) -> Encoder:
    """Return the encoder of a model.bin of CTranslate2's format 6, or of safetensors as Hugging Face names them.

    Its arrays are float32; in the file they are that or float16. Raises UserError for anything else; no more is read
    than the file holds.
    """
    try:
        with file.open("rb") as stream:
            read = _Reader(stream, file.stat().st_size)
            of_safetensors = file.suffix == ".safetensors"
            encoder = _from_safetensors(read) if of_safetensors else _from_ctranslate2(read)
            _check(encoder)
    except OSError as error:
        raise _unreadable(file, error) from error
    except (ValueError, LookupError, RecursionError) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else error
        raise UserError(
            f"{file} is no Whisper that can be read ({why}): give a model.bin of CTranslate2 in float16 or float32, or "
            "safetensors."
        ) from error
    return encoder


def _unreadable(file: Path, error: OSError) -> UserError:
    return UserError(f"{file} cannot be read ({error.strerror}): make it readable, or name another.")


class _Reader:
    """Reads a file from its begin on, and never beyond its end."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream, self._size, self.at = stream, size, 0
        self._untaken = size  # bytes: what lies in two arrays is read once

    def take(self, n: int) -> bytes:
        """Return the next n bytes."""
        begin, self._untaken = self.at, self._untaken - n
        self.skip(n)
        if self._untaken < 0:
            raise ValueError("arrays within others")
        self._stream.seek(begin)
        found = self._stream.read(n)
        if len(found) != n:
            raise ValueError("it is cut off")
        return found

    def skip(self, n: int) -> None:
        """Go on without them."""
        if self.at + n > self._size:
            raise ValueError("it is cut off")
        self.at += n

    def number(self, kind: str) -> int:
        """Return the next number, little-endian."""
        return int(struct.unpack(f"<{kind}", self.take(struct.calcsize(f"<{kind}")))[0])

    def text(self) -> str:
        """Return the next text of CTranslate2: its length with the zero that ends it, and its letters."""
        found = self.take(self.number("H"))
        if not found.endswith(b"\0"):
            raise ValueError("a name without an end")
        return found[:-1].decode("ascii")

    def array(self, shape: tuple[int, ...], kind: type[np.generic] | None, size: int) -> NDArray[Any]:
        """Return the next array, of so many bytes."""
        if kind is None or len(shape) > 3 or math.prod(shape) * np.dtype(kind).itemsize != size:
            raise ValueError(f"an array {list(shape)} of another type than float16 or float32, or of {size} bytes")
        found = np.frombuffer(self.take(size), np.dtype(kind).newbyteorder("<"))
        return found.reshape(shape).astype(np.float32)


def _from_ctranslate2(read: _Reader) -> Encoder:
    """Read the version, the kind of model, its revision, and the arrays one by one: name, sizes, type, bytes."""
    if read.number("I") != _VERSION:
        raise ValueError(f"not of format {_VERSION}")
    if read.text() != "WhisperSpec":
        raise ValueError("another kind of model")
    read.number("I")
    n = read.number("I")
    if n > _MOST_ARRAYS:
        raise ValueError(f"{n} arrays")
    arrays: dict[str, NDArray[Any]] = {}
    for _ in range(n):
        name = read.text()
        shape = tuple(read.number("I") for _ in range(read.number("B")))
        kinds = _OF_HEADS if name == _HEADS else _CTRANSLATE2
        kind, size = kinds.get(read.number("B")), read.number("I")
        if not name.startswith("encoder/"):
            read.skip(size)
        elif name.removeprefix("encoder/") in arrays:
            raise ValueError(f"{name} twice")
        else:
            arrays[name.removeprefix("encoder/")] = read.array(shape, kind, size)
    heads = arrays.pop(_HEADS.removeprefix("encoder/"))
    return Encoder(arrays, int(heads.flat[0]) if heads.size == 1 else 0)


def _from_safetensors(read: _Reader) -> Encoder:
    """Read the length of a header, the header in JSON, and the arrays where it says that they lie."""
    length = read.number("Q")
    if length > _MOST_HEADER_BYTES:
        raise ValueError(f"a header of {length} bytes")
    header = json.loads(read.take(length))
    if not isinstance(header, dict):
        raise ValueError("a header without names")
    begin, found = read.at, {}
    for name, told in header.items():
        inner = name.removeprefix("model.")
        if inner.startswith("encoder."):
            shape, kind, (start, end) = _told(told)
            read.at = begin + start
            found[inner.removeprefix("encoder.")] = read.array(shape, kind, end - start)
    states = found["conv1.weight"].shape[0]
    found["no.bias"] = np.zeros(states, np.float32)  # keys have none
    blocks = sum(name.endswith("fc1.weight") for name in found)
    names = _names(blocks) if blocks <= _MOST_BLOCKS else ()
    arrays = {ours: np.concatenate([found[one] for one in theirs]) for ours, theirs in names}
    return Encoder(arrays, states // _HEAD_STATES)


def _told(told: Any) -> tuple[tuple[int, ...], type[np.generic] | None, tuple[int, int]]:
    """Return the shape, the type, and the begin and end of an array, as a header tells them."""
    if not isinstance(told, dict):
        raise ValueError(f"an array {told!r:.99}")
    sizes: Any = told.get("shape")
    ends: Any = told.get("data_offsets")
    for numbers in (sizes, ends):
        if not isinstance(numbers, list) or not all(type(one) is int and 0 <= one < 2**48 for one in numbers):
            raise ValueError(f"an array {told!r:.99}")
    if len(ends) != 2 or ends[1] < ends[0]:
        raise ValueError(f"an array {told!r:.99}")
    return tuple(sizes), _SAFETENSORS.get(str(told.get("dtype"))), (ends[0], ends[1])


def _names(blocks: int) -> Iterator[tuple[str, list[str]]]:
    """Yield CTranslate2's names of arrays, each with those of the arrays of safetensors that are joined in it."""
    for one in ("conv1", "conv2"):
        yield from ((f"{one}/{part}", [f"{one}.{part}"]) for part in ("weight", "bias"))
    yield "position_encodings/encodings", ["embed_positions.weight"]
    yield from (("layer_norm/gamma", ["layer_norm.weight"]), ("layer_norm/beta", ["layer_norm.bias"]))
    for i in range(blocks):
        ours, theirs = f"layer_{i}/self_attention", f"layers.{i}.self_attn"
        yield f"{ours}/linear_0/weight", [f"{theirs}.{one}_proj.weight" for one in "qkv"]
        yield f"{ours}/linear_0/bias", [f"{theirs}.q_proj.bias", "no.bias", f"{theirs}.v_proj.bias"]
        for layer, other in (("self_attention", "self_attn_layer_norm"), ("ffn", "final_layer_norm")):
            yield f"layer_{i}/{layer}/layer_norm/gamma", [f"layers.{i}.{other}.weight"]
            yield f"layer_{i}/{layer}/layer_norm/beta", [f"layers.{i}.{other}.bias"]
        linear = (("self_attention/linear_1", "self_attn.out_proj"), ("ffn/linear_0", "fc1"), ("ffn/linear_1", "fc2"))
        for layer, other in linear:
            yield from ((f"layer_{i}/{layer}/{part}", [f"layers.{i}.{other}.{part}"]) for part in ("weight", "bias"))


def _check(encoder: Encoder) -> None:
    """Raise ValueError or KeyError unless an encoder has the arrays of a Whisper, each of its shape, and no others."""
    arrays = encoder.arrays
    if arrays["conv1/weight"].ndim != 3 or encoder.mels not in _MELS:
        raise ValueError(f"conv1/weight of {list(arrays['conv1/weight'].shape)}")
    if not _LEAST_BLOCKS <= encoder.blocks <= _MOST_BLOCKS:
        raise ValueError(f"{encoder.blocks} blocks")
    wanted = dict(_shapes(encoder.mels, encoder.states, encoder.blocks))
    for name in {**wanted, **arrays}:
        if name not in wanted or arrays[name].shape != wanted[name]:
            raise ValueError(f"{name} of {list(arrays[name].shape)} in an encoder of {encoder.states} states")
        if not np.isfinite(arrays[name]).all():
            raise ValueError(f"NaN or infinity in {name}")
    if encoder.heads < 1 or encoder.states % encoder.heads:
        raise ValueError(f"{encoder.heads} heads of attention for {encoder.states} states")


def _shapes(mels: int, states: int, blocks: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the names of an encoder's arrays, and their shapes."""
    yield from (("conv1/weight", (states, mels, 3)), ("conv1/bias", (states,)))
    yield from (("conv2/weight", (states, states, 3)), ("conv2/bias", (states,)))
    yield "position_encodings/encodings", (CONTEXT_STEPS, states)
    norms = ["layer_norm"]
    for i in range(blocks):
        attention, ffn = f"layer_{i}/self_attention", f"layer_{i}/ffn"
        norms += [f"{attention}/layer_norm", f"{ffn}/layer_norm"]
        layers = ((f"{attention}/linear_0", 3, 1), (f"{attention}/linear_1", 1, 1))
        for name, out, into in (*layers, (f"{ffn}/linear_0", 4, 1), (f"{ffn}/linear_1", 1, 4)):
            yield from ((f"{name}/weight", (out * states, into * states)), (f"{name}/bias", (out * states,)))
    yield from ((f"{norm}/{part}", (states,)) for norm in norms for part in ("gamma", "beta"))
