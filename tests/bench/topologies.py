#!/usr/bin/python3
"""Writes the topologies of the speed benchmark that have no public file of a usable size.

    topologies.py FOLDER [--batch N] [NAME ...]        (default: all)

Names: vgg16, vgg16_conv (convolutions and pools only), squeezenet11, yolov3, inception_residual (1,000 operators).
Float ONNX, static NCHW shapes. Weights are constant (ConstantOfShape), so files are small: xgc's --random-weights
fills them. Needs Debian's python3-onnx. Prints each file with its operators and its multiply-accumulates an image,
counted from the shapes here and not by xgc.
"""
import argparse
import pathlib

from onnx import TensorProto, helper, save


class Net:
    """Builds a graph, keeping the shape (channels, height, width) of every tensor."""

    def __init__(self, batch, c, h, w):
        self.nodes, self.constants, self.initializers = [], [], []
        self.batch, self.shapes, self.macs = batch, {'image': (c, h, w)}, 0

    def add(self, kind, inputs, shape, extra=(), **attributes):
        out = f'{kind.lower()}_{len(self.nodes)}'
        self.nodes.append(helper.make_node(kind, [*inputs, *extra], [out], name=out, **attributes))
        self.shapes[out] = shape
        return out

    def constant(self, *dims):
        name = f'w_{len(self.constants)}'
        self.initializers.append(helper.make_tensor(name + '_shape', TensorProto.INT64, [len(dims)], dims))
        value = helper.make_tensor('', TensorProto.FLOAT, [1], [0.02])
        self.constants.append(helper.make_node('ConstantOfShape', [name + '_shape'], [name], value=value))
        return name

    def conv(self, x, outputs, k, stride=1, pad=None, act='Relu'):
        c, h, w = self.shapes[x]
        pad = k // 2 if pad is None else pad
        oh, ow = (h + 2 * pad - k) // stride + 1, (w + 2 * pad - k) // stride + 1
        self.macs += outputs * oh * ow * c * k * k
        extra = (self.constant(outputs, c, k, k), self.constant(outputs))
        x = self.add('Conv', [x], (outputs, oh, ow), extra, kernel_shape=[k, k], strides=[stride] * 2, pads=[pad] * 4)
        if act == 'LeakyRelu':
            return self.add(act, [x], self.shapes[x], alpha=0.1)
        return self.add(act, [x], self.shapes[x]) if act else x

    def pool(self, x, k, stride, pad=0, ceil=0, kind='MaxPool'):
        c, h, w = self.shapes[x]
        up = (stride - 1) * ceil
        shape = (c, (h + 2 * pad - k + up) // stride + 1, (w + 2 * pad - k + up) // stride + 1)
        more = {'ceil_mode': ceil} if ceil else {}
        return self.add(kind, [x], shape, kernel_shape=[k, k], strides=[stride] * 2, pads=[pad] * 4, **more)

    def dense(self, x, outputs, act=None):
        c = self.shapes[x][0]
        self.macs += c * outputs
        x = self.add('Gemm', [x], (outputs,), (self.constant(outputs, c), self.constant(outputs)), transB=1)
        return self.add(act, [x], (outputs,)) if act else x

    def flatten(self, x):
        c, h, w = self.shapes[x]
        return self.add('Flatten', [x], (c * h * w,))

    def concat(self, xs):
        shapes = [self.shapes[x] for x in xs]
        return self.add('Concat', xs, (sum(s[0] for s in shapes), *shapes[0][1:]), axis=1)

    def sum(self, a, b):
        return self.add('Add', [a, b], self.shapes[a])

    def upsample(self, x):
        c, h, w = self.shapes[x]
        scales = f'{x}_scales'
        self.initializers.append(helper.make_tensor(scales, TensorProto.FLOAT, [4], [1, 1, 2, 2]))
        return self.add('Resize', [x], (c, 2 * h, 2 * w), ('', scales), mode='nearest',
                        coordinate_transformation_mode='asymmetric', nearest_mode='floor')

    def model(self, name, outputs):
        def info(x):
            return helper.make_tensor_value_info(x, TensorProto.FLOAT, [self.batch, *self.shapes[x]])
        graph = helper.make_graph(self.constants + self.nodes, name, [info('image')], [info(x) for x in outputs],
                                  self.initializers)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid('', 13)], producer_name='topologies')


