#!/usr/bin/env python3
"""Makes the small ONNX models of the import and pass tests. Needs python3-onnx and numpy; the models are kept in the
repository, so only a change of this file needs it. Run: python3 make_onnx.py [folder]"""
import os
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OUT = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))
F, U8, I8, I64 = TensorProto.FLOAT, TensorProto.UINT8, TensorProto.INT8, TensorProto.INT64


class Model:
    def __init__(self, seed=1):
        self.nodes, self.init, self.ins, self.outs = [], [], [], []
        self.rng = np.random.RandomState(seed)

    def const(self, name, value, dtype=np.float32):
        self.init.append(numpy_helper.from_array(np.asarray(value, dtype=dtype), name))
        return name

    def weights(self, name, *shape):
        return self.const(name, self.rng.uniform(-0.5, 0.5, shape))

    def ints(self, name, dtype, *shape):
        info = np.iinfo(dtype)
        return self.const(name, self.rng.randint(info.min, info.max + 1, shape), dtype)

    def input(self, name, shape, t=F):
        self.ins.append(helper.make_tensor_value_info(name, t, shape))
        return name

    def output(self, name, shape=None, t=F):
        self.outs.append(helper.make_tensor_value_info(name, t, shape))

    def op(self, kind, ins, out, domain="", **attrs):
        outs = out if isinstance(out, list) else [out]
        self.nodes.append(helper.make_node(kind, ins, outs, name="n_" + outs[0], domain=domain, **attrs))
        return out

    def quant(self, x, out, scale, zp, dtype=np.uint8, kind="QuantizeLinear", **attrs):
        s = self.const(out + "_s", scale)
        z = self.const(out + "_z", zp, dtype)
        return self.op(kind, [x, s, z], out, **attrs)

    def dequant(self, x, out, scale, zp, dtype=np.uint8, **attrs):
        return self.quant(x, out, scale, zp, dtype, "DequantizeLinear", **attrs)

    def qdq(self, x, name, scale, zp, dtype=np.uint8):
        return self.dequant(self.quant(x, name + "_q", scale, zp, dtype), name, scale, zp, dtype)

    def qweights(self, name, shape, scales, dtype=np.int8, axis=0):
        """DequantizeLinear of a random constant, per tensor or per axis."""
        w = self.ints(name + "_i", dtype, *shape)
        zp = np.zeros(np.shape(scales), dtype)
        kw = {"axis": axis} if np.ndim(scales) else {}
        return self.dequant(w, name, scales, zp, dtype, **kw)

    def qbias(self, name, n, scales):
        b = self.const(name + "_i", self.rng.randint(-500, 500, n), np.int32)
        kw = {"axis": 0} if np.ndim(scales) else {}
        return self.dequant(b, name, scales, np.zeros(np.shape(scales), np.int32), np.int32, **kw)

    def save(self, name, opset=13, ms=False):
        ops = [helper.make_opsetid("", opset)] + ([helper.make_opsetid("com.microsoft", 1)] if ms else [])
        graph = helper.make_graph(self.nodes, name, self.ins, self.outs, self.init)
        model = helper.make_model(graph, opset_imports=ops, producer_name="make_onnx")
        model.ir_version = 8
        with open(os.path.join(OUT, name + ".onnx"), "wb") as f:
            f.write(model.SerializeToString())
        return model


