#!/usr/bin/env python3
"""ONNX Runtime's static quantiser beside xgc's, on the float models.

    ort_static.py --xgc XGC --ort FOLDER --quantiser FOLDER --models MODELS [--who xgc|onnxruntime] [NAME ...]

--ort: where `npm install onnxruntime-node` was done. --quantiser: a folder that holds onnxruntime/quantization, the quantiser's own
Python files. They run on a small stand-in for the module onnxruntime, made here: sessions in a node process (ort_serve.mjs).
Needs numpy and Debian's python3-onnx.

Both get the same arrays: pictures, digits or features from MODELS/_data, or random numbers. Both write QDQ models with signed 8-bit
weights, one scale a channel. ONNX Runtime runs both and the float model, without rewriting them. A CSV row a model and method: the least
cosine over the outputs, all sets together, on the calibration inputs and on as many others of the same kind. Models whose weights are
all equal (light_*) are left out.
"""
import argparse
import contextlib
import csv
import importlib
import json
import os
import subprocess
import sys
import tempfile
import types

import numpy as np
import onnx
import onnx.mapping
import onnx.numpy_helper
import onnx.shape_inference
import onnx.version_converter

HERE = os.path.dirname(os.path.abspath(__file__))
TYPES = {'float32': '<f4', 'float64': '<f8', 'int8': 'i1', 'uint8': 'u1', 'int16': '<i2', 'uint16': '<u2', 'int32': '<i4',
         'uint32': '<u4', 'int64': '<i8', 'uint64': '<u8', 'bool': '?'}
NAMES = {np.dtype(v): k for k, v in TYPES.items()}


# ---- ONNX Runtime in a node process ----

class Session:
    """The part of onnxruntime.InferenceSession that the quantiser calls."""

    def __init__(self, model, sess_options=None, providers=None, **_):
        self.folder = tempfile.TemporaryDirectory()
        if not isinstance(model, str):
            model = os.fspath(model)
        self.process = subprocess.Popen(['node', os.path.join(HERE, 'ort_serve.mjs')], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        optimise = getattr(sess_options, 'graph_optimization_level', 'disabled')
        self.names = self.ask({'load': model, 'optimise': optimise})

    def ask(self, what):
        self.process.stdin.write(json.dumps(what) + '\n')
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline() or '{"error": "ONNX Runtime ended"}')
        if 'error' in answer:
            raise RuntimeError(answer['error'])
        return answer

    def get_inputs(self):
        return [types.SimpleNamespace(name=n) for n in self.names['inputs']]

    def get_outputs(self):
        return [types.SimpleNamespace(name=n) for n in self.names['outputs']]

    def run(self, names, feeds, _=None):
        run = []
        for i, (name, value) in enumerate(feeds.items()):
            value = np.ascontiguousarray(value)
            file = os.path.join(self.folder.name, 'in%d.raw' % i)
            value.tofile(file)
            run.append({'name': name, 'type': NAMES[value.dtype], 'dims': list(value.shape), 'file': file})
        names = list(names or self.names['outputs'])
        got = {o['name']: np.fromfile(o['file'], TYPES[o['type']]).reshape(o['dims'])
               for o in self.ask({'run': run, 'to': self.folder.name, 'want': names})['outputs']}
        return [got[n] for n in names]

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def stand_in(folder):
    """The module onnxruntime whose quantization is the folder's, and what its files expect of newer onnx packages."""
    module = types.ModuleType('onnxruntime')
    module.__path__ = [os.path.join(folder, 'onnxruntime')]
    module.__version__ = '1.22.1'
    module.InferenceSession = Session
    module.GraphOptimizationLevel = types.SimpleNamespace(ORT_DISABLE_ALL='disabled', ORT_ENABLE_BASIC='basic', ORT_ENABLE_ALL='all')
    module.SessionOptions = type('SessionOptions', (), {'graph_optimization_level': 'all'})
    sys.modules['onnxruntime'] = module

    def hollow(name, **members):
        m = types.ModuleType(name)
        m.__dict__.update(members)
        sys.modules[name] = m

    hollow('onnxruntime.tools')
    hollow('onnxruntime.tools.symbolic_shape_infer', SymbolicShapeInference=None)
    hollow('onnxruntime.transformers')
    hollow('onnxruntime.transformers.onnx_utils', extract_raw_data_from_model=None, has_external_data=None)
    hollow('onnxruntime.capi')
    hollow('onnxruntime.capi._pybind_state', quantize_matmul_bnb4=None, quantize_matmul_4bits=None, quantize_matmul_8bits=None,
           quantize_qdq_matmul_4bits=None)
    newer_onnx()
    return importlib.import_module('onnxruntime.quantization')