def vgg_features(net):
    """Simonyan and Zisserman, configuration D."""
    x = 'image'
    for outputs, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            x = net.conv(x, outputs, 3)
        x = net.pool(x, 2, 2)
    return x


def vgg16_conv(batch):
    net = Net(batch, 3, 224, 224)
    return net, [vgg_features(net)]


def vgg16(batch):
    net = Net(batch, 3, 224, 224)
    x = net.flatten(vgg_features(net))
    return net, [net.dense(net.dense(net.dense(x, 4096, 'Relu'), 4096, 'Relu'), 1000)]


def squeezenet11(batch):
    """Iandola et al., release 1.1: the first convolution 3x3 with 64 outputs, pools after blocks 1, 3 and 5."""
    net = Net(batch, 3, 224, 224)
    x = net.pool(net.conv('image', 64, 3, 2, 0), 3, 2, ceil=1)
    for i, (squeeze, expand) in enumerate(((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192),
                                           (64, 256), (64, 256))):
        if i in (2, 4):
            x = net.pool(x, 3, 2, ceil=1)
        x = net.conv(x, squeeze, 1)
        x = net.concat([net.conv(x, expand, 1), net.conv(x, expand, 3)])
    x = net.conv(x, 1000, 1)
    return net, [net.flatten(net.add('GlobalAveragePool', [x], (1000, 1, 1)))]


def yolov3(batch):
    """Redmon and Farhadi: Darknet-53 and three heads of 255 channels; normalisation folded into convolutions."""
    net = Net(batch, 3, 416, 416)

    def conv(x, outputs, k, stride=1, act='LeakyRelu'):
        return net.conv(x, outputs, k, stride, act=act)

    x, routes = conv('image', 32, 3), []
    for outputs, count in ((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4)):
        x = conv(x, outputs, 3, 2)
        for _ in range(count):
            x = net.sum(x, conv(conv(x, outputs // 2, 1), outputs, 3))
        routes.append(x)
    heads = []
    for outputs, route in ((512, None), (256, routes[3]), (128, routes[2])):
        if route:
            x = net.concat([net.upsample(conv(x, outputs, 1)), route])
        for _ in range(2):
            x = conv(conv(x, outputs, 1), 2 * outputs, 3)
        x = conv(x, outputs, 1)
        heads.append(conv(conv(x, 2 * outputs, 3), 255, 1, act=None))
    return net, heads


def inception_residual(batch):
    """52 blocks of four branches, concatenated, projected and added to their input: 1,000 operators."""
    net = Net(batch, 3, 64, 64)
    x = net.pool(net.conv('image', 64, 3, 2), 3, 2, 1)
    for i in range(52):
        c = net.shapes[x][0]
        if i in (13, 26, 39):
            c *= 2
            x = net.conv(x, c, 3, 2)
        b = c // 4
        branches = [net.conv(x, b, 1), net.conv(net.conv(x, b, 1), b, 3),
                    net.conv(net.conv(net.conv(x, b // 2, 1), b, 3), b, 3),
                    net.conv(net.pool(x, 3, 1, 1, kind='AveragePool'), b, 1)]
        y = net.sum(net.conv(net.concat(branches), c, 1, act=None), x)
        x = net.add('Relu', [y], net.shapes[y])
    c = net.shapes[x][0]
    x = net.dense(net.flatten(net.add('GlobalAveragePool', [x], (c, 1, 1))), 100)
    return net, [x]


TOPOLOGIES = {f.__name__: f for f in (vgg16, vgg16_conv, squeezenet11, yolov3, inception_residual)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=pathlib.Path)
    parser.add_argument('names', nargs='*', metavar='NAME', help=', '.join(TOPOLOGIES))
    parser.add_argument('--batch', type=int, default=1)
    a = parser.parse_intermixed_args()
    for name in a.names or TOPOLOGIES:
        if name not in TOPOLOGIES:
            parser.error(f"no topology '{name}'; there are {', '.join(TOPOLOGIES)}")
        net, outputs = TOPOLOGIES[name](a.batch)
        path = a.folder / f'{name}_b{a.batch}.onnx'
        save(net.model(name, outputs), str(path))
        print(f'{path} {len(net.nodes)} operators {net.macs} MACs')


if __name__ == '__main__':
    main()
