"""Files of weights: what they hold is read, and what is no Whisper is refused in one sentence, at once."""

import struct
import time

import numpy as np
import pytest
from whisper_files import BLOCKS, MELS, STATES, ctranslate2_file, safetensors_file, small_whisper

from emocore.errors import UserError
from emocore.features.whisper_weights import read_encoder, weights_file

ARRAYS, THEIRS = small_whisper()


def written(folder, content, name="model.bin"):
    (folder / name).write_bytes(content)
    return folder / name


def refused(file):
    with pytest.raises(UserError) as error:
        read_encoder(file)
    sentence = str(error.value)
    assert sentence.startswith(f"{file} is no Whisper that can be read (") and sentence.endswith("or safetensors.")
    return sentence.removeprefix(f"{file} is no Whisper that can be read (").partition("): give")[0]


def same(encoder, arrays):
    assert encoder.arrays.keys() == arrays.keys()
    assert all(np.array_equal(encoder.arrays[name], arrays[name]) for name in arrays)
    assert all(array.dtype == np.float32 for array in encoder.arrays.values())


def test_both_formats_hold_the_same_encoder(tmp_path):
    decoder = [("decoder/embeddings/weight", np.zeros((7, 3), np.int8))]  # passed over, whatever it is
    ours = read_encoder(written(tmp_path, ctranslate2_file(ARRAYS, others=decoder)))
    theirs = read_encoder(written(tmp_path, safetensors_file(THEIRS), "model.safetensors"))
    for encoder in (ours, theirs):
        same(encoder, ARRAYS)
        assert (encoder.mels, encoder.states, encoder.blocks, encoder.heads) == (MELS, STATES, BLOCKS, 1)
    wide = {name: array.astype(np.float32) for name, array in THEIRS.items()}
    same(read_encoder(written(tmp_path, safetensors_file(wide, "encoder."), "other.safetensors")), ARRAYS)


def test_a_folder_is_as_good_as_its_file(tmp_path):
    file = written(tmp_path, b"", "model.safetensors")
    assert weights_file(tmp_path) == weights_file(str(file)) == file
    assert weights_file(tmp_path) != written(tmp_path, b"") == weights_file(tmp_path)
    with pytest.raises(UserError) as error:
        weights_file(tmp_path / "nowhere")
    assert str(error.value) == (
        f"{tmp_path / 'nowhere'} has no weights of a Whisper: name a folder with model.bin or model.safetensors in it."
    )


def test_what_cannot_be_read_is_one_sentence(tmp_path):
    with pytest.raises(UserError, match=r"cannot be read \(No such file or directory\): make it readable, or name"):
        read_encoder(tmp_path / "model.bin")


BLOCK_1 = "layer_1/ffn/linear_0/weight"


def without(name):
    return {key: array for key, array in ARRAYS.items() if key != name}


