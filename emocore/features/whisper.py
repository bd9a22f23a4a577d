"""The ear of Whisper (Radford et al., 2023): its log-mel spectrogram, and the states of its encoder's blocks."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emocore.features.onnx_graph import Graph
from emocore.features.whisper_weights import Encoder

RATE_HZ = 16_000
N_FFT, HOP_LENGTH = 400, 160
STEP_SAMPLES = 2 * HOP_LENGTH  # the second convolution takes every other frame
_LEAST_POWER, _MOST_BELS = 1e-10, 8.0
_FRAMES_AT_ONCE = 1024  # whose spectra fit a processor's cache


def log_mel(signal: NDArray[np.float32], n_mels: int = 80) -> NDArray[np.float32]:
    """Return what Whisper hears of float32[samples] at 16 kHz: float32[n_mels, samples // 160], 100 frames a second.

    Powers of Hann windows of 25 ms, reflected at both ends, in bands of Slaney's mel scale up to 8 kHz; their common
    logarithms, at most 8 below the largest, plus 4, by 4. What is shorter than a window is filled up with silence.

    >>> log_mel(np.zeros(16_000, np.float32)).shape
    (80, 100)
    """
    import scipy.fft  # noqa: PLC0415 - a part of a second to import

    n_frames = max(1, len(signal) // HOP_LENGTH)
    padded = np.pad(np.pad(signal, (0, max(0, N_FFT - len(signal)))), N_FFT // 2, mode="reflect")
    spans = np.lib.stride_tricks.sliding_window_view(padded, N_FFT)[::HOP_LENGTH][:n_frames]
    levels = np.empty((n_frames, n_mels), np.float32)
    for at in range(0, n_frames, _FRAMES_AT_ONCE):
        spectrum = scipy.fft.rfft(spans[at : at + _FRAMES_AT_ONCE] * _hann(), axis=1)
        levels[at : at + _FRAMES_AT_ONCE] = (spectrum.real**2 + spectrum.imag**2) @ _mel_filters(n_mels).T
    levels = np.log10(np.maximum(levels, _LEAST_POWER))
    return np.ascontiguousarray((np.maximum(levels, levels.max() - _MOST_BELS).T + 4) / 4)


@cache
def _hann() -> NDArray[np.float32]:
    import scipy.signal  # noqa: PLC0415 - a part of a second to import

    return np.asarray(scipy.signal.get_window("hann", N_FFT), np.float32)


@cache
def _mel_filters(n_mels: int) -> NDArray[np.float32]:
    import librosa  # noqa: PLC0415 - seconds to import

    return np.asarray(librosa.filters.mel(sr=RATE_HZ, n_fft=N_FFT, n_mels=n_mels), np.float32)


class Ear:
    """An encoder that gives the states behind some of its blocks, computed by onnxruntime on one thread.

    A batch would not be faster: on one thread four clips of 3.6 s take as long together as one by one. So each comes
    alone, and its states are the same to the bit whatever else is computed.
    """

    def __init__(self, encoder: Encoder, blocks: Sequence[int]) -> None:
        import onnxruntime  # noqa: PLC0415 - a part of a second to import

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.enable_cpu_mem_arena = False  # it grows with the longest sound, and is not faster
        model = encoder_model(encoder, blocks)
        self._session: Any = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self.mels = encoder.mels
        self._positions = encoder.arrays["position_encodings/encodings"].copy()

    def __call__(self, mel: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the states of float32[n_mels, frames]: float32[steps, blocks · states], a step every two frames."""
        steps = (mel.shape[1] + 1) // 2
        states = self._session.run(None, {"mel": mel[None], "positions": self._positions[:steps]})
        return np.concatenate([of_block[0] for of_block in states], axis=1)


def encoder_model(encoder: Encoder, blocks: Sequence[int]) -> bytes:
    """Return an encoder as an ONNX model: from `mel` and `positions` to the states behind these of its blocks, from 1.

    Two convolutions, positions, and blocks of attention and two linear layers, each normed ahead and added to what
    went in (Radford et al., 2023, section 2.2; Vaswani et al., 2017).
    """
    graph, w = Graph(), encoder.arrays
    x = "mel"
    for name, stride in (("conv1", 1), ("conv2", 2)):
        kernel = [x, graph.weight(w[f"{name}/weight"]), graph.weight(w[f"{name}/bias"])]
        x = graph.add("Gelu", [graph.add("Conv", kernel, kernel_shape=[3], pads=[1, 1], strides=[stride])])
    x = graph.add("Add", [graph.add("Transpose", [x], perm=[0, 2, 1]), "positions"])
    found = {}
    for i in range(max(blocks)):
        x = graph.add("Add", [x, _attend(graph, encoder, f"layer_{i}/self_attention", x)])
        inner = _linear(graph, w, f"layer_{i}/ffn/linear_0", _normed(graph, w, f"layer_{i}/ffn/layer_norm", x))
        x = graph.add("Add", [x, _linear(graph, w, f"layer_{i}/ffn/linear_1", graph.add("Gelu", [inner]))])
        found[i + 1] = x
    return graph.to_bytes(
        {"mel": [1, encoder.mels, "frames"], "positions": ["steps", encoder.states]},
        {found[block]: [1, "steps", encoder.states] for block in blocks},
    )


def _normed(graph: Graph, w: Any, name: str, x: str) -> str:
    by = [graph.weight(w[f"{name}/gamma"]), graph.weight(w[f"{name}/beta"])]
    return graph.add("LayerNormalization", [x, *by], axis=-1, epsilon=1e-5)


def _linear(graph: Graph, w: Any, name: str, x: str, rows: slice = slice(None), by: float = 1.0) -> str:
    """Return what these rows of a linear layer make of x, times a number."""
    weight, bias = (w[f"{name}/{part}"][rows] * np.float32(by) for part in ("weight", "bias"))
    product = graph.add("MatMul", [x, graph.weight(np.ascontiguousarray(weight.T))])
    return graph.add("Add", [product, graph.weight(bias)])


def _attend(graph: Graph, encoder: Encoder, name: str, x: str) -> str:
    w, states, heads = encoder.arrays, encoder.states, encoder.heads
    x = _normed(graph, w, f"{name}/layer_norm", x)
    parted = graph.weight(np.array([0, 0, heads, states // heads]))
    parts = []
    for place, order in enumerate(([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3])):  # of queries, keys and values
        scale = (states / heads) ** -0.5 if place == 0 else 1.0
        part = _linear(graph, w, f"{name}/linear_0", x, slice(place * states, (place + 1) * states), scale)
        parts.append(graph.add("Transpose", [graph.add("Reshape", [part, parted])], perm=order))
    query, key, value = parts
    shares = graph.add("Softmax", [graph.add("MatMul", [query, key])], axis=-1)
    heard = graph.add("Transpose", [graph.add("MatMul", [shares, value])], perm=[0, 2, 1, 3])
    return _linear(graph, w, f"{name}/linear_1", graph.add("Reshape", [heard, graph.weight(np.array([0, 0, states]))]))
