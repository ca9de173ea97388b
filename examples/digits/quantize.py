#!/usr/bin/env python3
"""Writes digits_qdq.onnx: digits.onnx in 8-bit integers, in the QuantizeLinear/DequantizeLinear form.

    quantize.py

The form is that of ONNX Runtime's static quantiser: each tensor is quantised where it is made and
dequantised where it is used; activations int8 with a zero point, one scale a tensor, from the
smallest and largest value on the training images; weights int8 without zero point, one scale an
output channel; biases int32 with scale (input scale) x (weight scale). Batch normalisation is folded
into the convolution before it. The softmax stays float.
"""
import numpy as np
import onnx
from onnx import helper, numpy_helper

from digits_data import load_split
from evaluate import HERE, accuracy, run

WITH_WEIGHTS = ('Conv', 'Gemm')
SAME_RANGE = ('MaxPool', 'Flatten')  # these only move values: output range = input range


def attributes_of(node):
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def fold_norms(model):
    """The same model without BatchNormalization; all convolutions have a bias then."""
    values = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        if node.op_type != 'BatchNormalization':
            nodes.append(node)
            continue
        conv = nodes.pop()
        assert conv.output[0] == node.input[0] and len(conv.input) == 2
        gain, shift, mean, var = (values.pop(name) for name in node.input[1:])
        factor = gain / np.sqrt(var + np.float32(attributes_of(node)['epsilon']))
        bias = conv.name.replace('.conv', '.bias')
        values[conv.input[1]] = values[conv.input[1]] * factor[:, None, None, None]
        values[bias] = shift - mean * factor
        nodes.append(helper.make_node('Conv', [*conv.input, bias], [node.output[0]],
                                      name=conv.name, **attributes_of(conv)))
    return rebuilt(model, nodes, values, model.producer_name)


def rebuilt(model, nodes, values, producer):
    initializers = [numpy_helper.from_array(np.asarray(v), k) for k, v in values.items()]
    graph = helper.make_graph(nodes, model.graph.name, list(model.graph.input),
                              list(model.graph.output), initializers)
    out = helper.make_model(graph, producer_name=producer,
                            opset_imports=[helper.make_opsetid('', 13)])
    out.ir_version = 7
    return out


def activation_parameters(values):
    """Scale and zero point that cover the values and 0."""
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    scale = np.float32((high - low) / 255)
    return scale, np.int8(np.clip(np.rint(-128 - low / scale), -128, 127))


class Quantizer:
    def __init__(self, model, images):
        self.model = model
        self.tensors = run(model, images)
        self.source = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
        self.nodes, self.values = [], {}
        self.scale_of = {}  # of each quantised activation, by its float name
        self.users = {}
        for node in model.graph.node:
            for name in node.input:
                self.users.setdefault(name, []).append(node)

    def add(self, kind, inputs, output, **attributes):
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output + '.' + kind,
                                           **attributes))

    def constant(self, name, value):
        self.values[name] = value
        return name

    def quantize_activation(self, name, range_from=None):
        """Adds the pair behind a tensor; its users read the pair's output, name.dequantized."""
        if range_from:
            scale, zero = self.scale_of[range_from]
        else:
            scale, zero = activation_parameters(self.tensors[name])
        self.scale_of[name] = (scale, zero)
        both = [self.constant(name + '.scale', scale), self.constant(name + '.zero', zero)]
        self.add('QuantizeLinear', [name] + both, name + '.quantized')
        self.add('DequantizeLinear', [name + '.quantized'] + both, name + '.dequantized')

    def quantize_weights(self, node):
        """Names of the dequantised weights and bias."""
        weight, bias = self.source[node.input[1]], self.source[node.input[2]]
        largest = np.abs(weight).reshape(len(weight), -1).max(axis=1)
        scale = np.maximum(largest, np.float32(1e-8)) / np.float32(127)
        integers = np.rint(weight / scale.reshape([-1] + [1] * (weight.ndim - 1)))
        self.stored(node.input[1], np.clip(integers, -127, 127).astype(np.int8), scale)
        bias_scale = self.scale_of[node.input[0]][0] * scale
        self.stored(node.input[2], np.rint(bias / bias_scale).astype(np.int32), bias_scale)
        return [name + '.dequantized' for name in node.input[1:3]]

    def stored(self, name, integers, scale):
        """A constant in integers, with one scale for each index of its first axis."""
        inputs = [self.constant(name + '.quantized', integers),
                  self.constant(name + '.scale', scale.astype(np.float32)),
                  self.constant(name + '.zero', np.zeros(len(scale), integers.dtype))]
        self.add('DequantizeLinear', inputs, name + '.dequantized', axis=0)

    def convert(self, node):
        inputs = [name + '.dequantized' if name in self.scale_of else name for name in node.input]
        if node.op_type in WITH_WEIGHTS:
            inputs[1:] = self.quantize_weights(node)
        self.nodes.append(helper.make_node(node.op_type, inputs, list(node.output), name=node.name,
                                           **attributes_of(node)))
        name = node.output[0]
        before_relu = [n.op_type for n in self.users.get(name, [])] == ['Relu']
        if before_relu or node.op_type == 'Softmax':
            return  # the ReLU's own output is quantised; the softmax's is the model's, in float
        self.quantize_activation(name, node.input[0] if node.op_type in SAME_RANGE else None)

    def result(self):
        self.quantize_activation(self.model.graph.input[0].name)
        for node in self.model.graph.node:
            self.convert(node)
        out = rebuilt(self.model, self.nodes, self.values, 'xgc examples/digits/quantize.py')
        onnx.checker.check_model(out, full_check=True)
        return out


def main():
    train_x, _, test_x, test_y = load_split()
    source = onnx.load(str(HERE / 'digits.onnx'))
    folded = fold_norms(source)
    probability = source.graph.output[0].name
    moved = np.abs(run(source, test_x)[probability] - run(folded, test_x)[probability]).max()
    assert moved < 1e-4, f'folding the batch normalisation changed a probability by {moved}'
    model = Quantizer(folded, train_x).result()
    onnx.save(model, str(HERE / 'digits_qdq.onnx'))
    print(f'float: {100 * accuracy(source, test_x, test_y):.2f} %, '
          f'int8: {100 * accuracy(model, test_x, test_y):.2f} % of held-out images')


if __name__ == '__main__':
    main()
