#!/usr/bin/python3
"""Small networks in the shapes that users bring, spelled as PyTorch and TensorFlow exporters spell them.

    zoo.py FOLDER [NAME ...]        (default: all)

Writes FOLDER/NAME/model.onnx: float, seeded weights, maps of 32 to 96 pixels. Needs Debian's python3-onnx and python3-numpy.
"""
import pathlib
import sys

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper, save, shape_inference

NETS = {}


def net(f):
    NETS[f.__name__] = f
    return f


class Net:
    def __init__(self, seed, opset=13):
        self.rng, self.opset = np.random.RandomState(seed), opset
        self.nodes, self.init, self.inputs, self.outputs, self.dim = [], [], [], [], {}

    def input(self, *dims):
        name = f'x{len(self.inputs)}'
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, dims))
        self.dim[name] = dims[1]
        return name

    def const(self, value, dtype=np.float32):
        name = f'c{len(self.init)}'
        self.init.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def ints(self, *value):
        return self.const(value, np.int64)

    def op(self, kind, *inputs, c=None, n=1, **attributes):
        outs = [f'{kind}_{len(self.nodes)}' + (f'_{i}' if n > 1 else '') for i in range(n)]
        self.nodes.append(helper.make_node(kind, [i or '' for i in inputs], outs, name=outs[0], **attributes))
        for i, o in enumerate(outs):
            self.dim[o] = c[i] if isinstance(c, (list, tuple)) else c if c else self.dim.get(inputs[0])
        return outs[0] if n == 1 else outs

    def weights(self, *dims):
        fan = int(np.prod(dims[1:])) or 1
        return self.const(self.rng.randn(*dims) * (2.0 / fan) ** 0.5)

    def conv(self, x, out, k=3, stride=1, pad=None, group=1, dilation=1, bias=True, act=None):
        k = k if isinstance(k, tuple) else (k, k)
        pad = [(i - 1) * dilation // 2 for i in k] * 2 if pad is None else pad
        w = self.weights(out, self.dim[x] // group, *k)
        more = [self.const(self.rng.randn(out) * 0.1)] if bias else []
        x = self.op('Conv', x, w, *more, c=out, kernel_shape=list(k), strides=[stride] * len(k), pads=pad,
                    dilations=[dilation] * len(k), group=group)
        return self.act(x, act)

    def act(self, x, act):
        if not act:
            return x
        if act == 'silu':
            return self.op('Mul', x, self.op('Sigmoid', x))
        if act == 'relu6':
            return self.op('Clip', x, self.const(0.0), self.const(6.0))
        if act == 'hswish':
            y = self.op('Clip', self.op('Add', x, self.const(3.0)), self.const(0.0), self.const(6.0))
            return self.op('Div', self.op('Mul', x, y), self.const(6.0))
        if act == 'gelu':
            y = self.op('Erf', self.op('Div', x, self.const(2.0 ** 0.5)))
            return self.op('Mul', self.op('Mul', x, self.op('Add', y, self.const(1.0))), self.const(0.5))
        if act == 'leaky':
            return self.op('LeakyRelu', x, alpha=0.1)
        if act == 'prelu':
            return self.op('PRelu', x, self.const(self.rng.rand(self.dim[x], 1, 1) * 0.3))
        return self.op(act, x)

    def bn(self, x, act=None):
        c = self.dim[x]
        p = [self.const(v) for v in (self.rng.rand(c) + 0.5, self.rng.randn(c) * 0.1, self.rng.randn(c) * 0.1, self.rng.rand(c) + 0.5)]
        return self.act(self.op('BatchNormalization', x, *p, epsilon=1e-5), act)

    def cb(self, x, out, k=3, stride=1, act='Relu', **more):
        return self.bn(self.conv(x, out, k, stride, bias=False, **more), act)

    def pool(self, x, k=2, stride=2, pad=0, kind='MaxPool', **more):
        return self.op(kind, x, kernel_shape=[k, k], strides=[stride, stride], pads=[pad] * 4, **more)

    def cat(self, *xs, axis=1):
        return self.op('Concat', *xs, c=sum(self.dim[x] for x in xs), axis=axis)

    def up(self, x, s=2, mode='nearest', coord='asymmetric'):
        more = {'nearest_mode': 'floor'} if mode == 'nearest' else {}
        return self.op('Resize', x, '', self.const([1, 1, s, s]), mode=mode, coordinate_transformation_mode=coord, **more)

    def se(self, x, r=4, gate='HardSigmoid', mid='Relu'):
        c = self.dim[x]
        y = self.conv(self.op('GlobalAveragePool', x), max(c // r, 4), 1, act=mid)
        return self.op('Mul', x, self.op(gate, self.conv(y, c, 1)))

    def split(self, x, *parts, axis=1):
        return self.op('Split', x, self.ints(*parts), n=len(parts), c=list(parts), axis=axis)

    def head(self, x, classes=10):
        x = self.op('Flatten', self.op('GlobalAveragePool', x), axis=1)
        y = self.op('Gemm', x, self.weights(classes, self.dim[x]), self.const(self.rng.randn(classes) * 0.1), c=classes, transB=1)
        self.out(y)

    def out(self, *ys):
        self.outputs += [helper.make_tensor_value_info(y, TensorProto.FLOAT, None) for y in ys]

    def save(self, path):
        g = helper.make_graph(self.nodes, 'zoo', self.inputs, self.outputs, self.init)
        m = helper.make_model(g, opset_imports=[helper.make_opsetid('', self.opset)], ir_version=7)
        m = shape_inference.infer_shapes(m)
        checker.check_model(m)
        path.mkdir(parents=True, exist_ok=True)
        save(m, str(path / 'model.onnx'))


@net
def resnet_preact():
    n = Net(1)
    x = n.conv(n.input(1, 3, 48, 48), 16)
    for c, s in ((16, 1), (32, 2), (64, 2)):
        y = n.bn(x, 'Relu')
        short = n.conv(y, c, 1, s, bias=False) if c != n.dim[x] or s > 1 else x
        y = n.conv(n.bn(n.conv(y, c, 3, s, bias=False), 'Relu'), c, bias=False)
        x = n.op('Add', y, short)
    n.head(n.bn(x, 'Relu'))
    return n


@net
def resnext():
    n = Net(2)
    x = n.cb(n.input(1, 3, 64, 64), 32, 7, 2)
    x = n.pool(x, 3, 2, 1)
    for c, s in ((64, 1), (128, 2)):
        y = n.cb(x, c, 1)
        y = n.cb(y, c, 3, s, group=8)
        x = n.op('Relu', n.op('Add', n.cb(y, 2 * c, 1, act=None), n.cb(x, 2 * c, 1, s, act=None)))
    n.head(x)
    return n


@net
def densenet():
    n = Net(3)
    x = n.pool(n.cb(n.input(1, 3, 64, 64), 24, 7, 2), 3, 2, 1)
    for block in range(2):
        for _ in range(4):
            x = n.cat(x, n.conv(n.bn(n.conv(n.bn(x, 'Relu'), 32, 1, bias=False), 'Relu'), 12, bias=False))
        x = n.pool(n.conv(n.bn(x, 'Relu'), n.dim[x] // 2, 1, bias=False), kind='AveragePool')
    n.head(n.bn(x, 'Relu'))
    return n


def shuffle(n, x, g):
    c, (h, w) = n.dim[x], n.hw
    x = n.op('Reshape', x, n.ints(1, g, c // g, h, w))
    x = n.op('Transpose', x, perm=[0, 2, 1, 3, 4])
    return n.op('Reshape', x, n.ints(1, c, h, w), c=c)


@net
def shufflenet_v2():
    n = Net(4)
    x = n.pool(n.cb(n.input(1, 3, 64, 64), 24, 3, 2), 3, 2, 1)
    for c in (48, 96):
        n.hw = (8, 8) if c == 48 else (4, 4)
        a = n.cb(n.cb(x, n.dim[x], 3, 2, act=None, group=n.dim[x]), c // 2, 1)
        b = n.cb(n.cb(n.cb(x, c // 2, 1), c // 2, 3, 2, act=None, group=c // 2), c // 2, 1)
        x = shuffle(n, n.cat(a, b), 2)
        for _ in range(2):
            a, b = n.split(x, c // 2, c // 2)
            b = n.cb(n.cb(n.cb(b, c // 2, 1), c // 2, 3, act=None, group=c // 2), c // 2, 1)
            x = shuffle(n, n.cat(a, b), 2)
    n.head(x)
    return n


def mbconv(n, x, c, k, s, e, act, se, gate='HardSigmoid'):
    y = n.cb(x, n.dim[x] * e, 1, act=act) if e > 1 else x
    y = n.cb(y, n.dim[y], k, s, act=act, group=n.dim[y])
    y = n.se(y, gate=gate, mid='silu' if act == 'silu' else 'Relu') if se else y
    y = n.cb(y, c, 1, act=None)
    return n.op('Add', y, x) if s == 1 and c == n.dim[x] else y


@net
def mobilenet_v3():
    n = Net(5, 14)
    x = n.cb(n.input(1, 3, 96, 96), 16, 3, 2, act='HardSwish')
    for c, k, s, e, act, se in ((16, 3, 1, 1, 'Relu', False), (24, 3, 2, 4, 'Relu', False), (24, 3, 1, 3, 'Relu', False),
                                (40, 5, 2, 3, 'Relu', True), (40, 5, 1, 3, 'HardSwish', True), (48, 3, 1, 6, 'HardSwish', True)):
        x = mbconv(n, x, c, k, s, e, act, se)
    n.head(n.conv(n.op('GlobalAveragePool', n.cb(x, 96, 1, act='HardSwish')), 64, 1, act='HardSwish'))
    return n


@net
def efficientnet():
    n = Net(6)
    x = n.cb(n.input(1, 3, 64, 64), 16, 3, 2, act='silu')
    for c, k, s, e in ((16, 3, 1, 1), (24, 3, 2, 6), (24, 3, 1, 6), (40, 5, 2, 6)):
        x = mbconv(n, x, c, k, s, e, 'silu', True, 'Sigmoid')
    n.head(n.cb(x, 80, 1, act='silu'))
    return n


@net
def efficientnet_lite():
    n = Net(7)
    x = n.cb(n.input(1, 3, 64, 64), 16, 3, 2, act='relu6')
    for c, k, s, e in ((16, 3, 1, 1), (24, 3, 2, 6), (24, 3, 1, 6), (40, 5, 2, 6), (40, 5, 1, 6)):
        x = mbconv(n, x, c, k, s, e, 'relu6', False)
    n.head(x)
    return n


@net
def ghostnet():
    n = Net(8)

    def ghost(x, c, act):
        a = n.cb(x, c // 2, 1, act=act)
        return n.cat(a, n.cb(a, c // 2, 3, act=act, group=c // 2))
    x = n.cb(n.input(1, 3, 64, 64), 16, 3, 2)
    for c, s in ((16, 1), (24, 2), (40, 2)):
        y = ghost(x, 2 * c, 'Relu')
        y = n.cb(y, n.dim[y], 3, s, act=None, group=n.dim[y]) if s > 1 else y
        y = ghost(n.se(y), c, None)
        short = x if s == 1 and c == n.dim[x] else n.cb(n.cb(x, n.dim[x], 3, s, act=None, group=n.dim[x]), c, 1, act=None)
        x = n.op('Add', y, short)
    n.head(x)
    return n


@net
def inception_v3():
    n = Net(9)
    x = n.cb(n.input(1, 3, 75, 75), 16, 3, 2, pad=[0] * 4)
    x = n.pool(n.cb(x, 32, 3, pad=[0] * 4), 3, 2)
    for _ in range(2):
        a = n.cb(x, 16, 1)
        b = n.cb(n.cb(x, 12, 1), 16, 5)
        c = n.cb(n.cb(n.cb(x, 16, 1), 24, (1, 7)), 24, (7, 1))
        d = n.cb(n.op('AveragePool', x, kernel_shape=[3, 3], strides=[1, 1], pads=[1] * 4, count_include_pad=1), 8, 1)
        x = n.cat(a, b, c, d)
    x = n.cat(n.cb(x, 24, 3, 2, pad=[0] * 4), n.pool(x, 3, 2))
    n.head(x)
    return n


@net
def squeezenet_ceil():
    n = Net(10)
    x = n.pool(n.conv(n.input(1, 3, 67, 67), 32, 3, 2, pad=[0] * 4, act='Relu'), 3, 2, ceil_mode=1)
    for s, e in ((8, 32), (8, 32), (16, 64)):
        y = n.conv(x, s, 1, act='Relu')
        x = n.cat(n.conv(y, e, 1, act='Relu'), n.conv(y, e, 3, act='Relu'))
    x = n.conv(n.pool(x, 3, 2, ceil_mode=1), 10, 1, act='Relu')
    n.out(n.op('Flatten', n.op('GlobalAveragePool', x), axis=1))
    return n


@net
def yolo_v5():
    n = Net(11)
    x = n.input(1, 3, 96, 96)
    x = n.conv(x, 16, 6, 2, pad=[2] * 4, act='silu')

    def c3(x, c, times=1, add=True):
        a, b = n.conv(x, c // 2, 1, act='silu'), n.conv(x, c // 2, 1, act='silu')
        for _ in range(times):
            y = n.conv(n.conv(a, c // 2, 1, act='silu'), c // 2, act='silu')
            a = n.op('Add', a, y) if add else y
        return n.conv(n.cat(a, b), c, 1, act='silu')
    x = c3(n.conv(x, 32, 3, 2, act='silu'), 32)
    p3 = x = c3(n.conv(x, 48, 3, 2, act='silu'), 48)
    x = c3(n.conv(x, 64, 3, 2, act='silu'), 64)
    y = n.conv(x, 32, 1, act='silu')
    a = n.pool(y, 5, 1, 2)
    b = n.pool(a, 5, 1, 2)
    p4 = n.conv(n.cat(y, a, b, n.pool(b, 5, 1, 2)), 64, 1, act='silu')
    q = c3(n.cat(n.up(n.conv(p4, 48, 1, act='silu')), p3), 48, add=False)
    r = c3(n.cat(n.conv(q, 48, 3, 2, act='silu'), p4), 64, add=False)
    for x, s in ((q, 12), (r, 6)):
        y = n.op('Reshape', n.conv(x, 3 * 8, 1), n.ints(1, 3, 8, s, s))
        n.out(n.op('Sigmoid', n.op('Transpose', y, perm=[0, 1, 3, 4, 2])))
    return n


@net
def yolo_v8():
    n = Net(12)
    x = n.conv(n.input(1, 3, 64, 64), 16, 3, 2, act='silu')

    def c2f(x, c, times=1):
        a, b = n.split(n.conv(x, c, 1, act='silu'), c // 2, c // 2)
        parts = [a, b]
        for _ in range(times):
            parts.append(n.op('Add', parts[-1], n.conv(n.conv(parts[-1], c // 2, act='silu'), c // 2, act='silu')))
        return n.conv(n.cat(*parts), c, 1, act='silu')
    p3 = c2f(n.conv(x, 32, 3, 2, act='silu'), 32)
    p4 = c2f(n.conv(p3, 48, 3, 2, act='silu'), 48, 2)
    q = c2f(n.cat(n.up(p4), p3), 32)
    flat = []
    for x, s in ((q, 16), (p4, 8)):
        y = n.cat(n.conv(n.conv(x, 16, act='silu'), 16, 1), n.conv(n.conv(x, 16, act='silu'), 6, 1))
        flat.append(n.op('Reshape', y, n.ints(1, 22, s * s), c=22))
    y = n.op('Concat', *flat, axis=2)
    box, cls = n.split(y, 16, 6)
    d = n.op('Transpose', n.op('Reshape', box, n.ints(1, 4, 4, 320)), perm=[0, 2, 1, 3])
    d = n.op('Softmax', d, axis=1, c=4)
    d = n.conv(d, 1, 1, bias=False)
    d = n.op('Reshape', d, n.ints(1, 4, 320), c=4)
    n.out(n.op('Concat', d, n.op('Sigmoid', cls), axis=1))
    return n


@net
def yolo_v3_tiny():
    n = Net(13)
    x = n.input(1, 3, 64, 64)
    for c in (8, 16, 32):
        x = n.pool(n.cb(x, c, act='leaky'))
    skip = n.cb(x, 48, act='leaky')
    x = n.pool(skip)
    x = n.cb(x, 64, act='leaky')
    x = n.op('MaxPool', n.op('Pad', x, n.ints(0, 0, 0, 0, 0, 0, 1, 1), n.const(-1e4)), kernel_shape=[2, 2], strides=[1, 1])
    x = n.cb(n.cb(x, 96, act='leaky'), 48, 1, act='leaky')
    n.out(n.conv(n.cb(x, 64, act='leaky'), 24, 1))
    n.out(n.conv(n.cb(n.cat(n.up(n.cb(x, 24, 1, act='leaky')), skip), 48, act='leaky'), 24, 1))
    return n


@net
def unet():
    n = Net(14)
    x, skips = n.input(1, 1, 64, 64), []
    for c in (12, 24, 48):
        x = n.cb(n.cb(x, c), c)
        skips.append(x)
        x = n.pool(x)
    x = n.cb(x, 64)
    for s in reversed(skips):
        c = n.dim[s]
        x = n.op('ConvTranspose', x, n.weights(n.dim[x], c, 2, 2), n.const(np.zeros(c)), c=c, kernel_shape=[2, 2], strides=[2, 2])
        x = n.cb(n.cb(n.cat(s, x), c), c)
    n.out(n.op('Sigmoid', n.conv(x, 1, 1)))
    return n


@net
def deeplab():
    n = Net(15)
    x = n.cb(n.input(1, 3, 65, 65), 16, 3, 2)
    low = x = n.cb(x, 24, 3, 2)
    x = n.cb(x, 48, 3, 2)
    parts = [n.cb(x, 24, 1)] + [n.cb(x, 24, 3, dilation=d) for d in (2, 4)]
    g = n.cb(n.op('GlobalAveragePool', x), 24, 1)
    parts.append(n.op('Resize', g, '', n.const([1, 1, 9, 9]), mode='linear', coordinate_transformation_mode='align_corners'))
    x = n.cb(n.cat(*parts), 32, 1)
    x = n.op('Resize', x, '', '', n.ints(1, 32, 17, 17), mode='linear', coordinate_transformation_mode='align_corners')
    x = n.conv(n.cb(n.cat(x, n.cb(low, 12, 1)), 32), 5, 1)
    x = n.op('Resize', x, '', '', n.ints(1, 5, 65, 65), mode='linear', coordinate_transformation_mode='half_pixel')
    n.out(x, n.op('Cast', n.op('ArgMax', x, axis=1), to=TensorProto.FLOAT))
    return n


@net
def fpn_detector():
    n = Net(16)
    c3 = n.cb(n.cb(n.cb(n.input(1, 3, 96, 64), 16, 3, 2), 24, 3, 2), 32, 3, 2)
    c4 = n.cb(c3, 48, 3, 2)
    p4 = n.conv(c4, 32, 1)
    p3 = n.op('Add', n.conv(c3, 32, 1), n.up(p4, 2, 'linear', 'half_pixel'))
    boxes, scores = [], []
    for p in (n.conv(p3, 32), n.conv(p4, 32)):
        for k, l in ((8, boxes), (6, scores)):
            y = n.op('Transpose', n.conv(n.conv(p, 24, act='Relu'), k, 1), perm=[0, 2, 3, 1])
            l.append(n.op('Reshape', y, n.ints(1, -1, k // 2)))
    n.out(n.op('Concat', *boxes, axis=1), n.op('Softmax', n.op('Concat', *scores, axis=1), axis=2))
    return n


@net
def convnext():
    n = Net(17)
    x = n.conv(n.input(1, 3, 48, 48), 24, 4, 4, pad=[0] * 4)
    for _ in range(2):
        c = n.dim[x]
        y = n.op('Transpose', n.conv(x, c, 7, group=c), perm=[0, 2, 3, 1])
        m = n.op('Sub', y, n.op('ReduceMean', y, axes=[-1]))
        v = n.op('ReduceMean', n.op('Pow', m, n.const(2.0)), axes=[-1])
        y = n.op('Div', m, n.op('Sqrt', n.op('Add', v, n.const(1e-6))))
        y = n.op('Add', n.op('Mul', y, n.const(n.rng.rand(c) + 0.5)), n.const(n.rng.randn(c) * 0.1))
        y = n.op('Add', n.op('MatMul', y, n.const(n.rng.randn(c, 4 * c) * 0.2)), n.const(n.rng.randn(4 * c) * 0.1))
        y = n.act(y, 'gelu')
        y = n.op('Add', n.op('MatMul', y, n.const(n.rng.randn(4 * c, c) * 0.1)), n.const(n.rng.randn(c) * 0.1))
        x = n.op('Add', x, n.op('Transpose', n.op('Mul', y, n.const(n.rng.rand(c) * 0.5)), perm=[0, 3, 1, 2]), c=c)
    n.head(x)
    return n


@net
def vit_tiny():
    n = Net(18)
    d, t, heads = 32, 36, 4
    x = n.conv(n.input(1, 3, 48, 48), d, 8, 8, pad=[0] * 4)
    x = n.op('Transpose', n.op('Reshape', x, n.ints(1, d, t)), perm=[0, 2, 1])
    x = n.op('Add', n.op('Concat', n.const(n.rng.randn(1, 1, d) * 0.2), x, axis=1), n.const(n.rng.randn(1, t + 1, d) * 0.2))

    def norm(x):
        m = n.op('Sub', x, n.op('ReduceMean', x, axes=[-1]))
        v = n.op('ReduceMean', n.op('Mul', m, m), axes=[-1])
        y = n.op('Div', m, n.op('Sqrt', n.op('Add', v, n.const(1e-5))))
        return n.op('Add', n.op('Mul', y, n.const(np.ones(d))), n.const(np.zeros(d)))

    def dense(x, a, b):
        return n.op('Add', n.op('MatMul', x, n.const(n.rng.randn(a, b) / a ** 0.5)), n.const(n.rng.randn(b) * 0.05))
    for _ in range(2):
        y = n.op('Transpose', n.op('Reshape', dense(norm(x), d, 3 * d), n.ints(1, t + 1, 3, heads, d // heads)), perm=[2, 0, 3, 1, 4])
        q, k, v = n.split(y, 1, 1, 1, axis=0)
        q, k, v = (n.op('Squeeze', i, n.ints(0)) for i in (q, k, v))
        s = n.op('Softmax', n.op('Mul', n.op('MatMul', q, n.op('Transpose', k, perm=[0, 1, 3, 2])), n.const((d // heads) ** -0.5)), axis=-1)
        y = n.op('Reshape', n.op('Transpose', n.op('MatMul', s, v), perm=[0, 2, 1, 3]), n.ints(1, t + 1, d))
        x = n.op('Add', x, dense(y, d, d))
        x = n.op('Add', x, dense(n.act(dense(norm(x), d, 2 * d), 'gelu'), 2 * d, d))
    y = n.op('Gather', norm(x), n.const(0, np.int64), axis=1)
    n.out(n.op('Gemm', y, n.weights(10, d), n.const(np.zeros(10)), transB=1))
    return n


@net
def super_resolution():
    n = Net(19)
    x = n.conv(n.input(1, 1, 40, 40), 24, 5, act='Tanh')
    x = n.conv(n.conv(x, 16, act='Tanh'), 9, 3)
    n.out(n.op('DepthToSpace', x, blocksize=3, mode='CRD'))
    return n


@net
def audio_1d():
    n = Net(20)
    x = n.input(1, 8, 256)

    def conv1(x, c, k, s=1, d=1, act='Relu'):
        y = n.op('Conv', x, n.weights(c, n.dim[x], k), n.const(n.rng.randn(c) * 0.1), c=c, kernel_shape=[k], strides=[s],
                 dilations=[d], pads=[(k - 1) * d // 2] * 2)
        return n.op(act, y)
    x = conv1(x, 24, 7, 2)
    for d in (1, 2, 4):
        y = n.op('Mul', conv1(x, 24, 3, 1, d, 'Tanh'), conv1(x, 24, 3, 1, d, 'Sigmoid'))
        x = n.op('Add', x, conv1(y, 24, 1))
    x = n.op('MaxPool', x, kernel_shape=[2], strides=[2])
    n.out(n.op('Gemm', n.op('Flatten', n.op('GlobalAveragePool', x), axis=1), n.weights(6, 24), n.const(np.zeros(6)), transB=1))
    return n


@net
def generator():
    n = Net(21)
    x = n.input(1, 16, 4, 4)
    for c in (24, 16, 8):
        x = n.op('ConvTranspose', x, n.weights(n.dim[x], c, 4, 4), c=c, kernel_shape=[4, 4], strides=[2, 2], pads=[1] * 4)
        x = n.op('InstanceNormalization', x, n.const(n.rng.rand(c) + 0.5), n.const(n.rng.randn(c) * 0.1), epsilon=1e-5)
        x = n.op('Relu', x)
    n.out(n.op('Tanh', n.conv(x, 3)))
    return n


@net
def repvgg():
    n = Net(22)
    x = n.input(1, 3, 48, 48)
    for c, s in ((16, 2), (16, 1), (32, 2), (32, 1)):
        a, b = n.cb(x, c, 3, s, act=None), n.cb(x, c, 1, s, act=None, pad=[0] * 4)
        y = n.op('Add', a, b)
        y = n.op('Add', y, n.bn(x)) if c == n.dim[x] and s == 1 else y
        x = n.op('Relu', y)
    n.head(x)
    return n


@net
def hrnet():
    n = Net(23)
    a = n.cb(n.cb(n.input(1, 3, 64, 48), 16, 3, 2), 16, 3, 2)
    b = n.cb(a, 32, 3, 2)
    for _ in range(2):
        a, b = n.cb(a, 16), n.cb(b, 32)
        up = n.up(n.cb(b, 16, 1, act=None))
        down = n.cb(a, 32, 3, 2, act=None)
        a, b = n.op('Relu', n.op('Add', a, up)), n.op('Relu', n.op('Add', down, b))
    n.out(n.conv(a, 17, 1))
    return n


@net
def focus_csp():
    n = Net(24)
    x = n.input(1, 3, 64, 64)
    parts = []
    for h in (0, 1):
        for w in (0, 1):
            y = n.op('Slice', x, n.ints(h), n.ints(2 ** 31 - 1), n.ints(2), n.ints(2))
            parts.append(n.op('Slice', y, n.ints(w), n.ints(2 ** 31 - 1), n.ints(3), n.ints(2)))
    x = n.conv(n.cat(*parts), 16, act='silu')
    x = n.conv(x, 32, 3, 2, act='prelu')
    n.head(n.conv(x, 32, 3, act='Mish' if n.opset > 17 else 'Elu'))
    return n


@net
def face_landmarks():
    n = Net(25)
    x = n.conv(n.input(1, 3, 64, 64), 16, 3, 2, act='prelu')
    for s in (1, 2, 1):
        y = n.conv(n.conv(x, n.dim[x], 3, s, group=n.dim[x]), n.dim[x] + (8 if s == 2 else 0), 1)
        short = x
        if s == 2:
            short = n.op('Pad', n.pool(x), n.ints(0, 0, 0, 0, 0, 8, 0, 0), c=n.dim[x] + 8)
        x = n.act(n.op('Add', y, short), 'prelu')
    n.out(n.op('Reshape', n.conv(x, 12, 16, pad=[0] * 4), n.ints(1, -1, 3)))
    return n


@net
def matting_batch4():
    n = Net(26)
    x = n.cb(n.input(4, 4, 32, 32), 16, 3, 2)
    y = n.up(n.se(n.cb(x, 24, 3, 2), gate='Sigmoid'), 2, 'linear', 'align_corners')
    n.out(n.op('Clip', n.conv(n.cat(y, x), 1), n.const(0.0), n.const(1.0)))
    return n


@net
def swin_roll():
    """A shifted window: cyclic shift by Slice and Concat, windows by Reshape and Transpose, MatMul of two variables, a mask."""
    n = Net(27)
    d, h, w = 24, 16, 4
    x = n.op('Transpose', n.conv(n.input(1, 3, 64, 64), d, 4, 4, pad=[0] * 4), perm=[0, 2, 3, 1])

    def roll(x, s):
        for axis in (1, 2):
            a = n.op('Slice', x, n.ints(s % h), n.ints(h), n.ints(axis))
            b = n.op('Slice', x, n.ints(0), n.ints(s % h), n.ints(axis))
            x = n.op('Concat', a, b, axis=axis)
        return x

    def norm(x):
        return n.op('LayerNormalization', x, n.const(n.rng.rand(d) + 0.5), n.const(n.rng.randn(d) * 0.1), axis=-1)

    def dense(x, a, b):
        return n.op('Add', n.op('MatMul', x, n.const(n.rng.randn(a, b) / a ** 0.5)), n.const(n.rng.randn(b) * 0.05))
    n.opset = 17
    y = roll(norm(x), 2)
    y = n.op('Transpose', n.op('Reshape', y, n.ints(1, h // w, w, h // w, w, d)), perm=[0, 1, 3, 2, 4, 5])
    y = n.op('Reshape', y, n.ints((h // w) ** 2, w * w, d))
    q, k, v = (dense(y, d, d) for _ in range(3))
    s = n.op('MatMul', n.op('Mul', q, n.const(d ** -0.5)), n.op('Transpose', k, perm=[0, 2, 1]))
    s = n.op('Softmax', n.op('Add', s, n.const(n.rng.randn(1, w * w, w * w) * 0.2)), axis=-1)
    y = n.op('Reshape', dense(n.op('MatMul', s, v), d, d), n.ints(1, h // w, h // w, w, w, d))
    y = roll(n.op('Reshape', n.op('Transpose', y, perm=[0, 1, 3, 2, 4, 5]), n.ints(1, h, h, d)), -2)
    x = n.op('Add', x, y)
    x = n.op('Add', x, dense(n.op('Gelu' if n.opset > 19 else 'Relu', dense(norm(x), d, 2 * d)), 2 * d, d))
    y = n.op('ReduceMean', x, axes=[1, 2], keepdims=0)
    n.out(n.op('Gemm', y, n.weights(10, d), n.const(np.zeros(10)), transB=1))
    return n


@net
def xception():
    n = Net(28)
    x = n.cb(n.input(1, 3, 64, 64), 16, 3, 2)
    for c in (24, 32):
        y = x
        for i in range(2):
            y = n.conv(n.op('Relu', y) if i else y, n.dim[y], 3, group=n.dim[y], bias=False)
            y = n.bn(n.conv(y, c, 1, bias=False))
        y = n.pool(y, 3, 2, 1)
        x = n.op('Add', y, n.bn(n.conv(x, c, 1, 2, bias=False)), c=c)
    x = n.conv(x, 64, 3, group=32, act='Relu')  # depth multiplier 2
    n.head(x)
    return n


@net
def style_transfer():
    n = Net(29)

    def norm(x, act=None):
        c = n.dim[x]
        return n.act(n.op('InstanceNormalization', x, n.const(n.rng.rand(c) + 0.5), n.const(n.rng.randn(c) * 0.1)), act)

    def conv(x, c, k, s=1):
        p = k // 2
        return n.conv(n.op('Pad', x, n.ints(0, 0, p, p, 0, 0, p, p), mode='reflect'), c, k, s, pad=[0] * 4)
    x = norm(conv(n.input(1, 3, 48, 64), 12, 9), 'Relu')
    x = norm(conv(x, 24, 3, 2), 'Relu')
    x = n.op('Add', x, norm(conv(norm(conv(x, 24, 3), 'Relu'), 24, 3)))
    x = norm(conv(n.up(x, 2), 12, 3), 'Relu')
    n.out(n.op('Tanh', conv(x, 3, 9)))
    return n


@net
def psp_segmentation():
    n = Net(30)
    x = n.cb(n.cb(n.input(1, 3, 72, 72), 16, 3, 2), 24, 3, 2)
    x = n.cb(x, 32, 3, dilation=2)
    levels = [x]
    for k in (18, 9, 6):
        y = n.cb(n.pool(x, k, k, kind='AveragePool'), 8, 1)
        levels.append(n.op('Resize', y, '', '', n.ints(1, 8, 18, 18), mode='linear', coordinate_transformation_mode='align_corners'))
    x = n.conv(n.cb(n.cat(*levels), 24), 5, 1)
    x = n.op('Resize', x, '', '', n.ints(1, 5, 72, 72), mode='linear', coordinate_transformation_mode='half_pixel')
    n.out(n.op('ArgMax', x, axis=1, keepdims=0))
    n.out(x)
    n.outputs[0].type.tensor_type.elem_type = TensorProto.INT64
    return n


@net
def ssd_heads():
    n = Net(31)
    x = n.cb(n.cb(n.input(1, 3, 64, 64), 16, 3, 2, 'relu6'), 24, 3, 2, 'relu6')
    locs, scores = [], []
    for _ in range(3):
        for l, k in ((locs, 4), (scores, 5)):
            y = n.op('Transpose', n.conv(x, 3 * k), perm=[0, 2, 3, 1])
            l.append(n.op('Reshape', y, n.ints(0, -1, k)))
        x = n.conv(x, 24, 3, 2, act='Relu')
    norm = n.op('Div', n.op('Concat', *locs, axis=1), n.const([10.0, 10.0, 5.0, 5.0]))
    xy, wh = n.split(norm, 2, 2, axis=2)
    n.out(n.op('Concat', n.op('Add', n.op('Mul', xy, n.const(0.1)), n.const(0.5)), n.op('Exp', n.op('Mul', wh, n.const(0.2))), axis=2))
    n.out(n.op('Softmax', n.op('Concat', *scores, axis=1), axis=-1))
    return n


@net
def causal_tcn():
    n = Net(32)
    x = n.input(1, 10, 128)
    for i, c in enumerate((16, 16, 24)):
        d, y = 2 ** i, x
        for _ in range(2):
            y = n.op('Pad', y, n.ints(0, 0, 2 * d, 0, 0, 0))
            y = n.op('Conv', y, n.weights(c, n.dim[y], 3), n.const(n.rng.randn(c) * 0.1), c=c, kernel_shape=[3], dilations=[d])
            y = n.op('Relu', y)
        if n.dim[x] != c:
            x = n.op('Conv', x, n.weights(c, n.dim[x], 1), n.const(np.zeros(c)), c=c, kernel_shape=[1])
        x = n.op('Relu', n.op('Add', x, y))
    last = n.op('Gather', x, n.const(-1, np.int64), axis=2)
    n.out(n.op('Gemm', last, n.weights(5, 24), n.const(np.zeros(5)), transB=1))
    return n


@net
def attention_blocks():
    """CBAM, ECA, selective kernels, gated units, FReLU, generalised-mean pooling, a blurring pool, coordinates as channels."""
    n = Net(33)
    x = n.input(1, 3, 48, 48)
    row = np.broadcast_to(np.linspace(-1, 1, 48).reshape(1, 1, 48, 1), (1, 1, 48, 48))
    x = n.op('Concat', x, n.const(row), n.const(row.transpose(0, 1, 3, 2)), axis=1, c=5)
    x = n.cb(x, 24, 3, 2)
    # CBAM
    w = [n.weights(6, 24, 1, 1), n.weights(24, 6, 1, 1)]
    gate = [n.op('Conv', n.op('Relu', n.op('Conv', n.op(p, x), w[0], c=6)), w[1], c=24) for p in ('GlobalAveragePool', 'GlobalMaxPool')]
    x = n.op('Mul', x, n.op('Sigmoid', n.op('Add', *gate)))
    m = n.op('Concat', n.op('ReduceMean', x, axes=[1], c=1), n.op('ReduceMax', x, axes=[1], c=1), axis=1, c=2)
    x = n.op('Mul', x, n.op('Sigmoid', n.conv(m, 1, 7)))
    # ECA: a 1-D convolution over channels
    y = n.op('Transpose', n.op('Squeeze', n.op('GlobalAveragePool', x), n.ints(-1)), perm=[0, 2, 1], c=1)
    y = n.op('Conv', y, n.weights(1, 1, 3), c=1, kernel_shape=[3], pads=[1, 1])
    y = n.op('Unsqueeze', n.op('Transpose', y, perm=[0, 2, 1], c=24), n.ints(-1))
    x = n.op('Mul', x, n.op('Sigmoid', y))
    # selective kernels: softmax over branches
    a, b = n.cb(x, 24, 3), n.cb(x, 24, 3, dilation=2)
    z = n.conv(n.op('GlobalAveragePool', n.op('Add', a, b)), 12, 1, act='Relu')
    s = [n.op('Unsqueeze', n.conv(z, 24, 1), n.ints(1)) for _ in range(2)]
    p, q = n.split(n.op('Softmax', n.op('Concat', *s, axis=1), axis=1), 1, 1, axis=1)
    p, q = (n.op('Squeeze', i, n.ints(1), c=24) for i in (p, q))
    x = n.op('Add', n.op('Mul', a, p), n.op('Mul', b, q))
    # blurring pool
    k = np.outer([1, 2, 1], [1, 2, 1]) / 16.0
    y = n.op('Pad', x, n.ints(0, 0, 1, 1, 0, 0, 1, 1), mode='reflect')
    x = n.op('Conv', y, n.const(np.broadcast_to(k, (24, 1, 3, 3))), kernel_shape=[3, 3], strides=[2, 2], group=24, c=24)
    # gated unit, FReLU, maxout
    a, b = n.split(n.conv(x, 32, 1), 16, 16)
    x = n.op('Mul', a, n.op('Sigmoid', b))
    x = n.op('Max', x, n.conv(x, 16, 3, group=16))
    # generalised mean
    y = n.op('Pow', n.op('Max', x, n.const(1e-3)), n.const(3.0))
    y = n.op('Pow', n.op('GlobalAveragePool', y), n.const(1 / 3.0))
    n.out(n.op('Gemm', n.op('Flatten', y), n.weights(7, 16), n.const(np.zeros(7)), transB=1))
    return n


@net
def nhwc_from_tensorflow():
    """As tf2onnx leaves them: NHWC at the borders, SAME padding, Transposes between, Reshape to a vector, MatMul."""
    n = Net(34)
    n.inputs.append(helper.make_tensor_value_info('image:0', TensorProto.FLOAT, (1, 49, 51, 3)))
    n.dim['image:0'] = 3
    x = n.op('Transpose', 'image:0', perm=[0, 3, 1, 2])
    for c, s in ((16, 2), (24, 2), (32, 1)):
        x = n.op('Conv', x, n.weights(c, n.dim[x], 3, 3), c=c, auto_pad='SAME_UPPER', strides=[s, s])
        x = n.op('Clip', n.op('Add', x, n.const(n.rng.randn(1, c, 1, 1) * 0.1)), n.const(0.0), n.const(6.0))
    x = n.op('MaxPool', x, kernel_shape=[3, 3], strides=[2, 2], auto_pad='SAME_UPPER')
    x = n.op('Transpose', x, perm=[0, 2, 3, 1])
    a = n.op('ReduceMean', x, axes=[1, 2], keepdims=0)
    y = n.op('Reshape', x, n.ints(-1, 7 * 7 * 32))
    y = n.op('Add', n.op('MatMul', y, n.const(n.rng.randn(7 * 7 * 32, 20) * 0.05)), n.const(np.zeros(20)))
    y = n.op('Concat', a, n.op('LeakyRelu', y, alpha=0.2), axis=-1)
    n.out(n.op('Softmax', n.op('MatMul', y, n.const(n.rng.randn(52, 8) * 0.2)), axis=-1))
    return n


@net
def deconv_keypoints():
    n = Net(35)
    x = n.cb(n.cb(n.cb(n.input(1, 3, 64, 48), 16, 3, 2), 24, 3, 2), 32, 3, 2)
    for c in (24, 16):
        x = n.op('ConvTranspose', x, n.weights(n.dim[x], c, 4, 4), c=c, kernel_shape=[4, 4], strides=[2, 2], pads=[1] * 4)
        x = n.bn(x, 'Relu')
    heat = n.op('Sigmoid', n.conv(n.conv(x, 24, act='Relu'), 5, 1))
    peak = n.pool(heat, 3, 1, 1)
    n.out(heat, n.op('Sub', heat, peak), n.conv(n.conv(x, 24, act='Relu'), 2, 1))
    return n


@net
def regnet_stages():
    n = Net(36)
    x = n.cb(n.input(1, 3, 64, 64), 16, 3, 2)
    for c, g in ((24, 3), (48, 6)):
        y = n.se(n.cb(n.cb(x, c, 1), c, 3, 2, group=g), gate='Sigmoid')
        x = n.op('Relu', n.op('Add', n.bn(n.conv(y, c, 1, bias=False)), n.bn(n.conv(x, c, 1, 2, bias=False))))
        x = n.op('Relu', n.op('Add', x, n.bn(n.conv(n.cb(n.cb(x, c, 1), c, 3, group=g), c, 1, bias=False))))
    n.head(x)
    return n


@net
def denoiser_residual():
    n = Net(37)
    x = n.input(1, 1, 40, 56)
    y = n.conv(x, 16, act='Relu')
    for _ in range(4):
        y = n.cb(y, 16)
    n.out(n.op('Clip', n.op('Sub', x, n.conv(y, 1, bias=False)), n.const(0.0), n.const(1.0)))
    return n


@net
def mixer_and_pool():
    """MLP-Mixer's token mixing and PoolFormer's pooling minus identity."""
    n = Net(38)
    d, t = 24, 64
    x = n.conv(n.input(1, 3, 64, 64), d, 8, 8, pad=[0] * 4)
    p = n.op('AveragePool', x, kernel_shape=[3, 3], strides=[1, 1], pads=[1] * 4, count_include_pad=0)
    x = n.op('Add', x, n.op('Mul', n.op('Sub', p, x), n.const(n.rng.rand(d, 1, 1) * 0.3)))
    x = n.op('Reshape', x, n.ints(1, d, t))
    y = n.op('Add', n.op('MatMul', x, n.const(n.rng.randn(t, 2 * t) / 8)), n.const(np.zeros(2 * t)))
    y = n.op('MatMul', n.act(y, 'gelu'), n.const(n.rng.randn(2 * t, t) / 11))
    x = n.op('Transpose', n.op('Add', x, y), perm=[0, 2, 1])
    n.out(n.op('MatMul', n.op('ReduceMean', x, axes=[1], keepdims=0), n.const(n.rng.randn(d, 6) * 0.2)))
    return n


def main():
    folder, names = pathlib.Path(sys.argv[1]), sys.argv[2:] or sorted(NETS)
    for name in names:
        NETS[name]().save(folder / name)
    print(f'{len(names)} networks in {folder}')


if __name__ == '__main__':
    main()
