#!/usr/bin/env python3
"""Example inputs for quantiser.sh, from the published samples in MODELS/_data: quantiser_data.py MODELS FOLDER

Writes png/, png4/, png1/ (16, 4 and 1 CIFAR-10 images), cifar.npy and cifar_labels.npy (100 images, values 0..255), mnist.npy,
mnist64.npy and mnist_labels.npy (1,000 and 64 digits, 0..255), digits/ (64 of them as PNG), kws.npy, kws64.npy and
kws_labels.npy (1,000 and 64 keyword features as real numbers), vww.npy (16 CIFAR-10 images enlarged to 96x96, 0..1); micro_kws.npy and ad.npy
(16 sets of random numbers each, in the range that those models' quantised twins expect).
"""
import gzip
import os
import random
import struct
import sys
import zipfile
import zlib

CODES = {'<f4': 'f', '<i8': 'q', '|u1': 'B'}


def write_npy(path, descr, shape, values):
    header = "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }" % (descr, ''.join('%d,' % n for n in shape))
    header += ' ' * ((64 - (11 + len(header)) % 64) % 64) + '\n'
    with open(path, 'wb') as f:
        f.write(b'\x93NUMPY\x01\x00' + struct.pack('<H', len(header)) + header.encode())
        f.write(struct.pack('<%d%s' % (len(values), CODES[descr]), *values))


def write_png(path, width, height, pixels):
    line = len(pixels) // height
    rows = b''.join(b'\0' + pixels[y * line:(y + 1) * line] for y in range(height))
    colour = 2 if line == 3 * width else 0

    def chunk(kind, data):
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))

    with open(path, 'wb') as f:
        f.write(b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, 8, colour, 0, 0, 0)))
        f.write(chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b''))


def cifar(data, folder):
    folders = {'png': 16, 'png4': 4, 'png1': 1}
    for name in folders:
        os.makedirs(os.path.join(folder, name), exist_ok=True)
    values, labels = [], []
    with open(os.path.join(data, 'cifar10_100.csv')) as f:
        for n, line in enumerate(f):
            row = [int(v) for v in line.split(',')]
            labels.append(row[0])
            pixels = row[1:]
            for name, count in folders.items():
                if n < count:
                    write_png(os.path.join(folder, name, '%03d.png' % n), 32, 32, bytes(pixels))
            for c in range(3):
                values += [float(v) for v in pixels[c::3]]
    write_npy(os.path.join(folder, 'cifar.npy'), '<f4', (len(labels), 3, 32, 32), values)
    write_npy(os.path.join(folder, 'cifar_labels.npy'), '<i8', (len(labels),), labels)


def mnist(data, folder, count=1000):
    with gzip.open(os.path.join(data, 't10k-images-idx3-ubyte.gz')) as f:
        pixels = f.read()[16:16 + 784 * count]
    with gzip.open(os.path.join(data, 't10k-labels-idx1-ubyte.gz')) as f:
        labels = f.read()[8:8 + count]
    values = [float(v) for v in pixels]
    write_npy(os.path.join(folder, 'mnist.npy'), '<f4', (count, 1, 28, 28), values)
    write_npy(os.path.join(folder, 'mnist64.npy'), '<f4', (64, 1, 28, 28), values[:64 * 784])
    os.makedirs(os.path.join(folder, 'digits'), exist_ok=True)
    for n in range(64):
        write_png(os.path.join(folder, 'digits', '%03d.png' % n), 28, 28, pixels[784 * n:784 * (n + 1)])
    write_npy(os.path.join(folder, 'mnist_labels.npy'), '|u1', (count,), labels)


# The scale and zero point with which the samples were published (the int8 model's own input).
KWS_SCALE, KWS_ZERO = float.fromhex('0x1.2b5e2ep-1'), 83


def kws(data, folder):
    with zipfile.ZipFile(os.path.join(data, 'kws01_test.npz')) as z:
        x, y = z.read('x.npy'), z.read('y.npy')
    x = x[10 + struct.unpack('<H', x[8:10])[0]:]
    y = y[10 + struct.unpack('<H', y[8:10])[0]:]
    codes = struct.unpack('%db' % len(x), x)
    values = [KWS_SCALE * (v - KWS_ZERO) for v in codes]
    write_npy(os.path.join(folder, 'kws.npy'), '<f4', (len(x) // 490, 1, 49, 10), values)
    write_npy(os.path.join(folder, 'kws64.npy'), '<f4', (64, 1, 49, 10), values[:64 * 490])
    write_npy(os.path.join(folder, 'kws_labels.npy'), '<i8', (len(y) // 4,), struct.unpack('<%di' % (len(y) // 4), y))


def enlarged(data, folder, count=16):
    values = []
    with open(os.path.join(data, 'cifar10_100.csv')) as f:
        for _, line in zip(range(count), f):
            pixels = [int(v) for v in line.split(',')][1:]
            values += [pixels[(y // 3 * 32 + x // 3) * 3 + c] / 255 for c in range(3) for y in range(96) for x in range(96)]
    write_npy(os.path.join(folder, 'vww.npy'), '<f4', (count, 3, 96, 96), values)


def random_sets(_, folder):
    source = random.Random(1)
    for name, size, low, high in (('micro_kws', 1960, 0, 26), ('ad', 640, -80, 14)):
        values = [source.uniform(low, high) for _ in range(16 * size)]
        write_npy(os.path.join(folder, name + '.npy'), '<f4', (16, size), values)


if __name__ == '__main__':
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    for make in (cifar, mnist, kws, enlarged, random_sets):
        make(os.path.join(sys.argv[1], '_data'), sys.argv[2])
