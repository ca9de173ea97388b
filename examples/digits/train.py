#!/usr/bin/env python3
"""Trains the digits network in NumPy and writes digits.onnx, the held-out images and their labels.

    train.py          (about two minutes; then run quantize.py)

Seeded, single-threaded: on one machine the same files come out each time. Another CPU or BLAS may
sum in another order and end at slightly different weights, which is why the results are kept here.

    image 1x8x8 -> stem: conv 3x3, 16 -> BN -> ReLU
      -> residual block: (conv 3x3, 16 -> BN -> ReLU -> conv 3x3, 16 -> BN) + input -> ReLU
      -> max pool 2x2 -> concat of (conv 1x1, 16 -> ReLU) and (conv 3x3, 16 -> ReLU)
      -> conv 3x3, 32 -> ReLU -> global average pool -> dense 10 -> softmax
"""
import os

os.environ['OPENBLAS_NUM_THREADS'] = '1'  # threads would change the order of sums; before NumPy

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from digits_data import load_split
from evaluate import HERE, accuracy, batch_norm, conv, max_pool

SEED = 7
EPOCHS = 40
BATCH = 32
RATE = 3e-3
DECAY = 1e-4
EPSILON = 1e-5
CALIBRATION_IMAGES = 128

CONVS = [  # name, inputs, outputs, kernel, has batch normalisation (and then no bias)
    ('stem', 1, 16, 3, True), ('res1', 16, 16, 3, True), ('res2', 16, 16, 3, True),
    ('narrow', 16, 16, 1, False), ('wide', 16, 16, 3, False), ('head', 32, 32, 3, False)]
NORMS = [c[0] for c in CONVS if c[4]]


def new_parameters(rng):
    """Trained values by name; He's initialisation."""
    p = {}
    for name, inputs, outputs, kernel, norm in CONVS:
        spread = np.sqrt(2 / (inputs * kernel * kernel))
        p[name + '.weight'] = rng.normal(0, spread, (outputs, inputs, kernel, kernel))
        if norm:
            p[name + '.gain'], p[name + '.shift'] = np.ones(outputs), np.zeros(outputs)
        else:
            p[name + '.bias'] = np.zeros(outputs)
    p['dense.weight'] = rng.normal(0, np.sqrt(1 / 32), (10, 32))
    p['dense.bias'] = np.zeros(10)
    return {k: v.astype(np.float32) for k, v in p.items()}