def with_one(array, name=BLOCK_1):
    return {**ARRAYS, name: array}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "it is cut off"),
        (b"\x06\0\0\0", "it is cut off"),
        (ctranslate2_file(ARRAYS)[:-9], "it is cut off"),
        (ctranslate2_file(ARRAYS, version=5), "not of format 6"),
        (ctranslate2_file(ARRAYS, spec="TransformerSpec"), "another kind of model"),
        (ctranslate2_file(without(BLOCK_1)), "3 blocks"),
        (ctranslate2_file(without("conv1/weight")), "'conv1/weight' is missing"),
        (ctranslate2_file(without("layer_norm/beta")), "'layer_norm/beta' is missing"),
        (ctranslate2_file(ARRAYS, heads=None), "'num_heads' is missing"),
        (ctranslate2_file(ARRAYS, heads=0), "0 heads of attention for 64 states"),
        (ctranslate2_file(ARRAYS, heads=5), "5 heads of attention for 64 states"),
        (ctranslate2_file(with_one(ARRAYS[BLOCK_1][:-1])), f"{BLOCK_1} of [255, 64] in an encoder of 64 states"),
        (ctranslate2_file(with_one(np.float16(1), "conv1/bias")), "conv1/bias of [] in an encoder of 64 states"),
        (ctranslate2_file(with_one(np.float16(1), "conv1/weight")), "conv1/weight of []"),
        (ctranslate2_file({**ARRAYS, "extra": np.float16(1)}), "extra of [] in an encoder of 64 states"),
        (ctranslate2_file(with_one(np.full_like(ARRAYS[BLOCK_1], np.nan))), f"NaN or infinity in {BLOCK_1}"),
        (
            ctranslate2_file(with_one(np.zeros((256, 64), np.int8))),
            "an array [256, 64] of another type than float16 or float32, or of 16384 bytes",
        ),
        (ctranslate2_file(ARRAYS, others=[("encoder/conv1/bias", ARRAYS["conv1/bias"])]), "encoder/conv1/bias twice"),
        (struct.pack("<IH12sII", 6, 12, b"WhisperSpec\0", 3, 2**32 - 1), "4294967295 arrays"),
    ],
)
def test_what_is_no_whisper_of_ctranslate2_is_refused(tmp_path, content, why):
    assert refused(written(tmp_path, content)) == why


FC1 = "layers.1.fc1.weight"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "it is cut off"),
        (struct.pack("<Q", 2**60), "a header of 1152921504606846976 bytes"),
        (struct.pack("<Q", 100_000) + b"[" * 100_000, ""),  # Python's own words
        (struct.pack("<Q", 2) + b"[]", "a header without names"),
        (struct.pack("<Q", 2) + b"{}", "'conv1.weight' is missing"),
        (safetensors_file(THEIRS)[:-9], "it is cut off"),
        (
            safetensors_file({name: array for name, array in THEIRS.items() if name != FC1}),
            "'layers.1.fc1.weight' is missing",
        ),
        (safetensors_file(THEIRS, **{FC1: {"dtype": "BF16"}}), "an array [256, 64] of another type"),
        (safetensors_file(THEIRS, **{FC1: {"shape": [2**47, 2**47]}}), "an array [140737488355328, 140737488355328]"),
        (safetensors_file(THEIRS, **{FC1: {"shape": [-256, -64]}}), "an array {'dtype': 'F16', 'shape': [-256"),
        (safetensors_file(THEIRS, **{FC1: {"data_offsets": [9]}}), "an array {'dtype': 'F16', 'shape': [256"),
        (safetensors_file(THEIRS, **{FC1: {"data_offsets": [0, 2**40]}}), "an array [256, 64] of another type"),
    ],
)
def test_what_is_no_whisper_of_safetensors_is_refused(tmp_path, content, why):
    assert refused(written(tmp_path, content, "model.safetensors")).startswith(why)


def test_arrays_that_lie_in_each_other_do_not_make_a_file_larger(tmp_path):
    bombs = {f"bomb{i}": np.zeros(1, np.float16) for i in range(2_000)}
    told = {name: {"shape": [1500, 64], "data_offsets": [0, 192_000]} for name in bombs}  # all the same bytes
    content = safetensors_file({**bombs, **THEIRS}, **told)
    assert refused(written(tmp_path, content, "model.safetensors")) == "arrays within others"


@pytest.mark.parametrize("name", ["model.bin", "model.safetensors"])
def test_damaged_files_are_refused_at_once_or_read(tmp_path, name):
    content = ctranslate2_file(ARRAYS) if name == "model.bin" else safetensors_file(THEIRS)
    header = 400 if name == "model.bin" else 4_000  # bytes that say what there is, and not how much it weighs
    rng = np.random.default_rng(0)
    begun = time.process_time()
    for _ in range(200):
        damaged = bytearray(content)
        for place in rng.integers(0, header, 3):
            damaged[place] = rng.integers(256)
        try:
            read_encoder(written(tmp_path, damaged, name))
        except UserError:
            continue
    assert time.process_time() - begun < 20
