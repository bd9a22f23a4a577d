"""A voice to be heard, and files of a small Whisper of random weights, as CTranslate2 and Hugging Face write them."""

import json
import struct

import numpy as np

MELS, STATES, BLOCKS = 80, 64, 4
NORM = {"gamma": "weight", "beta": "bias"}
LAYERS = {  # of CTranslate2: Hugging Face's name, and its sizes as multiples of STATES
    "self_attention/linear_1": ("self_attn.out_proj", 1, 1),
    "ffn/linear_0": ("fc1", 4, 1),
    "ffn/linear_1": ("fc2", 1, 4),
}


def voice(seconds=1.0):
    """A voice of 24 harmonics that rises, in syllables."""
    t = np.arange(round(16_000 * seconds)) / 16_000
    phase = 2 * np.pi * (120 * t + 60 * t**2)
    tone = sum(np.sin(k * phase) / k for k in range(1, 25))
    return (0.2 * tone * (1 - np.cos(2 * np.pi * 3 * t)) / 2).astype(np.float32)


def small_whisper(seed=0):
    """float16 arrays by CTranslate2's names, and the same by Hugging Face's."""
    rng = np.random.default_rng(seed)
    ours, theirs = {}, {}

    def add(name, other, *shape, by=0.1):
        ours[name] = theirs[other] = (rng.standard_normal(shape) * by).astype(np.float16)

    for i, inner in ((1, MELS), (2, STATES)):
        add(f"conv{i}/weight", f"conv{i}.weight", STATES, inner, 3)
        add(f"conv{i}/bias", f"conv{i}.bias", STATES)
    add("position_encodings/encodings", "embed_positions.weight", 1500, STATES)
    norms = [("layer_norm", "layer_norm")]
    for i in range(BLOCKS):
        for name, (other, out, into) in LAYERS.items():
            add(f"layer_{i}/{name}/weight", f"layers.{i}.{other}.weight", out * STATES, into * STATES)
            add(f"layer_{i}/{name}/bias", f"layers.{i}.{other}.bias", out * STATES)
        norms.append((f"layer_{i}/self_attention/layer_norm", f"layers.{i}.self_attn_layer_norm"))
        norms.append((f"layer_{i}/ffn/layer_norm", f"layers.{i}.final_layer_norm"))
        weight = (rng.standard_normal((3 * STATES, STATES)) * 0.1).astype(np.float16)
        bias = (rng.standard_normal(3 * STATES) * 0.1).astype(np.float16)
        bias[STATES : 2 * STATES] = 0  # keys have none
        ours[f"layer_{i}/self_attention/linear_0/weight"], ours[f"layer_{i}/self_attention/linear_0/bias"] = (
            weight,
            bias,
        )
        for place, one in enumerate("qkv"):
            rows = slice(place * STATES, (place + 1) * STATES)
            theirs[f"layers.{i}.self_attn.{one}_proj.weight"] = weight[rows]
            if one != "k":
                theirs[f"layers.{i}.self_attn.{one}_proj.bias"] = bias[rows]
    for name, other in norms:
        for part, their_part in NORM.items():
            add(f"{name}/{part}", f"{other}.{their_part}", STATES)
    return ours, theirs


def ctranslate2_file(arrays, heads=1, version=6, spec="WhisperSpec", others=()):
    """The bytes of a model.bin: `others` are arrays ahead of the encoder's."""
    everything = [*others, *((f"encoder/{name}", array) for name, array in arrays.items())]
    if heads is not None:
        everything.append(("encoder/num_heads", np.int16(heads)))
    found = struct.pack("<I", version) + _text(spec) + struct.pack("<II", 3, len(everything))
    for name, array in everything:
        array = np.asarray(array)
        kind = {"f4": 0, "i1": 1, "i2": 2, "f2": 4}[array.dtype.str[1:]]
        found += _text(name) + struct.pack(f"<B{array.ndim}I", array.ndim, *array.shape)
        found += struct.pack("<BI", kind, array.nbytes) + array.tobytes()
    return found + struct.pack("<I", 0)


def _text(text):
    return struct.pack("<H", len(text) + 1) + text.encode() + b"\0"


def safetensors_file(arrays, prefix="model.encoder.", **changed):
    """The bytes of safetensors; `changed`: what its header says of arrays, in the place of what is so."""
    header, content = {"__metadata__": {"format": "pt"}}, b""
    for name, array in arrays.items():
        ends = [len(content), len(content) + array.nbytes]
        header[prefix + name] = {
            "dtype": {2: "F16", 4: "F32"}[array.itemsize],
            "shape": array.shape,
            "data_offsets": ends,
        }
        header[prefix + name].update(changed.get(name, {}))
        content += array.tobytes()
    told = json.dumps(header).encode()
    return struct.pack("<Q", len(told)) + told + content