def newer_onnx():
    """What the quantiser's files read of packages newer than Debian's."""
    plain = onnx.TensorProto
    more = {n: 17 + i for i, n in enumerate(('FLOAT8E4M3FN', 'FLOAT8E4M3FNUZ', 'FLOAT8E5M2', 'FLOAT8E5M2FNUZ', 'UINT4', 'INT4'))
            if not hasattr(plain, n)}

    class Meta(type):
        def __instancecheck__(cls, x):
            return isinstance(x, plain)

        def __getattr__(cls, name):
            return getattr(plain, name)

        def __call__(cls, *a, **k):
            return plain(*a, **k)

    proto = Meta('TensorProto', (), more)
    if more:
        onnx.TensorProto = proto
        onnx.onnx_pb.TensorProto = proto
    if not hasattr(onnx.helper, 'tensor_dtype_to_np_dtype'):
        onnx.helper.tensor_dtype_to_np_dtype = lambda t: onnx.mapping.TENSOR_TYPE_TO_NP_TYPE[t]
        onnx.helper.np_dtype_to_tensor_dtype = lambda t: onnx.mapping.NP_TYPE_TO_TENSOR_TYPE[t]
    if importlib.util.find_spec('onnx.reference') is None:
        reference = types.ModuleType('onnx.reference')
        reference.ReferenceEvaluator = Evaluator
        op_run = types.ModuleType('onnx.reference.op_run')
        op_run.to_array_extended = onnx.numpy_helper.to_array
        sys.modules['onnx.reference'] = reference
        sys.modules['onnx.reference.op_run'] = op_run


class Evaluator:
    """onnx.reference.ReferenceEvaluator by ONNX Runtime."""

    def __init__(self, model):
        self.file = tempfile.NamedTemporaryFile(suffix='.onnx')
        onnx.save(model, self.file.name)
        self.session = Session(self.file.name)

    def run(self, names, feeds):
        return self.session.run(names, feeds)


# ---- inputs ----

def npy(folder, name):
    return np.load(os.path.join(folder, name)).astype(np.float32)


def pictures(folder, shape, mean, std, count):
    """CIFAR-10 pictures enlarged to [count, C, H, W] (or [.., H, W, C]), bilinear, (p - mean) / std."""
    x = npy(folder, 'cifar.npy')[:count]
    last = shape[-1] in (1, 3)
    h, w, c = (shape[1], shape[2], shape[3]) if last else (shape[2], shape[3], shape[1])

    def along(v, axis, n):
        at = np.clip((np.arange(n) + 0.5) * v.shape[axis] / n - 0.5, 0, v.shape[axis] - 1)
        lo = np.floor(at).astype(int)
        hi = np.minimum(lo + 1, v.shape[axis] - 1)
        form = [1] * v.ndim
        form[axis] = n
        f = (at - lo).astype(np.float32).reshape(form)
        return np.take(v, lo, axis) * (1 - f) + np.take(v, hi, axis) * f

    x = along(along(x, 2, h), 3, w)
    if c == 1:
        x = x.mean(axis=1, keepdims=True)
    x = (x - np.float32(mean).reshape(-1, 1, 1)) / np.float32(std).reshape(-1, 1, 1)
    return np.ascontiguousarray(np.moveaxis(x, 1, 3) if last else x, np.float32)


IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
PICTURES = {'ppocr_cls_mbv3': ((127.5,), (127.5,)), 'ppocr_det_v2': IMAGENET, 'rfb320_face': ((127.5,), (127.5,)),
            'rfb320_face_simplified': ((127.5,), (127.5,)), 'mobilenetv2_035_128_st': ((127.5,), (127.5,)),
            'yunet_n_320': ((0,), (1,)), 'yolox_nano_224': ((0,), (1,)), 'fastestdet_352': ((0,), (255,)),
            'squeezenet10_fp16': ((0,), (1,)), 'superres_op15': ((0,), (255,)), 'selfie_seg': ((0,), (255,)),
            'tfl_mlperf_vww_f32': ((0,), (255,)), 'mlperf_mobilenet_v1_zz': ((0,), (255,))}
SHAPES = {'ppocr_cls_mbv3': [1, 3, 48, 192], 'ppocr_det_v2': [1, 3, 320, 320], 'teams_seg': [1, 4, 128, 128]}
ARRAYS = {'mnist8_cntk': 'mnist.npy', 'tfl_mlperf_ic_f32': 'cifar.npy', 'mlperf_resnet8_zz': 'cifar.npy', 'tfl_mlperf_kws_f32': 'kws.npy',
          'micro_kws_m_fp32': 'micro_kws.npy', 'tfl_mlperf_ad_f32': 'ad.npy', 'mlperf_deepautoencoder_zz': 'ad.npy'}


def inputs_of(name, shape, data, count):
    """Twice as many sets as asked for, in words what they are; the first half is for calibration."""
    if name in PICTURES:
        return 'pictures', pictures(data, shape, *PICTURES[name], 2 * count)
    if name in ARRAYS:
        x = npy(data, ARRAYS[name])[:2 * count]
        return ARRAYS[name][:-4], x.reshape([len(x)] + shape[1:]) if x.size == len(x) * int(np.prod(shape[1:])) else np.moveaxis(x, 1, 3)
    if 'mnist' in name:
        x = (npy(data, 'mnist.npy')[:2 * count] - np.float32(33.3)) / np.float32(78.6)
        return 'mnist', np.ascontiguousarray(x.reshape([len(x)] + shape[1:]))
    source = np.random.default_rng(1)
    return 'random', source.uniform(-1, 1, [2 * count] + shape[1:]).astype(np.float32)


# ---- one model ----

def outputs(path, x, name):
    session = Session(path)
    try:
        return [session.run(None, {name: x[i:i + 1]}) for i in range(len(x))]
    finally:
        session.close()


def least_cosine(a, b):
    least = 1.0
    for k in range(len(a[0])):
        p = np.concatenate([np.ravel(s[k]).astype(np.float64) for s in a])
        q = np.concatenate([np.ravel(s[k]).astype(np.float64) for s in b])
        keep = np.isfinite(p) & np.isfinite(q)
        p, q = p[keep], q[keep]
        size = np.linalg.norm(p) * np.linalg.norm(q)
        least = min(least, float(p @ q / size) if size else float(not np.any(p - q)))
    return least


class Reader:
    def __init__(self, x, name):
        self.sets = iter([{name: x[i:i + 1]} for i in range(len(x))])

    def get_next(self):
        return next(self.sets, None)


def fixed_shape(source, shape, to):
    """The model at opset 13 or above, with its only input's shape filled in: what both quantisers get."""
    model = onnx.load(source)
    constants = {i.name for i in model.graph.initializer}
    real = [i for i in model.graph.input if i.name not in constants]
    if len(real) != 1:
        raise ValueError('%d inputs' % len(real))
    dims = real[0].type.tensor_type.shape.dim
    found = [d.dim_value if d.HasField('dim_value') and d.dim_value > 0 else 0 for d in dims]
    shape = shape or [v or 1 for v in found]
    for d, v in zip(dims, shape):
        d.dim_value = v
    version = {o.domain: o.version for o in model.opset_import}.get('', 0)
    listed = {i.name for i in model.graph.input}
    for i in model.graph.initializer:  # the converter wants all of them listed
        if i.name not in listed and version < 13:
            model.graph.input.append(onnx.helper.make_tensor_value_info(i.name, i.data_type, i.dims))
    model = onnx.shape_inference.infer_shapes(model)
    if version < 13:
        model = onnx.version_converter.convert_version(model, 13)
    real = [i for i in model.graph.input if i.name not in constants]
    del model.graph.input[:]
    model.graph.input.extend(real)
    model.ir_version = min(max(model.ir_version, 7), 8)
    model = onnx.shape_inference.infer_shapes(model)
    onnx.save(model, to)
    return real[0].name, shape