def qdq_net():
    """Convolutions per channel, a residual, pools, a branch with concat, a dense layer, softmax; u8."""
    m = Model(2)
    x = m.qdq(m.input("image", [1, 3, 12, 12]), "x", 0.02, 120)
    sx, s1, s2 = np.float32(0.02), np.float32(0.03), np.float32(0.05)
    sw = np.linspace(0.002, 0.004, 8).astype(np.float32)
    w1, b1 = m.qweights("w1", (8, 3, 3, 3), sw), m.qbias("b1", 8, sx * sw)
    c1 = m.op("Relu", [m.op("Conv", [x, w1, b1], "c1", pads=[1, 1, 1, 1])], "r1")
    r1 = m.qdq(c1, "a1", s1, 0)
    w2, b2 = m.qweights("w2", (8, 1, 3, 3), sw), m.qbias("b2", 8, s1 * sw)
    c2 = m.op("Conv", [r1, w2, b2], "c2", pads=[1, 1, 1, 1], group=8)
    a2 = m.qdq(c2, "a2", s2, 128)
    add = m.qdq(m.op("Relu", [m.op("Add", [a2, r1], "sum")], "rsum"), "asum", 0.0613, 0)
    pool = m.qdq(m.op("MaxPool", [add], "mp", kernel_shape=[2, 2], strides=[2, 2]), "amp", 0.0613, 0)
    avg = m.qdq(m.op("AveragePool", [add], "ap", kernel_shape=[2, 2], strides=[2, 2]), "aap", 0.0487, 10)
    cat = m.qdq(m.op("Concat", [pool, avg], "cat", axis=1), "acat", 0.0551, 3)
    leaky = m.qdq(m.op("LeakyRelu", [cat], "leaky", alpha=0.1), "aleaky", 0.05, 20)
    flat = m.op("Flatten", [leaky], "flat")
    s3 = np.linspace(0.002, 0.004, 5).astype(np.float32)
    w3, b3 = m.qweights("w3", (5, 16 * 36), s3), m.qbias("b3", 5, np.float32(0.05) * s3)
    logits = m.qdq(m.op("Gemm", [flat, w3, b3], "logits", transB=1), "alogits", 0.5, 128)
    m.qdq(m.op("Softmax", [logits], "prob", axis=1), "out", 1 / 256, 0)
    m.output("out", [1, 5]), m.output("alogits", [1, 5])
    m.save("qdq_net")


def qdq_per_axis():
    """i8 with zero points in the weights, biases of another scale or in float, a bounded activation, functions as tables."""
    m = Model(3)
    x = m.qdq(m.input("x", [2, 4, 6, 6]), "ax", 0.05, -3, np.int8)
    w = m.dequant(m.ints("w_i", np.uint8, 6, 4, 1, 1), "w", 0.004, 131, np.uint8)
    bias = m.dequant(m.const("bi", [1, 2, 3, 4, 5, -6], np.int8), "b", 0.01, 0, np.int8)
    c = m.op("Clip", [m.op("Conv", [x, w, bias], "c"), m.const("lo", 0.0), m.const("hi", 6.0)], "r6")
    a = m.qdq(c, "a", 0.03, -128, np.int8)
    w2 = m.qweights("w2", (4, 6, 3, 3), np.linspace(0.001, 0.002, 4))
    c2 = m.qdq(m.op("Conv", [a, w2, m.weights("fb", 4)], "c2", auto_pad="SAME_UPPER", strides=[2, 2]), "a2", 0.1, 5, np.int8)
    sig = m.op("Mul", [c2, m.op("Sigmoid", [c2], "sig")], "silu")
    s = m.qdq(sig, "asilu", 0.06, -100, np.int8)
    h = m.qdq(m.op("HardSwish", [s], "hs"), "ahs", 0.05, -110, np.int8)
    g = m.qdq(m.op("ReduceMean", [h], "mean", axes=[2, 3], keepdims=0), "out", 0.04, -90, np.int8)
    m.output(g, [2, 4])
    m.save("qdq_i8", 14)


def qdq_dense():
    """Weights per column, a bias per channel added by an operator of its own, arithmetic with scalars."""
    m = Model(19)
    scales = np.linspace(0.002, 0.004, 5).astype(np.float32)
    x = m.qdq(m.input("x", [2, 6]), "x0", 0.05, 128)
    product = m.op("MatMul", [x, m.qweights("w", (6, 5), scales, axis=1)], "product")
    total = m.op("Add", [product, m.qbias("b", 5, np.float32(0.05) * scales)], "total")
    z = m.qdq(m.op("Relu", [total], "relu"), "z", 0.01, 3)
    u = m.op("Div", [m.op("Sub", [z, m.const("k", 1.5)], "sub"), m.const("two", [2.0])], "div")
    m.output(m.qdq(u, "u", 0.0213, 100), [2, 5])
    m.save("qdq_dense")


