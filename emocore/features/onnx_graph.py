"""A graph of ONNX operators, written as onnxruntime reads it: the few messages of onnx.proto3 that an encoder needs.

Fields have the numbers that the ONNX specification gives them; how messages are encoded is Protocol Buffers' own.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

OPSET = 20  # the first with Gelu
_IR = 9  # the format's version that came with it
_FLOAT, _INT64 = 1, 7  # TensorProto.DataType
_OF_FLOAT, _OF_INT, _OF_INTS = 1, 2, 7  # AttributeProto.AttributeType
_VARINT, _BYTES, _FIXED_32 = 0, 2, 5  # wire types

Attribute = int | float | Sequence[int]


class Graph:
    """Operators and weights, in the order in which they are added.

    >>> graph = Graph()
    >>> double = graph.add("Mul", ["x", graph.weight(np.float32([2.0]))])
    >>> model = graph.to_bytes({"x": ["n"]}, {double: ["n"]})
    """

    def __init__(self) -> None:
        self._nodes: list[bytes] = []
        self._weights: list[bytes] = []

    def weight(self, values: NDArray[np.float32] | NDArray[np.int64]) -> str:
        """Return the name of an array that the graph holds."""
        name = f"w{len(self._weights)}"
        kind = _INT64 if values.dtype == np.int64 else _FLOAT
        dims = b"".join(_int(1, size) for size in values.shape)
        self._weights.append(dims + _int(2, kind) + _bytes(8, name.encode()) + _bytes(9, values.tobytes()))
        return name

    def add(self, operator: str, inputs: Sequence[str], **attributes: Attribute) -> str:
        """Return the name of what an operator of ONNX makes of its inputs."""
        name = f"n{len(self._nodes)}"
        node = b"".join(_bytes(1, one.encode()) for one in inputs) + _bytes(2, name.encode())
        node += _bytes(4, operator.encode())
        self._nodes.append(node + b"".join(_bytes(5, _attribute(*one)) for one in attributes.items()))
        return name

    def to_bytes(self, inputs: dict[str, list[str | int]], outputs: dict[str, list[str | int]]) -> bytes:
        """Return the model. Inputs and outputs are float32 by name; a size that varies has a name."""
        graph = b"".join(_bytes(1, node) for node in self._nodes) + _bytes(2, b"graph")
        graph += b"".join(_bytes(5, weight) for weight in self._weights)
        graph += b"".join(_bytes(11, _value(*one)) for one in inputs.items())
        graph += b"".join(_bytes(12, _value(*one)) for one in outputs.items())
        return _int(1, _IR) + _bytes(7, graph) + _bytes(8, _bytes(1, b"") + _int(2, OPSET))


def _attribute(name: str, value: Attribute) -> bytes:
    if isinstance(value, int):
        found = _int(3, value) + _int(20, _OF_INT)
    elif isinstance(value, float):
        found = _varint(2 << 3 | _FIXED_32) + np.float32(value).tobytes() + _int(20, _OF_FLOAT)
    else:
        found = b"".join(_int(8, one) for one in value) + _int(20, _OF_INTS)
    return _bytes(1, name.encode()) + found


def _value(name: str, sizes: list[str | int]) -> bytes:
    dims = (_bytes(2, size.encode()) if isinstance(size, str) else _int(1, size) for size in sizes)
    shape = b"".join(_bytes(1, dim) for dim in dims)
    return _bytes(1, name.encode()) + _bytes(2, _bytes(1, _int(1, _FLOAT) + _bytes(2, shape)))


def _varint(value: int) -> bytes:
    """Return seven bits a byte, the lowest first; a negative number as one of 64 bits."""
    value &= 2**64 - 1
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)


def _int(field: int, value: int) -> bytes:
    return _varint(field << 3 | _VARINT) + _varint(value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | _BYTES) + _varint(len(value)) + value
