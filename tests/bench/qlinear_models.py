#!/usr/bin/python3
"""Writes random small quantised ONNX models, as users hand them in, for oracle.mjs --family.

    qlinear_models.py FOLDER FIRST COUNT

One to four operators: Conv (1-D, 2-D, groups, dilation, strides, all paddings), MatMul, Gemm, Add, Mul, average, global
average and maximum pooling, Concat, Sigmoid, LeakyRelu, requantising pairs, Transpose, Reshape; i8 and u8, per tensor and per
channel, any zero points, scales from sensible to extreme, powers of two among them. Spelled as QLinear operators or as float
operators between Quantize- and DequantizeLinear. FOLDER gets q<seed>.onnx and models.json, a list of

    file        the model
    reference   what ONNX Runtime runs: the model itself, or, where it would compute in float (QDQ of i8 on x86), the same
                network spelled as QLinear operators
    spelling    "qoperator" or "qdq"
    type        of activations
    ops         operators used
    shift       True where u8 and i8 forms of an operator are no longer the same numbers in binary32 (numerics: the zero
                point enters the sum before rounding): u8 with Add, Mul, average pooling

Needs Debian's python3-onnx. The same seed gives the same model.
"""
import json
import math
import pathlib
import sys

import numpy as np
from onnx import TensorProto, helper, numpy_helper

NUMPY = {'i8': np.int8, 'u8': np.uint8, 'i32': np.int32, 'f32': np.float32}
ONNX = {'i8': TensorProto.INT8, 'u8': TensorProto.UINT8, 'f32': TensorProto.FLOAT}
LOW, HIGH = {'i8': -128, 'u8': 0}, {'i8': 127, 'u8': 255}


class Tensor:
    """An integer tensor: name, shape, type, scale, zero point; `spread` is about the deviation of its integers."""

    def __init__(self, name, shape, kind, scale, zero, spread=60.0):
        self.name, self.shape, self.kind = name, list(shape), kind
        self.scale, self.zero, self.spread = np.float32(scale), int(zero), spread
        self.real = None  # QDQ: name of the dequantised tensor