def qdq_shuffle():
    """Split, concat, channel shuffle, squeeze and excite, in integers all the way."""
    m = Model(20)
    x = m.qdq(m.input("x", [1, 8, 6, 6]), "x0", 0.05, 128)
    m.op("Split", [x], ["s0", "s1"], axis=1)
    p, q = m.qdq("s0", "p", 0.05, 128), m.qdq("s1", "q", 0.04, 120)
    c = m.qdq(m.op("Concat", [q, p], "c", axis=1), "cq", 0.05, 128)
    groups = m.op("Reshape", [c, m.const("split", [1, 2, 4, 6, 6], np.int64)], "groups")
    mixed = m.op("Transpose", [groups], "mixed", perm=[0, 2, 1, 3, 4])
    r = m.qdq(m.op("Reshape", [mixed, m.const("join", [1, 8, 6, 6], np.int64)], "r"), "rq", 0.05, 128)
    g = m.qdq(m.op("ReduceMean", [r], "g", axes=[2, 3], keepdims=1), "gq", 0.031, 128)
    e = m.qdq(m.op("Conv", [g, m.qweights("w", (8, 8, 1, 1), np.float32(0.004))], "e"), "eq", 0.05, 128)
    h = m.qdq(m.op("HardSigmoid", [e], "h"), "hq", 1 / 255, 0)
    o = m.qdq(m.op("Mul", [r, h], "o"), "oq", 0.041, 128)
    m.output(m.qdq(m.op("Clip", [o, m.const("lo", -1.0), m.const("hi", 2.0)], "clip"), "out", 0.041, 128), [1, 8, 6, 6])
    m.save("qdq_shuffle")


def qoperator():
    m = Model(4)
    ms = {"domain": "com.microsoft"}
    x = m.input("x", [1, 4, 8, 8], U8)
    s, z = m.const("s", 0.05), m.const("z", 100, np.uint8)
    ys, yz = m.const("ys", 0.08), m.const("yz", 10, np.uint8)
    w, ws, wz = m.ints("w", np.int8, 8, 4, 3, 3), m.const("ws", np.linspace(0.002, 0.003, 8)), m.const("wz", np.zeros(8), np.int8)
    b = m.const("b", np.arange(8) * 20, np.int32)
    c = m.op("QLinearConv", [x, s, z, w, ws, wz, ys, yz, b], "c", pads=[1, 1, 1, 1])
    p = m.op("MaxPool", [c], "p", kernel_shape=[2, 2], strides=[2, 2])
    l = m.op("QLinearLeakyRelu", [p, ys, yz, ys, yz], "l", alpha=0.2, **ms)
    sg = m.op("QLinearSigmoid", [p, ys, yz, m.const("ss", 1 / 256), m.const("sz", 0, np.uint8)], "sg", **ms)
    mul = m.op("QLinearMul", [l, ys, yz, sg, "ss", "sz", ys, yz], "mul", **ms)
    add = m.op("QLinearAdd", [mul, ys, yz, p, ys, yz, m.const("as", 0.1), m.const("az", 20, np.uint8)], "add", **ms)
    cat = m.op("QLinearConcat", [ys, yz, add, "as", "az", p, ys, yz], "cat", axis=1, **ms)
    av = m.op("QLinearAveragePool", [cat, ys, yz, ys, yz], "av", kernel_shape=[3, 3], pads=[1, 1, 1, 1], **ms)
    ga = m.op("QLinearGlobalAveragePool", [av, ys, yz, ys, yz], "ga", channels_last=0, **ms)
    flat = m.op("Flatten", [ga], "flat")
    mm = m.op("QLinearMatMul", [flat, ys, yz, m.ints("mw", np.uint8, 16, 6), m.const("mws", 0.003), m.const("mwz", 128, np.uint8),
                                "as", "az"], "mm")
    q = m.op("QGemm", [mm, "as", "az", m.ints("gw", np.int8, 6, 7), m.const("gws", 0.004), m.const("gwz", 0, np.int8),
                       m.const("gb", np.arange(7) * 9, np.int32), ys, yz], "g", **ms)
    qa = m.op("QLinearAdd", [q, ys, yz, m.ints("vec", np.uint8, 7), ys, yz, ys, yz], "ga2", **ms)
    m.op("QLinearSoftmax", [qa, ys, yz, "ss", "sz"], "out", axis=1, opset=13, **ms)
    m.output("out", [1, 7], U8)
    m.save("qoperator", 13, True)


