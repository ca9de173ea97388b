#!/usr/bin/env python3
"""Runs an ONNX model of this folder in NumPy, operator by operator, and prints its accuracy.

    evaluate.py [MODEL.onnx ...]          (default: both models, on the held-out images)

Only the operators of these two models are known. Everything is computed in float32 as the ONNX
operator page says; QuantizeLinear rounds half to even and saturates. quantize.py calibrates with it.
"""
import pathlib
import sys

import numpy as np
import onnx
from numpy.lib.stride_tricks import sliding_window_view
from onnx import helper, numpy_helper

HERE = pathlib.Path(__file__).resolve().parent


def conv(x, w, pads):
    """Stride 1; x NCHW, w OIHW, pads (top, left, bottom, right)."""
    top, left, bottom, right = pads
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    windows = sliding_window_view(padded, w.shape[2:], axis=(2, 3))
    return np.tensordot(windows, w, axes=([1, 4, 5], [1, 2, 3])).transpose(0, 3, 1, 2)


def softmax(x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def along(v, axis, rank):
    """A scale or zero point of one value, or of one value for each index of an axis."""
    return v if v.ndim == 0 else v.reshape([-1 if i == axis else 1 for i in range(rank)])


def quantize(x, scale, zero):
    limits = np.iinfo(zero.dtype)
    q = np.rint(x / scale) + zero.astype(np.float32)
    return np.clip(q, limits.min, limits.max).astype(zero.dtype)


def max_pool(x, size):
    n, c, h, w = x.shape
    return x.reshape(n, c, h // size, size, w // size, size).max(axis=(3, 5))


def batch_norm(x, gain, shift, mean, var, epsilon):
    factor = gain / np.sqrt(var + np.float32(epsilon))
    return x * factor[:, None, None] + (shift - mean * factor)[:, None, None]


def compute(node, a, x):
    """One node's output. a: attributes; x: inputs."""
    kind = node.op_type
    if kind == 'Conv':
        y = conv(x[0], x[1], a['pads'])
        return y + x[2][:, None, None] if len(x) > 2 else y
    if kind == 'BatchNormalization':
        return batch_norm(*x, a['epsilon'])
    if kind == 'Relu':
        return np.maximum(x[0], 0)
    if kind == 'Add':
        return x[0] + x[1]
    if kind == 'MaxPool':
        return max_pool(x[0], a['kernel_shape'][0])
    if kind == 'Concat':
        return np.concatenate(x, axis=a['axis'])
    if kind == 'GlobalAveragePool':
        return x[0].mean(axis=(2, 3), keepdims=True, dtype=np.float32)
    if kind == 'Flatten':
        return x[0].reshape(len(x[0]), -1)
    if kind == 'Gemm':
        return x[0] @ x[1].T + x[2]
    if kind == 'Softmax':
        return softmax(x[0])
    if kind == 'QuantizeLinear':
        return quantize(*x)
    if kind == 'DequantizeLinear':
        q, scale, zero = x
        axis = a.get('axis', 1)
        return (q.astype(np.int32) - along(zero, axis, q.ndim)).astype(np.float32) * \
            along(scale, axis, q.ndim)
    raise NotImplementedError(f'{node.name}: {kind}')


def run(model, images):
    """All tensors of the model by name, for a batch of images."""
    graph = model.graph
    tensors = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    tensors[graph.input[0].name] = images
    for node in graph.node:
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        tensors[node.output[0]] = compute(node, attributes, [tensors[i] for i in node.input])
    return tensors


def accuracy(model, images, labels):
    scores = run(model, images)[model.graph.output[0].name]
    return float((scores.argmax(axis=1) == labels).mean())


def main():
    images = np.load(HERE / 'test_images.npy')
    labels = np.load(HERE / 'test_labels.npy')
    for path in sys.argv[1:] or [HERE / 'digits.onnx', HERE / 'digits_qdq.onnx']:
        share = accuracy(onnx.load(str(path)), images, labels)
        print(f'{pathlib.Path(path).name}: {100 * share:.2f} % of {len(labels)} held-out images')


if __name__ == '__main__':
    main()