class Net:
    """Forward pass that remembers, and a backward pass that adds up the gradients in self.grad.

    Each forward step gives its output and a function from the output's gradient to the input's.
    """

    def __init__(self, parameters):
        self.p = parameters
        self.grad = {}
        self.mean = {n: np.zeros(16, np.float32) for n in NORMS}
        self.var = {n: np.ones(16, np.float32) for n in NORMS}

    def conv(self, name, x):
        w = self.p[name + '.weight']
        pad = w.shape[2] // 2
        y = conv(x, w, (pad,) * 4)
        bias = self.p.get(name + '.bias')
        if bias is not None:
            y = y + bias[:, None, None]

        def back(g):
            padded = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
            windows = np.lib.stride_tricks.sliding_window_view(padded, w.shape[2:], axis=(2, 3))
            self.grad[name + '.weight'] = np.tensordot(g, windows, axes=([0, 2, 3], [0, 2, 3]))
            if bias is not None:
                self.grad[name + '.bias'] = g.sum(axis=(0, 2, 3))
            # Stride 1 and odd kernels: the input's gradient is a convolution with the turned kernel.
            return conv(g, w[:, :, ::-1, ::-1].transpose(1, 0, 2, 3), (pad,) * 4)
        return y, back

    def norm(self, name, x, training):
        gain, shift = self.p[name + '.gain'], self.p[name + '.shift']
        if not training:
            return batch_norm(x, gain, shift, self.mean[name], self.var[name], EPSILON), None
        mean, var = x.mean(axis=(0, 2, 3)), x.var(axis=(0, 2, 3))
        self.mean[name] += np.float32(0.1) * (mean - self.mean[name])
        self.var[name] += np.float32(0.1) * (var - self.var[name])
        spread = np.sqrt(var + np.float32(EPSILON))[:, None, None]
        unit = (x - mean[:, None, None]) / spread
        count = np.float32(x.size // x.shape[1])

        def back(g):
            self.grad[name + '.shift'] = g.sum(axis=(0, 2, 3))
            self.grad[name + '.gain'] = (g * unit).sum(axis=(0, 2, 3))
            common = self.grad[name + '.shift'][:, None, None] / count
            slope = self.grad[name + '.gain'][:, None, None] / count
            return gain[:, None, None] / spread * (g - common - unit * slope)
        return unit * gain[:, None, None] + shift[:, None, None], back

    def forward(self, x, training):
        """Scores before the softmax, and the whole backward pass."""
        stem, stem_conv = self.conv('stem', x)
        stem, stem_norm = self.norm('stem', stem, training)
        stem = np.maximum(stem, 0)
        r1, r1_conv = self.conv('res1', stem)
        r1, r1_norm = self.norm('res1', r1, training)
        r1 = np.maximum(r1, 0)
        r2, r2_conv = self.conv('res2', r1)
        r2, r2_norm = self.norm('res2', r2, training)
        body = np.maximum(r2 + stem, 0)
        pooled = max_pool(body, 2)
        narrow, narrow_conv = self.conv('narrow', pooled)
        wide, wide_conv = self.conv('wide', pooled)
        joined = np.maximum(np.concatenate([narrow, wide], axis=1), 0)
        head, head_conv = self.conv('head', joined)
        head = np.maximum(head, 0)
        features = head.mean(axis=(2, 3))
        scores = features @ self.p['dense.weight'].T + self.p['dense.bias']

        def back(g):
            self.grad['dense.weight'] = g.T @ features
            self.grad['dense.bias'] = g.sum(axis=0)
            area = np.float32(head.shape[2] * head.shape[3])
            g = (g @ self.p['dense.weight'])[:, :, None, None] / area * (head > 0)
            g = head_conv(g) * (joined > 0)
            g = narrow_conv(g[:, :16]) + wide_conv(g[:, 16:])
            g = unpool(g, body, pooled) * (body > 0)
            g_res = r2_conv(r2_norm(g)) * (r1 > 0)
            g = (g + r1_conv(r1_norm(g_res))) * (stem > 0)
            stem_conv(stem_norm(g))
        return scores, back


def unpool(g, x, pooled):
    """Gradient of the 2x2 max pool; equal maxima share it."""
    def enlarge(v):
        return v.repeat(2, axis=2).repeat(2, axis=3)
    hits = (x == enlarge(pooled)).astype(np.float32)
    n, c, h, w = x.shape
    count = hits.reshape(n, c, h // 2, 2, w // 2, 2).sum(axis=(3, 5))
    return enlarge(g / count) * hits


def shifted(images, rng):
    """Each image moved by at most one pixel, about half of them not at all."""
    padded = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    steps = rng.choice([0, 1, 2], size=(len(images), 2), p=[0.15, 0.7, 0.15])
    return np.stack([p[:, dy:dy + 8, dx:dx + 8] for p, (dy, dx) in zip(padded, steps)])


def train(images, labels):
    rng = np.random.default_rng(SEED)
    net = Net(new_parameters(rng))
    first = {k: np.zeros_like(v) for k, v in net.p.items()}
    second = {k: np.zeros_like(v) for k, v in net.p.items()}
    step, steps = 0, EPOCHS * (len(images) // BATCH)
    for epoch in range(EPOCHS):
        order, loss = rng.permutation(len(images)), 0.0
        for start in range(0, len(images) - BATCH + 1, BATCH):
            pick = order[start:start + BATCH]
            scores, back = net.forward(shifted(images[pick], rng), training=True)
            e = np.exp(scores - scores.max(axis=1, keepdims=True))
            share = e / e.sum(axis=1, keepdims=True)
            truth = np.eye(10, dtype=np.float32)[labels[pick]]
            loss -= float((truth * np.log(share + 1e-9)).sum())
            back((share - truth) / np.float32(BATCH))
            step += 1
            rate = RATE * 0.5 * (1 + np.cos(np.pi * step / steps))
            for k, g in net.grad.items():  # Adam, with weight decay beside it
                first[k] = np.float32(0.9) * first[k] + np.float32(0.1) * g
                second[k] = np.float32(0.999) * second[k] + np.float32(0.001) * g * g
                move = first[k] / (1 - 0.9**step) / (np.sqrt(second[k] / (1 - 0.999**step)) + 1e-8)
                net.p[k] -= (rate * (move + DECAY * net.p[k])).astype(np.float32)
        print(f'epoch {epoch + 1:2}: loss {loss / len(images):.4f}', flush=True)
    return net


def to_onnx(net):
    """The float model; batch normalisation is left as its own operator."""
    nodes, values = [], dict(net.p)

    def add(kind, name, inputs, **attributes):
        nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def conv_block(name, x, relu=True):
        kernel = values[name + '.weight'].shape[2]
        inputs = [x, name + '.weight'] + [name + '.bias'] * (name + '.bias' in values)
        x = add('Conv', name + '.conv', inputs, kernel_shape=[kernel] * 2, pads=[kernel // 2] * 4)
        if name in NORMS:
            values[name + '.mean'], values[name + '.var'] = net.mean[name], net.var[name]
            inputs = [x] + [f'{name}.{part}' for part in ('gain', 'shift', 'mean', 'var')]
            x = add('BatchNormalization', name + '.norm', inputs, epsilon=EPSILON)
        return add('Relu', name + '.relu', [x]) if relu else x

    stem = conv_block('stem', 'image')
    block = conv_block('res2', conv_block('res1', stem), relu=False)
    body = add('Relu', 'res.relu', [add('Add', 'res.add', [block, stem])])
    pooled = add('MaxPool', 'pool', [body], kernel_shape=[2, 2], strides=[2, 2])
    joined = add('Concat', 'join', [conv_block('narrow', pooled), conv_block('wide', pooled)],
                 axis=1)
    features = add('GlobalAveragePool', 'average', [conv_block('head', joined)])
    flat = add('Flatten', 'flat', [features], axis=1)
    scores = add('Gemm', 'dense', [flat, 'dense.weight', 'dense.bias'], transB=1)
    nodes.append(helper.make_node('Softmax', [scores], ['probability'], name='softmax', axis=1))
    image = helper.make_tensor_value_info('image', TensorProto.FLOAT, ['N', 1, 8, 8])
    probability = helper.make_tensor_value_info('probability', TensorProto.FLOAT, ['N', 10])
    initializers = [numpy_helper.from_array(v, k) for k, v in values.items()]
    graph = helper.make_graph(nodes, 'digits', [image], [probability], initializers)
    model = helper.make_model(graph, producer_name='xgc examples/digits/train.py',
                              opset_imports=[helper.make_opsetid('', 13)])
    model.ir_version = 7
    onnx.checker.check_model(model, full_check=True)
    return model


def main():
    train_x, train_y, test_x, test_y = load_split()
    model = to_onnx(train(train_x, train_y))
    onnx.save(model, str(HERE / 'digits.onnx'))
    np.save(HERE / 'calibration_images.npy', train_x[:CALIBRATION_IMAGES])
    np.save(HERE / 'test_images.npy', test_x)
    np.save(HERE / 'test_labels.npy', test_y)
    print(f'float: {100 * accuracy(model, train_x, train_y):.2f} % of training, '
          f'{100 * accuracy(model, test_x, test_y):.2f} % of held-out images')


if __name__ == '__main__':
    main()