def spellings():
    """Each family must reach one canonical form."""
    def dense(kind):
        m = Model(5)
        x = m.op("Conv", [m.input("x", [1, 2, 4, 4]), m.weights("first", 3, 2, 1, 1)], "map")
        w, b = m.rng.uniform(-1, 1, (10, 48)).astype(np.float32), m.rng.uniform(-1, 1, 10).astype(np.float32)
        if kind == "gemm":
            m.op("Gemm", [m.op("Flatten", [x], "f"), m.const("w", w), m.const("b", b)], "y", transB=1)
        elif kind == "gemm_scaled":
            m.op("Gemm", [m.op("Flatten", [x], "f"), m.const("w", w.T / 2), m.const("b", b * 4)], "y", alpha=2.0, beta=0.25)
        elif kind == "matmul":
            f = m.op("Reshape", [x, m.const("shape", [0, -1], np.int64)], "f")
            m.op("Add", [m.const("b", b), m.op("MatMul", [f, m.const("w", w.T)], "mm")], "y")
        else:
            c = m.op("Conv", [x, m.const("w", w.reshape(10, 3, 4, 4)), m.const("b", b)], "c")
            m.op("Squeeze", [c, m.const("axes", [2, 3], np.int64)], "y")
        m.output("y", [1, 10])
        m.save("same_dense_" + kind)

    for kind in ("gemm", "gemm_scaled", "matmul", "conv"):
        dense(kind)

    def relu6(kind, opset):
        m = Model(6)
        x = m.op("Conv", [m.input("x", [1, 2, 5, 5]), m.weights("w", 4, 2, 1, 1)], "c")
        if kind == "attr":
            m.op("Clip", [x], "y", min=0.0, max=6.0)
        elif kind == "input":
            m.op("Clip", [x, m.const("lo", 0.0), m.const("hi", 6.0)], "y")
        elif kind == "minmax":
            m.op("Min", [m.op("Max", [x, m.const("lo", 0.0)], "m"), m.const("hi", 6.0)], "y")
        else:
            m.op("Min", [m.const("hi", [6.0]), m.op("Relu", [x], "m")], "y")
        m.output("y", [1, 4, 5, 5])
        m.save("same_relu6_" + kind, opset)

    relu6("attr", 9), relu6("input", 13), relu6("minmax", 13), relu6("relu_min", 13)

    def hswish(kind):
        m = Model(7)
        x = m.op("Conv", [m.input("x", [1, 2, 5, 5]), m.weights("w", 4, 2, 1, 1)], "c")
        three, six, sixth = m.const("three", 3.0), m.const("six", 6.0), m.const("sixth", 1 / 6)
        gate = lambda: m.op("Clip", [m.op("Add", [x, three], "p"), m.const("zero", 0.0), six], "g")
        if kind == "op":
            m.op("HardSwish", [x], "y")
        elif kind == "div_last":
            m.op("Div", [m.op("Mul", [x, gate()], "mul"), six], "y")
        elif kind == "mul_gate":
            m.op("Mul", [m.op("Mul", [gate(), sixth], "hs"), x], "y")
        else:
            m.op("Mul", [x, m.op("HardSigmoid", [x], "hs", alpha=float(np.float32(1 / 6)), beta=0.5)], "y")
        m.output("y", [1, 4, 5, 5])
        m.save("same_hswish_" + kind, 14)

    for kind in ("op", "div_last", "mul_gate", "hsigmoid"):
        hswish(kind)

    def norm(kind):
        m = Model(8)
        x, rng = m.input("x", [1, 3, 6, 6]), np.random.RandomState(9)
        w = rng.uniform(-1, 1, (4, 3, 3, 3)).astype(np.float32)
        s, t = rng.uniform(0.5, 2, 4).astype(np.float32), rng.uniform(-1, 1, 4).astype(np.float32)
        mean, var = rng.uniform(-1, 1, 4).astype(np.float32), rng.uniform(0.5, 2, 4).astype(np.float32)
        k = s / np.sqrt(var + 1e-5)
        if kind == "batchnorm":
            p = m.op("Pad", [x, m.const("pads", [0, 0, 1, 1, 0, 0, 1, 1], np.int64)], "p")
            c = m.op("Conv", [p, m.const("w", w)], "c")
            m.op("BatchNormalization", [c] + [m.const(n, v) for n, v in (("s", s), ("t", t), ("m", mean), ("v", var))], "y")
        elif kind == "mul_add":
            c = m.op("Conv", [x, m.const("w", w)], "c", pads=[1, 1, 1, 1])
            y = m.op("Mul", [c, m.const("k", k.reshape(4, 1, 1))], "mul")
            m.op("Add", [y, m.const("t", (t - mean * k).reshape(1, 4, 1, 1))], "y")
        else:
            m.op("Conv", [x, m.const("w", w * k.reshape(4, 1, 1, 1)), m.const("b", t - mean * k)], "y", auto_pad="SAME_LOWER")
        m.output("y", [1, 4, 6, 6])
        m.save("same_norm_" + kind)

    for kind in ("batchnorm", "mul_add", "folded"):
        norm(kind)

    def mean(kind):
        m = Model(10)
        x = m.op("Conv", [m.input("x", [1, 3, 6, 6]), m.weights("w", 4, 3, 3, 3)], "c")
        if kind == "global":
            m.op("Flatten", [m.op("GlobalAveragePool", [x], "g")], "y")
        elif kind == "reduce":
            m.op("ReduceMean", [x], "y", axes=[-1, 2], keepdims=0)
        else:
            m.op("Reshape", [m.op("AveragePool", [x], "g", kernel_shape=[4, 4]), m.const("shape", [1, 4], np.int64)], "y")
        m.output("y", [1, 4])
        m.save("same_mean_" + kind)

    for kind in ("global", "reduce", "average"):
        mean(kind)