def compare(args, quantization, name, data, count, write):
    source = next(os.path.join(args.models, name, f) for f in sorted(os.listdir(os.path.join(args.models, name)))
                  if f.endswith('.onnx'))
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'float.onnx')
        tensor, shape = fixed_shape(source, SHAPES.get(name), path)
        words, x = inputs_of(name, shape, data, count)
        half = len(x) // 2
        calibration = x[:half]
        np.save(os.path.join(folder, 'x.npy'), calibration)
        reference = outputs(path, x, tensor)

        def judge(who, method, made):
            try:
                made()
                got = outputs(os.path.join(folder, 'q.onnx'), x, tensor)
                write([name, words, half, who, method, '%.5f' % least_cosine(reference[:half], got[:half]),
                       '%.5f' % least_cosine(reference[half:], got[half:])])
            except Exception as e:
                write([name, words, half, who, method, 'refused', ' '.join(str(e).split())[:120]])

        def theirs(method):
            q = quantization
            with contextlib.redirect_stdout(sys.stderr):
                q.quantize_static(path, os.path.join(folder, 'q.onnx'), Reader(calibration, tensor), quant_format=q.QuantFormat.QDQ,
                                  per_channel=True, activation_type=q.QuantType.QUInt8, weight_type=q.QuantType.QInt8,
                                  calibrate_method=getattr(q.CalibrationMethod, method))

        def ours(method):
            done = subprocess.run([args.xgc, 'quantize', path, '--calib', os.path.join(folder, 'x.npy'), '--calib-method', method,
                                   '--samples', '1', '-o', os.path.join(folder, 'q.onnx')], capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(done.stderr)

        for method in ('MinMax', 'Entropy', 'Percentile'):
            if args.who != 'xgc' and method.lower() in args.method:
                judge('onnxruntime', method.lower(), lambda m=method: theirs(m))
        for method in ('mse', 'minmax', 'entropy', 'percentile'):
            if args.who != 'onnxruntime' and method in args.method:
                judge('xgc', method, lambda m=method: ours(m))


def main():
    p = argparse.ArgumentParser()
    for word in ('xgc', 'ort', 'quantiser', 'models'):
        p.add_argument('--' + word, required=True)
    p.add_argument('--count', type=int, default=8, help='sets of inputs to calibrate with')
    p.add_argument('--who', default='both', choices=('both', 'xgc', 'onnxruntime'))
    p.add_argument('--method', default='mse,minmax,entropy,percentile', help='of these, divided by commas')
    p.add_argument('name', nargs='*')
    args = p.parse_args()
    os.environ['ORT_MODULES'] = os.path.abspath(args.ort)
    quantization = stand_in(os.path.abspath(args.quantiser))
    names = args.name or [m['name'] for m in json.load(open(os.path.join(args.models, 'manifest.json'))) if m['form'].startswith('float') and not m['name'].startswith('light_')]
    out = csv.writer(sys.stdout, lineterminator='\n')

    def write(row):
        out.writerow(row)
        sys.stdout.flush()

    write(['model', 'inputs', 'sets', 'quantiser', 'method', 'cosine_calibration', 'cosine_others'])
    with tempfile.TemporaryDirectory() as data:
        subprocess.run([sys.executable, os.path.join(HERE, 'quantiser_data.py'), args.models, data], check=True)
        for name in names:
            try:
                compare(args, quantization, name, data, args.count, write)
            except Exception as e:
                write([name, '-', 0, '-', '-', 'not compared', ' '.join(str(e).split())[:160]])


if __name__ == '__main__':
    main()
