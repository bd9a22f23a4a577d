"""Graphs of ONNX: what onnxruntime makes of them."""

import numpy as np
import onnxruntime
import pytest

from emocore.features.onnx_graph import Graph


def run(graph, outputs, **inputs):
    model = graph.to_bytes(
        {name: [f"{name}{axis}" for axis in range(array.ndim)] for name, array in inputs.items()}, outputs
    )
    return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, inputs)


def test_operators_weights_and_each_kind_of_attribute_arrive():
    graph, x = Graph(), np.arange(600, dtype=np.float32).reshape(2, 300)  # sizes of more than seven bits
    turned = graph.add("Transpose", ["x"], perm=[1, 0])
    product = graph.add("MatMul", [turned, graph.weight(np.float32([[1, 2, 3], [4, 5, 6]]))])
    total = graph.add("ReduceSum", [product, graph.weight(np.array([-1]))], keepdims=0)
    leaky = graph.add("LeakyRelu", [graph.add("Neg", [total])], alpha=0.25)
    concatenated = graph.add("Concat", [total, leaky], axis=-1)
    product_is, concatenated_is = run(graph, {product: [300, 3], concatenated: ["n"]}, x=x)
    expected = x.T @ np.float32([[1, 2, 3], [4, 5, 6]])
    assert np.array_equal(product_is, expected)
    assert concatenated_is == pytest.approx(np.concatenate([expected.sum(1), -0.25 * expected.sum(1)]), rel=1e-6)