def float_nets():
    m = Model(11)  # shapes computed in the graph, split, slice, concat, channel shuffle, nodes out of order
    x = m.input("x", ["n", 4, 6, 6])
    parts = m.op("Split", [x], ["p0", "p1"], axis=1, split=[1, 3])
    c = m.op("Concat", [parts[1], parts[0]], "c", axis=1)
    sh = m.op("Shape", [c], "sh")
    n = m.op("Gather", [sh, m.const("zero", 0, np.int64)], "n0", axis=0)
    shape = m.op("Concat", [m.op("Unsqueeze", [n], "n1", axes=[0]), m.const("rest", [2, 2, 36], np.int64)], "shape", axis=0)
    r = m.op("Transpose", [m.op("Reshape", [c, shape], "r")], "t", perm=[0, 2, 1, 3])
    back = m.op("Reshape", [r, sh], "back")
    sl = m.op("Slice", [back, m.const("st", [-1, 1], np.int64), m.const("en", [-999, 5], np.int64), m.const("ax", [3, 2], np.int64),
                        m.const("by", [-2, 1], np.int64)], "sl")
    m.op("Sum", [sl, sl, m.op("Identity", [sl], "id")], "sum3")
    m.op("Mean", ["sum3", sl], "y")
    m.output("y", ["n", 4, 4, 3])
    m.nodes.reverse()
    m.save("shapes", 11)

    m = Model(12)  # 1-D convolution and pooling, dense on three axes, a computed axis
    x = m.input("x", [2, 3, 20])
    c = m.op("Relu", [m.op("Conv", [x, m.weights("w", 8, 3, 5), m.weights("b", 8)], "c", pads=[2, 2], strides=[2])], "r")
    p = m.op("MaxPool", [c], "p", kernel_shape=[2], strides=[2])
    bn = m.op("BatchNormalization", [p] + [m.const(k, v) for k, v in (("bs", [1.5] * 8), ("bt", [0.1] * 8), ("bm", [0.2] * 8), ("bv", [0.9] * 8))], "bn")
    d = m.op("MatMul", [m.op("Transpose", [bn], "t", perm=[0, 2, 1]), m.weights("dw", 8, 6)], "d")
    e = m.op("Tanh", [m.op("Add", [d, m.weights("db", 6)], "e")], "th")
    m.op("ReduceMean", [e], "y", axes=[1], keepdims=0)
    m.output("y", [2, 6])
    m.save("conv1d", 13)

    m = Model(13)  # NHWC at the border, squeeze and excite, dilation and groups, a BatchNorm of its own, two outputs
    x = m.op("Transpose", [m.input("x", [1, 8, 8, 4])], "t", perm=[0, 3, 1, 2])
    bn = m.op("BatchNormalization", [x] + [m.const(k, v) for k, v in (("bs", [1, 2, 3, 4]), ("bt", [0.1] * 4), ("bm", [0.2] * 4), ("bv", [0.9] * 4))], "bn")
    c = m.op("Conv", [bn, m.weights("w", 8, 2, 3, 3)], "c", group=2, dilations=[2, 2], pads=[2, 2, 2, 2])
    g = m.op("GlobalAveragePool", [c], "g")
    se = m.op("HardSigmoid", [m.op("Conv", [g, m.weights("sw", 8, 8, 1, 1)], "sc")], "se")
    y = m.op("Mul", [c, se], "scaled")
    lrn = m.op("LRN", [y], "lrn", size=3, alpha=0.01)
    m.op("Transpose", [lrn], "y", perm=[0, 2, 3, 1])
    m.op("Identity", [g], "z")
    m.output("y", [1, 8, 8, 8]), m.output("z", [1, 8, 1, 1])
    m.save("se_nhwc", 13)

    m = Model(14)  # half precision, a Dropout mask that nobody reads, log-softmax over the old axes
    x = m.input("x", [1, 2, 4, 4], TensorProto.FLOAT16)
    w = m.const("w", m.rng.uniform(-1, 1, (3, 2, 3, 3)), np.float16)
    d = m.op("Dropout", [m.op("Conv", [x, w], "c")], ["d", "mask"])
    m.op("LogSoftmax", [d[0]], "y", axis=1)
    m.output("y", [1, 3, 2, 2], TensorProto.FLOAT16)
    m.save("half", 9)


