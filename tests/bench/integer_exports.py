#!/usr/bin/env python3
"""Integer exports that come with inputs and expected outputs, as Deeploy's tests do.

    integer_exports.py --xgc XGC [--machine edge ...] FOLDER ...

A FOLDER has network.onnx, inputs.npz, outputs.npz (of the repository pulp-platform/Deeploy: DeeployTest/Tests/**). One CSV row a folder and
machine: elements in which `xgc run` of the model as it is differs from outputs.npz; layers in which the machine's results differ from
the model's own on those inputs, the largest difference of an output in its steps, operators on the host other than conversions;
whether `xgc check` finds the binary equal. Needs numpy.
"""
import argparse
import csv
import glob
import json
import os
import subprocess
import sys
import tempfile

import numpy as np


def call(*args):
    done = subprocess.run(args, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError((done.stderr or done.stdout).split('\n')[0])
    return done.stdout


def as_it_is(xgc, folder, inputs):
    """Elements of all outputs that differ from outputs.npz, and how many there are."""
    with tempfile.TemporaryDirectory() as out:
        call(xgc, 'run', folder + '/network.onnx', '--input', inputs, '--output-dir', out, '-q')
        got = sorted(glob.glob(out + '/*.npy'))
        want = np.load(folder + '/outputs.npz')
        pairs = [(np.load(g).ravel(), want[w].ravel()) for g, w in zip(got, sorted(want.files))]
    return sum(int((g != w).sum()) if g.size == w.size else g.size for g, w in pairs), sum(g.size for g, _ in pairs)


def on_machine(xgc, folder, inputs, machine):
    r = json.loads(call(xgc, 'report', folder + '/network.onnx', '-m', machine, '--calib', inputs, '--json'))
    q = r.get('requantisation', {})
    host = sorted({h['op'] for h in r['host_steps']} - {'Quantize', 'Dequantize', 'Transpose'})
    equal = json.loads(call(xgc, 'check', folder + '/network.onnx', '-m', machine, '--calib', inputs, '--difference', 'never', '--json'))
    return ['%s of %s' % (q.get('layers_that_differ', 0), q.get('layers', 0)), '%.4g' % q.get('output_steps', 0),
            ' '.join(host) or '-', equal['verdict']]


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--xgc', required=True)
    p.add_argument('--machine', action='append')
    p.add_argument('folder', nargs='+')
    args = p.parse_args()
    out = csv.writer(sys.stdout, lineterminator='\n')
    out.writerow(['model', 'machine', 'outputs_differ', 'of', 'layers_differ', 'output_steps', 'host', 'check'])
    for folder in args.folder:
        name = os.path.basename(folder.rstrip('/'))
        inputs = folder.rstrip('/') + '/inputs.npz'
        try:
            stated = as_it_is(args.xgc, folder, inputs)
        except RuntimeError as e:
            out.writerow([name, '-', 'refused', '', '', '', '', str(e)[:160]])
            continue
        for machine in args.machine or ['edge']:
            try:
                out.writerow([name, machine, *stated, *on_machine(args.xgc, folder, inputs, machine)])
            except RuntimeError as e:
                out.writerow([name, machine, *stated, '', '', '', str(e)[:160]])


if __name__ == '__main__':
    main()