class Writer:
    """Builds one spelling of the network; both spellings ask the random numbers in the same order."""

    def __init__(self, seed, spelling, kind, pairs=True):
        self.rng = np.random.RandomState(seed)
        self.spelling, self.kind, self.pairs = spelling, kind, pairs
        self.nodes, self.constants, self.inputs, self.outputs, self.ops = [], [], [], [], []
        self.count = {}

    # -- parts --

    def fresh(self, stem):
        self.count[stem] = self.count.get(stem, 0) + 1  # tensors get the same names in both spellings
        return f'{stem}_{self.count[stem]}'

    def constant(self, value, kind, stem='c'):
        name = self.fresh(stem)
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype=NUMPY[kind]), name))
        return name

    def node(self, op, inputs, out, domain='', **attributes):
        attributes = {k: v for k, v in attributes.items() if v is not None}
        self.nodes.append(helper.make_node(op, inputs, [out], name=f'n_{out}', domain=domain, **attributes))
        return out

    def pair(self, scale, zero, kind):
        return [self.constant(scale, 'f32', 's'), self.constant(zero, kind, 'z')]

    def params(self, t):
        return self.pair(t.scale, t.zero, t.kind)

    def read(self, t):
        """The float form of a tensor (QDQ)."""
        if t.real is None:
            t.real = self.node('DequantizeLinear', [t.name, *self.params(t)], self.fresh('dq'))
        return t.real

    def write(self, real, t):
        self.node('QuantizeLinear', [real, *self.params(t)], t.name)
        return t

    # -- random choices --

    def chance(self, p):
        return self.rng.rand() < p

    def pick(self, *values):
        return values[self.rng.randint(len(values))]

    def zero(self, kind):
        low, high = LOW[kind], HIGH[kind]
        return self.pick(low, high, (low + high + 1) // 2, (low + high + 1) // 2, *self.rng.randint(low, high + 1, 4))

    def scale(self):
        e = self.rng.uniform(-9, 1)
        wild = self.rng.rand()
        if wild < 0.06:
            e += self.rng.uniform(-30, 30)
        mantissa = 1.0 if self.power_of_two else self.rng.uniform(1, 2)
        return np.float32(2.0 ** math.floor(e) * mantissa)

    def result(self, shape, real_spread, kind=None, zero=None, stem='t'):
        """A tensor whose scale suits values of that deviation, more or less; now and then not at all."""
        kind = kind or self.kind
        wanted = self.pick(20.0, 50.0, 90.0, 200.0)
        factor = 2.0 ** self.rng.uniform(-12, 12) if self.chance(0.05) else 1.0
        s = max(real_spread, 1e-30) / wanted * factor
        if self.power_of_two:
            s = 2.0 ** round(math.log2(s))
        z = self.zero(kind) if zero is None else zero
        return Tensor(self.fresh(stem), shape, kind, np.clip(s, 1e-30, 1e30), z)

    def input(self, shape):
        t = Tensor(self.fresh('x'), shape, self.kind, self.scale(), self.zero(self.kind), 74.0)
        if self.float_border:
            self.inputs.append(helper.make_tensor_value_info(t.name + '_f', TensorProto.FLOAT, shape))
            return self.write(t.name + '_f', t)
        self.inputs.append(helper.make_tensor_value_info(t.name, ONNX[self.kind], shape))
        return t

    def output(self, t):
        if self.float_border:
            real = self.node('DequantizeLinear', [t.name, *self.params(t)], self.fresh('y'))
            self.outputs.append(helper.make_tensor_value_info(real, TensorProto.FLOAT, t.shape))
        else:
            self.outputs.append(helper.make_tensor_value_info(t.name, ONNX[t.kind], t.shape))

    def weights(self, shape, axis):
        """Integers with their scale (one, or one a channel of `axis`) and zero point."""
        kind = 'i8' if self.kind == 'i8' else self.pick('i8', 'i8', 'u8')
        value = self.rng.randint(LOW[kind], HIGH[kind] + 1, shape)
        if self.chance(0.1):
            value[self.rng.rand(*shape) < 0.5] = self.pick(LOW[kind], HIGH[kind])
        middle = (LOW[kind] + HIGH[kind] + 1) // 2
        zero = middle if self.chance(0.7) else self.zero(kind)
        n = shape[axis]
        if self.chance(0.5):
            base = self.scale()
            spread = np.ones(n) if self.power_of_two else self.rng.uniform(0.5, 2, n)
            return value, np.asarray(base * spread, np.float32), np.full(n, zero), kind, axis
        return value, self.scale(), zero, kind, None

    def bias(self, n, terms):
        size = self.pick(0, 100, int(5000 * math.sqrt(terms)), int(20000 * math.sqrt(terms)))
        if self.chance(0.03):
            size = 2 ** 30
        return self.rng.randint(-size, size + 1, n)

    # -- operators --

    def product(self, x, w, ws, wz, wkind, axis, bias, y, op, real_weights, **attributes):
        """Conv, MatMul, Gemm with constant weights, in this spelling."""
        wname, wpair = self.constant(w, wkind, 'w'), self.pair(ws, wz, wkind)
        if self.spelling == 'qoperator':
            domain, kind = {'Conv': ('', 'QLinearConv'), 'MatMul': ('', 'QLinearMatMul'),
                            'Gemm': ('com.microsoft', 'QGemm')}[op]
            ins = [x.name, *self.params(x), wname, *wpair]
            b = [] if bias is None else [self.constant(bias, 'i32', 'b')]
            if op == 'Gemm':
                ins += b or [''] * (bias is None)
                ins += self.params(y)
            else:
                ins += self.params(y) + b
            self.node(kind, ins, y.name, domain, **attributes)
            return y
        real = self.node('DequantizeLinear', [wname, *wpair], self.fresh('wdq'), axis=axis)
        ins = [self.read(x), real]
        if bias is not None:
            bs = np.asarray(np.float32(x.scale) * np.asarray(ws, np.float32), np.float32)
            bs = bs if bs.ndim else bs.reshape(())
            bz = np.zeros(bs.shape, np.int32)
            b = self.constant(bias, 'i32', 'b')
            ins.append(self.node('DequantizeLinear', [b, self.constant(bs, 'f32', 's'), self.constant(bz, 'i32', 'z')],
                                 self.fresh('bdq'), axis=0 if bs.ndim else None))
        f = self.node(op, ins, self.fresh('f'), **attributes)
        if y.zero == LOW[y.kind] and real_weights:
            f = self.node('Relu', [f], self.fresh('r'))
        return self.write(f, y)

    def spread(self, x, w, wz, ws, terms):
        deviation = float(np.std(np.asarray(w, float) - (np.asarray(wz).flat[0]))) + 1.0
        return float(x.scale) * float(np.mean(ws)) * x.spread * deviation * math.sqrt(terms) + 1e-30

    def conv(self, x):
        if len(x.shape) not in (3, 4):
            return None
        n, c, size = x.shape[0], x.shape[1], x.shape[2:]
        dims = len(size)
        group = self.pick(1, 1, *[g for g in (2, 3, 4, c) if c % g == 0])
        out = group * self.rng.randint(1, 1 + max(1, 16 // group)) if self.chance(0.8) else c
        if out % group:
            out = group
        k, d, s, pads, auto = [], [], [], [[], []], self.pick(None, None, None, 'SAME_UPPER', 'SAME_LOWER', 'VALID')
        shape = []
        for extent in size:
            kernel, dilation = self.rng.randint(1, 5), self.pick(1, 1, 1, 2, 3)
            if auto and auto != 'VALID':
                dilation = 1
            if kernel == 1:
                dilation = 1
            reach = (kernel - 1) * dilation + 1
            stride = self.pick(1, 1, 2, 3)
            begin, end = self.rng.randint(0, kernel), self.rng.randint(0, kernel)
            if auto == 'VALID':
                begin = end = 0
            if auto in ('SAME_UPPER', 'SAME_LOWER'):
                o = -(-extent // stride)
            else:
                if reach > extent + begin + end:
                    kernel = dilation = reach = 1
                    begin = end = 0
                o = (extent + begin + end - reach) // stride + 1
            k.append(int(kernel)), d.append(int(dilation)), s.append(int(stride)), shape.append(int(o))
            pads[0].append(int(begin)), pads[1].append(int(end))
        terms = c // group * int(np.prod(k))
        w, ws, wz, wkind, axis = self.weights([int(out), c // group, *k], 0)
        bias = self.bias(out, terms) if self.chance(0.7) else None
        y = self.result([n, int(out), *shape], self.spread(x, w, wz, ws, terms))
        self.ops.append('Conv')
        return self.product(x, w, ws, wz, wkind, axis, bias, y, 'Conv', True, group=int(group), kernel_shape=k, strides=s,
                            dilations=d, pads=None if auto else pads[0] + pads[1], auto_pad=auto)

    def flatten(self, x):
        if len(x.shape) == 2:
            return x
        shape = [x.shape[0], int(np.prod(x.shape[1:]))]
        return self.moved(x, shape, 'Reshape', [self.shape_constant(shape)])

    def shape_constant(self, shape):
        name = self.fresh('shape')
        self.constants.append(numpy_helper.from_array(np.asarray(shape, np.int64), name))
        return name

    def moved(self, x, shape, op, extra=(), **attributes):
        """An operator that moves integers: on them, or between a quantiser pair of the same parameters."""
        y = Tensor(self.fresh('m'), shape, x.kind, x.scale, x.zero, x.spread)
        if self.spelling == 'qoperator':
            self.node(op, [x.name, *extra], y.name, **attributes)
            return y
        return self.write(self.node(op, [self.read(x), *extra], self.fresh('f'), **attributes), y)

    def matmul(self, x):
        if len(x.shape) == 4 or self.chance(0.5):
            x = self.flatten(x)
        k, n = x.shape[-1], int(self.rng.randint(1, 20))
        w, ws, wz, wkind, axis = self.weights([k, n], 1)
        y = self.result([*x.shape[:-1], n], self.spread(x, w, wz, ws, k))
        self.ops.append('MatMul')
        return self.product(x, w, ws, wz, wkind, axis, None, y, 'MatMul', False)

    def gemm(self, x):
        x = self.flatten(x)
        k, n = x.shape[1], int(self.rng.randint(1, 20))
        turned = self.chance(0.5)
        w, ws, wz, wkind, axis = self.weights([n, k] if turned else [k, n], 0 if turned else 1)
        y = self.result([x.shape[0], n], self.spread(x, w, wz, ws, k))
        bias = self.bias(n, k) if self.chance(0.8) else None
        self.ops.append('Gemm')
        return self.product(x, w, ws, wz, wkind, axis, bias, y, 'Gemm', False, transB=int(turned))

    def other(self, x):
        """A second operand: another input, the same tensor, or a constant that broadcasts."""
        how = self.pick('input', 'input', 'same', 'channel', 'scalar', 'full')
        if how == 'same':
            return x
        scale = np.float32(x.scale * 2.0 ** self.rng.uniform(-3, 3)) if not self.power_of_two else \
            np.float32(x.scale * 2.0 ** self.rng.randint(-3, 4))
        if how == 'input':
            t = self.input(x.shape)
            return t
        shape = {'channel': [1, x.shape[1]] + [1] * (len(x.shape) - 2), 'scalar': [], 'full': x.shape}[how]
        value = self.rng.randint(LOW[x.kind], HIGH[x.kind] + 1, shape)
        t = Tensor(self.constant(value, x.kind, 'k'), shape, x.kind, scale, self.zero(x.kind))
        return t

    def binary(self, x, op):
        b = self.other(x)
        sx, sb = float(x.scale) * x.spread, float(b.scale) * b.spread
        y = self.result(x.shape, math.hypot(sx, sb) if op == 'Add' else sx * sb)
        if op == 'Add':  # beyond 2^21 ONNX Runtime's conversion overflows and xgc refuses
            floor = max(float(x.scale), float(b.scale)) / 2.0 ** 18
            y.scale = np.float32(max(float(y.scale), floor))
        self.ops.append(op)
        if self.spelling == 'qoperator':
            self.node(f'QLinear{op}', [x.name, *self.params(x), b.name, *self.params(b), *self.params(y)], y.name,
                      'com.microsoft')
            return y
        return self.write(self.node(op, [self.read(x), self.read(b)], self.fresh('f')), y)

    def window(self, x, least_pad_free):
        k, s, begin, end, shape = [], [], [], [], []
        for extent in x.shape[2:]:
            kernel = int(self.rng.randint(1, min(4, extent) + 1))
            stride = int(self.pick(1, 1, 2, 3))
            b, e = (int(self.rng.randint(0, kernel)), int(self.rng.randint(0, kernel))) if not least_pad_free else (0, 0)
            k.append(kernel), s.append(stride), begin.append(b), end.append(e)
            shape.append((extent + b + e - kernel) // stride + 1)
        return k, s, begin + end, x.shape[:2] + shape

    def average(self, x):
        if len(x.shape) != 4:
            return None
        k, s, pads, shape = self.window(x, False)
        y = self.result(shape, float(x.scale) * x.spread)
        attributes = dict(kernel_shape=k, strides=s, pads=pads, count_include_pad=int(self.chance(0.3)))
        self.ops.append('AveragePool')
        if self.spelling == 'qoperator':
            self.node('QLinearAveragePool', [x.name, *self.params(x), *self.params(y)], y.name, 'com.microsoft', **attributes)
            return y
        return self.write(self.node('AveragePool', [self.read(x)], self.fresh('f'), **attributes), y)

    def whole(self, x):
        if len(x.shape) != 4:
            return None
        y = self.result(x.shape[:2] + [1, 1], float(x.scale) * x.spread / 2)
        self.ops.append('GlobalAveragePool')
        if self.spelling == 'qoperator':
            self.node('QLinearGlobalAveragePool', [x.name, *self.params(x), *self.params(y)], y.name, 'com.microsoft',
                      channels_last=0)
            return y
        return self.write(self.node('GlobalAveragePool', [self.read(x)], self.fresh('f')), y)

    def maximum(self, x):
        if len(x.shape) != 4:
            return None
        k, s, pads, shape = self.window(x, False)
        self.ops.append('MaxPool')
        return self.moved(x, shape, 'MaxPool', kernel_shape=k, strides=s, pads=pads)

    def concat(self, x):
        others = [x] + [self.input(x.shape) for _ in range(self.rng.randint(1, 3))]
        axis = 1 if self.chance(0.7) else int(self.rng.randint(1, len(x.shape)))
        shape = list(x.shape)
        shape[axis] *= len(others)
        y = self.result(shape, max(float(t.scale) for t in others) * 74)
        self.ops.append('Concat')
        if self.spelling == 'qoperator':
            ins = self.params(y)
            for t in others:
                ins += [t.name, *self.params(t)]
            self.node('QLinearConcat', ins, y.name, 'com.microsoft', axis=axis)
            return y
        return self.write(self.node('Concat', [self.read(t) for t in others], self.fresh('f'), axis=axis), y)

    def table(self, x, op):
        alpha = {'alpha': float(np.float32(self.rng.uniform(0, 0.5)))} if op == 'LeakyRelu' else {}
        y = self.result(x.shape, 0.5 if op == 'Sigmoid' else float(x.scale) * x.spread)
        if op == 'Sigmoid':  # finer steps show ONNX Runtime's approximation of the function; xgc rounds the exact one
            y.scale = np.float32(max(float(y.scale), 2.0 ** -12))
        self.ops.append(op)
        if self.spelling == 'qoperator':
            self.node(f'QLinear{op}', [x.name, *self.params(x), *self.params(y)], y.name, 'com.microsoft', **alpha)
            return y
        return self.write(self.node(op, [self.read(x)], self.fresh('f'), **alpha), y)

    def requantise(self, x):
        """Never two quantiser pairs in a row: ONNX Runtime merges them into one, which changes values."""
        if not self.pairs or self.float_border or self.ops[-1:] == ['Requantise']:
            return None
        y = self.result(x.shape, float(x.scale) * x.spread)
        self.ops.append('Requantise')
        return self.write(self.node('DequantizeLinear', [x.name, *self.params(x)], self.fresh('f')), y)

    def transpose(self, x):
        perm = [0] + [int(i) for i in 1 + self.rng.permutation(len(x.shape) - 1)]
        self.ops.append('Transpose')
        return self.moved(x, [x.shape[i] for i in perm], 'Transpose', perm=perm)

    # -- the network --

    def build(self):
        self.power_of_two = self.chance(0.25)
        self.float_border = self.chance(0.3)
        self.show_all = self.chance(0.5)
        n = self.pick(1, 1, 1, 2)
        size = [int(self.rng.randint(1, 13)) for _ in range(1 if self.chance(0.15) else 2)]
        x = self.input([n, int(self.rng.randint(1, 21)), *size])
        choice = [self.conv, self.conv, self.conv, self.conv, self.matmul, self.gemm,
                  lambda t: self.binary(t, 'Add'), lambda t: self.binary(t, 'Mul'), self.average, self.whole, self.maximum,
                  self.concat, lambda t: self.table(t, 'Sigmoid'), lambda t: self.table(t, 'LeakyRelu'), self.requantise,
                  self.transpose]
        for _ in range(self.rng.randint(1, 5)):
            y = None
            while y is None:
                y = choice[self.rng.randint(len(choice))](x)
            if self.show_all and self.spelling == 'qoperator' and not self.float_border and x.name.startswith('t_'):
                self.output(x)
            x = y
        self.output(x)
        return self

    def model(self, opset):
        graph = helper.make_graph(self.nodes, 'random', self.inputs, self.outputs, self.constants)
        ids = [helper.make_opsetid('', opset), helper.make_opsetid('com.microsoft', 1)]
        return helper.make_model(graph, opset_imports=ids, ir_version=8, producer_name='qlinear_models')


def write(folder, seed):
    rng = np.random.RandomState(seed)
    spelling, kind = ('qoperator', 'qdq')[rng.randint(2)], ('i8', 'u8')[rng.randint(2)]
    opset = (13, 13, 15, 17, 18)[rng.randint(5)]
    first = Writer(seed, spelling, kind, spelling == 'qoperator').build()
    file = f'q{seed}.onnx'
    (folder / file).write_bytes(first.model(opset).SerializeToString())
    reference = file
    if spelling == 'qdq' and kind == 'i8':
        reference = f'q{seed}.ref.onnx'
        twin = Writer(seed, 'qoperator', kind, False)
        twin.build()
        twin.outputs = [o for o in twin.outputs if o.name in {p.name for p in first.outputs}] or twin.outputs[-1:]
        (folder / reference).write_bytes(twin.model(opset).SerializeToString())
    shift = kind == 'u8' and bool({'Add', 'Mul', 'AveragePool'} & set(first.ops))
    return dict(file=file, reference=reference, spelling=spelling, type=kind, ops=sorted(set(first.ops)), shift=shift)


def main():
    folder, first, count = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    folder.mkdir(parents=True, exist_ok=True)
    rows = [write(folder, seed) for seed in range(first, first + count)]
    (folder / 'models.json').write_text(json.dumps(rows))


if __name__ == '__main__':
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main()
