#!/usr/bin/env python3
"""Makes the blocks that networks are built of, as small float ONNX models, for the tests of fusion. Needs python3-onnx; the
models are kept in the repository, so only a change of this file needs it. Weights are constant (ConstantOfShape): use
xgc's --random-weights. Run: python3 make_blocks.py [folder]"""
import os
import sys

from onnx import TensorProto, helper, save

OUT = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))


class Block:
    """A graph whose nodes are named by the caller. Shapes (without the batch of 1) are kept by tensor, NCHW."""

    def __init__(self, *shape):
        self.nodes, self.constants, self.initializers = [], [], []
        self.shapes = {'image': shape}

    def op(self, kind, name, inputs, shape, **attributes):
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        self.shapes[name] = tuple(shape)
        return name

    def weights(self, *dims):
        name = f'w{len(self.constants)}'
        self.initializers.append(helper.make_tensor(name + '_shape', TensorProto.INT64, [len(dims)], dims))
        value = helper.make_tensor('', TensorProto.FLOAT, [1], [0.02])
        self.constants.append(helper.make_node('ConstantOfShape', [name + '_shape'], [name], value=value))
        return name

    def ints(self, name, *values):
        self.initializers.append(helper.make_tensor(name, TensorProto.INT64, [len(values)], values))
        return name

    def conv(self, name, x, outputs, k=1, stride=1, group=1, act=None, **more):
        c, h, w = self.shapes[x]
        pad = k // 2
        extra = [self.weights(outputs, c // group, k, k), self.weights(outputs)]
        shape = (outputs, (h + 2 * pad - k) // stride + 1, (w + 2 * pad - k) // stride + 1)
        self.op('Conv', name, [x, *extra], shape, kernel_shape=[k, k], strides=[stride] * 2, pads=[pad] * 4, group=group)
        return self.act(name + '_act', name, act, **more) if act else name

    def depthwise(self, name, x, k=3, stride=1, act=None):
        return self.conv(name, x, self.shapes[x][0], k, stride, self.shapes[x][0], act)

    def act(self, name, x, kind, **more):
        if kind == 'Silu':  # as exporters write it
            return self.join('Mul', name, x, self.act(name + '_gate', x, 'Sigmoid'))
        return self.op(kind, name, [x], self.shapes[x], **more)

    def deconv(self, name, x, outputs, k, stride, act=None):
        c, h, w = self.shapes[x]
        extra = [self.weights(c, outputs, k, k), self.weights(outputs)]
        pad = (k - stride) // 2
        shape = (outputs, stride * h, stride * w)
        self.op('ConvTranspose', name, [x, *extra], shape, kernel_shape=[k, k], strides=[stride] * 2, pads=[pad] * 4)
        return self.act(name + '_act', name, act) if act else name

    def pool(self, name, x, k, stride=1, kind='MaxPool'):
        c, h, w = self.shapes[x]
        pad = k // 2 if stride == 1 else 0
        shape = (c, (h + 2 * pad - k) // stride + 1, (w + 2 * pad - k) // stride + 1)
        return self.op(kind, name, [x], shape, kernel_shape=[k, k], strides=[stride] * 2, pads=[pad] * 4)

    def average(self, name, x):
        return self.op('GlobalAveragePool', name, [x], (self.shapes[x][0], 1, 1))

    def join(self, kind, name, a, b):
        return self.op(kind, name, [a, b], max(self.shapes[a], self.shapes[b], key=lambda s: s[-1]))

    def concat(self, name, *xs):
        shapes = [self.shapes[x] for x in xs]
        return self.op('Concat', name, list(xs), (sum(s[0] for s in shapes), *shapes[0][1:]), axis=1)

    def flatten(self, name, x):
        c, h, w = self.shapes[x]
        return self.op('Flatten', name, [x], (c * h * w,))

    def gemm(self, name, x, outputs, act=None):
        extra = [self.weights(outputs, self.shapes[x][0]), self.weights(outputs)]
        self.op('Gemm', name, [x, *extra], (outputs,), transB=1)
        return self.act(name + '_act', name, act) if act else name

    def project(self, name, x, outputs, act=None):
        """Tokens [n, c] times a matrix, plus a bias."""
        n, c = self.shapes[x]
        self.op('MatMul', name + '_mul', [x, self.weights(c, outputs)], (n, outputs))
        self.op('Add', name, [name + '_mul', self.weights(outputs)], (n, outputs))
        return self.act(name + '_act', name, act) if act else name

    def write(self, name, *outputs):
        def info(x):
            return helper.make_tensor_value_info(x, TensorProto.FLOAT, [1, *self.shapes[x]])
        graph = helper.make_graph(self.constants + self.nodes, name, [info('image')], [info(x) for x in outputs],
                                  self.initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid('', 14)], producer_name='make_blocks')
        model.ir_version = 7
        save(model, os.path.join(OUT, f'block_{name}.onnx'))


def inception():
    b = Block(16, 14, 14)
    x = b.conv('stem', 'image', 48, 3, act='Relu')
    one = b.conv('b1', x, 16, act='Relu')
    three = b.conv('b2b', b.conv('b2a', x, 24, act='Relu'), 32, 3, act='Relu')
    five = b.conv('b3b', b.conv('b3a', x, 8, act='Relu'), 16, 5, act='Relu')
    pooled = b.conv('b4b', b.pool('b4a', x, 3), 16, act='Relu')
    b.write('inception', b.conv('after', b.concat('join', one, three, five, pooled), 32, act='Relu'))


def fire():
    b = Block(16, 14, 14)
    x = b.conv('stem', 'image', 32, 3, act='Relu')
    x = b.conv('squeeze', x, 16, act='Relu')
    x = b.concat('join', b.conv('expand1', x, 32, act='Relu'), b.conv('expand3', x, 32, 3, act='Relu'))
    b.write('fire', b.pool('pool', x, 2, 2))


def partial():
    """YOLO's cross-stage partial block: two halves with SiLU, one of them with a residual, joined."""
    b = Block(16, 13, 13)
    x = b.conv('half1', 'image', 16, act='Silu')
    y = b.conv('half2', 'image', 16, act='Silu')
    x = b.join('Add', 'sum', x, b.conv('inner2', b.conv('inner1', x, 16, act='Silu'), 16, 3, act='Silu'))
    b.write('partial', b.conv('after', b.concat('join', x, y), 24, act='Silu'))


def inverted():
    """MobileNetV2's block with a sum, V3's with hard-swish, one with stride 2."""
    b = Block(16, 14, 14)
    x = b.conv('expand1', 'image', 64, act='Relu')
    x = b.conv('project1', b.depthwise('depth1', x, act='Relu'), 16)
    x = b.join('Add', 'sum1', 'image', x)
    y = b.conv('expand2', x, 64, act='HardSwish')
    y = b.conv('project2', b.depthwise('depth2', y, act='HardSwish'), 16)
    x = b.join('Add', 'sum2', y, x)
    y = b.conv('expand3', x, 64, act='Relu')
    b.write('inverted', b.conv('project3', b.depthwise('depth3', y, stride=2, act='Relu'), 24))


def bottleneck():
    """ResNet-50's block with a projection, then without."""
    b = Block(16, 14, 14)
    x = b.conv('a1', 'image', 16, act='Relu')
    x = b.conv('a3', b.conv('a2', x, 16, 3, act='Relu'), 64)
    x = b.act('a_act', b.join('Add', 'a_sum', x, b.conv('a_proj', 'image', 64)), 'Relu')
    y = b.conv('b3', b.conv('b2', b.conv('b1', x, 16, act='Relu'), 16, 3, act='Relu'), 64)
    b.write('bottleneck', b.act('b_act', b.join('Add', 'b_sum', y, x), 'Relu'))


def excite():
    """Squeeze and excite: MobileNetV3's with hard-sigmoid, EfficientNet's with SiLU and sigmoid."""
    b = Block(16, 14, 14)
    x = b.depthwise('depth1', 'image', act='HardSwish')
    y = b.conv('reduce1', b.average('squeeze1', x), 8, act='Relu')
    x = b.join('Mul', 'scale1', x, b.conv('restore1', y, 16, act='HardSigmoid'))
    x = b.conv('between', x, 32, act='Silu')
    y = b.conv('reduce2', b.average('squeeze2', x), 8, act='Silu')
    x = b.join('Mul', 'scale2', b.conv('restore2', y, 32, act='Sigmoid'), x)
    b.write('excite', b.conv('after', x, 16))


def spp():
    """YOLO's pyramids: poolings side by side, behind one another with all results joined, and a plain chain."""
    b = Block(16, 13, 13)
    x = b.conv('before1', 'image', 16, act='LeakyRelu', alpha=0.1)
    x = b.concat('join1', x, b.pool('side5', x, 5), b.pool('side9', x, 9), b.pool('side13', x, 13))
    x = b.conv('before2', x, 16, act='LeakyRelu', alpha=0.1)
    p = b.pool('chain1', x, 5)
    q = b.pool('chain2', p, 5)
    x = b.concat('join2', x, p, q, b.pool('chain3', q, 5))
    x = b.conv('before3', x, 32, act='LeakyRelu', alpha=0.1)
    x = b.pool('last3', b.pool('last2', b.pool('last1', x, 3), 3, kind='AveragePool'), 2, 2)
    b.write('spp', b.conv('after', x, 16))


def transposed():
    b = Block(16, 8, 8)
    x = b.conv('down', 'image', 32, 3, act='Relu')
    x = b.deconv('up1', x, 16, 2, 2, 'Relu')
    x = b.deconv('up2', x, 16, 4, 2, 'Relu')
    b.write('transposed', b.conv('after', x, 8, 3))


def attention():
    """One head on 16 tokens of 32, then two dense layers; the rest of a transformer runs on the host."""
    b = Block(16, 32)
    q, k, v = (b.project(n, 'image', 32) for n in ('query', 'key', 'value'))
    k = b.op('Transpose', 'turned', [k], (32, 16), perm=[0, 2, 1])
    s = b.op('Softmax', 'weights', [b.op('MatMul', 'scores', [q, k], (16, 16))], (16, 16), axis=-1)
    x = b.project('out', b.op('MatMul', 'mixed', [s, v], (16, 32)), 32)
    x = b.join('Add', 'sum1', x, 'image')
    y = b.project('up', x, 64, 'Sigmoid')
    b.write('attention', b.join('Add', 'sum2', x, b.project('down', y, 32)))


def activations():
    """Every kind of convolution with activations and poolings behind it."""
    b = Block(16, 16, 16)
    x = b.conv('dense1', 'image', 16, 3, act='LeakyRelu', alpha=0.1)
    x = b.pool('pool1', x, 2, 2)
    x = b.depthwise('depth2', x, act='HardSwish')
    x = b.conv('dense3', x, 32, 3, act='Silu')
    x = b.pool('pool3', x, 2, 2, kind='AveragePool')
    x = b.conv('grouped4', x, 32, 3, group=2, act='Tanh')
    x = b.gemm('gemm5', b.flatten('flat', b.average('mean', x)), 32, 'Sigmoid')
    b.write('activations', b.gemm('gemm6', x, 10))


def joins():
    """Sums and products with earlier tensors, as either operand; gates; chains of sums."""
    b = Block(16, 14, 14)
    x = b.conv('c1', 'image', 16, 3, act='Relu')
    x = b.join('Add', 'first', b.conv('c2', x, 16, 3), x)
    x = b.join('Add', 'second', x, b.conv('c3', x, 16, 3))
    x = b.act('second_act', x, 'Tanh')
    y = b.join('Mul', 'gated', b.conv('c4', x, 16, act='Sigmoid'), x)
    z = b.join('Mul', 'product', b.conv('c5', y, 16), b.conv('c6', x, 16))
    s = b.join('Add', 's2', b.join('Add', 's1', z, x), y)
    b.write('joins', b.conv('after', b.pool('pool', s, 2, 2), 16, act='Relu'))


def chain():
    """VGG's stages, small."""
    b = Block(16, 16, 16)
    x = b.conv('c2', b.conv('c1', 'image', 16, 3, act='Relu'), 16, 3, act='Relu')
    x = b.conv('c4', b.conv('c3', b.pool('pool', x, 2, 2), 32, 3, act='Relu'), 32, 3, act='Relu')
    b.write('chain', b.pool('last', x, 2, 2))


for make in (chain, inception, fire, partial, inverted, bottleneck, excite, spp, transposed, attention, activations, joins):
    make()