def external():
    m = Model(15)
    w = m.rng.uniform(-1, 1, (4, 3, 1, 1)).astype(np.float32)
    m.op("Conv", [m.input("x", [1, 3, 4, 4]), "w"], "y")
    m.output("y", [1, 4, 4, 4])

    def with_location(name, location, offset, length=48):
        t = TensorProto(name="w", data_type=F, dims=[4, 3, 1, 1], data_location=TensorProto.EXTERNAL)
        for k, v in (("location", location), ("offset", str(offset)), ("length", str(length))):
            t.external_data.add(key=k, value=v)
        m.init = [t]
        m.save(name)

    with open(os.path.join(OUT, "external.bin"), "wb") as f:
        f.write(b"\0" * 13 + w.tobytes())
    with_location("external", "external.bin", 13)
    with_location("external_dots", "../data/external.bin", 13)
    with_location("external_absolute", "/etc/hostname", 0)
    with_location("external_short", "external.bin", 14)
    with_location("external_folder", "../data", 0)
    with_location("external_missing", "nothing.bin", 0)


def refused():
    def one(name, build, opset=13, ms=False):
        m = Model(16)
        build(m)
        m.save("bad_" + name, opset, ms)

    def two_unknown(m):
        a = m.op("LSTM", [m.input("x", [1, 2, 3]), m.weights("w", 1, 8, 3), m.weights("r", 1, 8, 2)], "a", hidden_size=2)
        m.op("Einsum", [a, a], "y", equation="abcd,abcd->abd")
        m.op("MaxPool", ["x"], ["z", "zi"], kernel_shape=[2])
        m.op("Relu", ["zi"], "zr")
        m.output("y"), m.output("z"), m.output("zr")

    def cycle(m):
        m.input("x", [1, 2])
        m.op("Add", ["x", "b"], "a"), m.op("Relu", ["a"], "b")
        m.output("b", [1, 2])

    def twice(m):
        m.op("Relu", [m.input("x", [1, 2])], "y"), m.op("Neg", ["x"], "y")
        m.output("y", [1, 2])

    def dangling(m):
        m.input("x", [1, 2])
        m.op("Relu", ["nowhere"], "y")
        m.output("y", [1, 2])

    def scale(value, dtype=np.float32):
        def build(m):
            m.qdq(m.input("x", [1, 2]), "y", value, 0)
            m.output("y", [1, 2])
        return build

    def dims(value):
        def build(m):
            m.op("Relu", [m.input("x", value)], "y")
            m.output("y")
        return build

    def window(**attrs):
        def build(m):
            m.op("Conv", [m.input("x", [1, 2, 8, 8]), m.weights("w", 4, 2, 3, 3)], "y", **attrs)
            m.output("y")
        return build

    def reads_otherwise(m):
        q = m.quant(m.input("x", [1, 2]), "q", 0.5, 0, np.int16)
        m.dequant(q, "y", 0.25, 0, np.int16)
        m.output("y", [1, 2])

    def constant_output(m):
        m.op("Relu", [m.input("x", [2])], "r")
        m.op("Add", [m.weights("a", 2), m.weights("b", 2)], "y")
        m.output("r"), m.output("y")

    one("unknown", two_unknown)
    one("cycle", cycle)
    one("twice", twice)
    one("dangling", dangling)
    one("scale_nan", scale(np.nan)), one("scale_zero", scale(0.0)), one("scale_negative", scale(-1.0))
    one("scale_inf", scale(np.inf)), one("scale_count", scale([1.0, 2.0, 3.0]))
    one("dim_negative", dims([1, -7])), one("dim_huge", dims([1 << 20, 1 << 20])), one("dim_symbol", dims([1, "width"]))
    one("rank", dims([1] * 9))
    one("stride", window(strides=[0, 1])), one("dilation", window(dilations=[1, -1])), one("group", window(group=0))
    one("pads", window(pads=[-1, 0, 0, 0])), one("kernel", window(kernel_shape=[5, 5])), one("autopad", window(auto_pad="SOME"))
    one("attr_count", window(strides=[1, 1, 1]))
    one("read_otherwise", reads_otherwise)
    one("constant_output", constant_output)
    one("opset", dims([1, 2]), 5)


def payload():
    """The same weights as raw bytes (long enough to stay in the file) and as typed numbers."""
    for kind in ("raw", "typed"):
        m = Model(18)
        w = m.rng.uniform(-1, 1, (64, 32)).astype(np.float32)
        if kind == "raw":
            m.const("w", w)
        else:
            m.init.append(helper.make_tensor("w", F, w.shape, w.ravel().tolist()))
        m.op("MatMul", [m.input("x", [1, 64]), "w"], "y")
        m.output("y", [1, 32])
        m.save("payload_" + kind)


def reread():
    """8-bit integers read under another scale than written: the same integers, told in the log."""
    m = Model(17)
    q = m.quant(m.input("x", [1, 6]), "q", 0.5, 10)
    m.dequant(q, "y", 0.25, 20)
    m.output("y", [1, 6])
    m.save("read_otherwise_u8")


qdq_net(), qdq_per_axis(), qdq_dense(), qdq_shuffle(), qoperator(), spellings(), float_nets(), external(), refused(), payload(), reread()
