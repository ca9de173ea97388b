#!/usr/bin/env python3
"""Machines and encodings that nobody has seen: made at random from the shipped ones, and judged.

    machines.py XGC FOLDER [--models TEXT,TEXT] [--seed N] [--count N] [--each N] [--limit SECONDS] [--keep DIR] [--only KIND] [--off FILE]

FOLDER has models (*.onnx, or folders with one). COUNT machines are made from seed N on; each gets EACH of the models, taken at
random. For every strategy: status 0, or one line of refusal with status 1; no command may take more than SECONDS of processor time.
What compiles must be EQUAL to the reference (ilp and one other strategy), ilp must not be slower than the others, its traffic of maps
not more than layer's, and the cost model within 3 % of the simulator. A line for each machine and model; findings are marked ! and
counted at the end. KIND: plain (only numbers are changed), narrow (fields of the encoding lose bits too), unit (fields count in
units too); by default one after the other. --off FILE gets the programs for which the cost model is off.
"""
import argparse
import collections
import json
import os
import pathlib
import random
import re
import resource
import subprocess
import sys
import tempfile

STRATEGIES = ('ilp', 'layer', 'greedy', 'path')
SHIPPED = ('zu2', 'zu9', 'kv260', 'edge', 'nano')
PROFILES = ('ort', 'tflite1', 'tflite2', 'dpu', 'nvdla', 'mul16', 'mul8')
PREDICTION = 0.03
# Fields that may count in units: addresses and steps on chip.
UNITS = re.compile(r'^      (addr|in_addr|out_addr|w_addr|p_addr|a_addr|b_addr|psum|row|pix|in_row|out_row|in_pix|out_pix|table): ')


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('xgc')
    p.add_argument('folder', type=pathlib.Path)
    p.add_argument('--models', default='', help='only models whose name has one of these texts')
    p.add_argument('--seed', type=int, default=1)
    p.add_argument('--count', type=int, default=10)
    p.add_argument('--each', type=int, default=3)
    p.add_argument('--limit', type=float, default=20)
    p.add_argument('--keep', type=pathlib.Path, help='machines with findings are kept here')
    p.add_argument('--only', choices=('plain', 'narrow', 'unit'))
    p.add_argument('--off', type=pathlib.Path)
    return p.parse_args()


# ---- machines

def change(text, key, value):
    out, n = re.subn(rf'(?m)^( *{key}:) *[^#\n]*', rf'\g<1> {value} ', text, count=1)
    assert n == 1, key
    return out


def power(rng, low, high):
    """About as often between a and 2a as between 2a and 4a."""
    return min(high, max(low, int(low * (high / low) ** rng.random() + 0.5)))


def array(rng):
    icp = rng.choice((1, 2, 3, 4, 5, 8, 12, 16, 24, 32))
    ocp = rng.choice([v for v in (1, 2, 3, 4, 5, 8, 12, 16, 24, 32) if v % icp == 0 or icp % v == 0])
    return rng.choice((1, 2, 3, 4, 5, 6, 8, 12, 16)), icp, ocp


def machine(rng, xgc):
    """Changes a shipped machine: its array or not, its memories, its DDR, its arithmetic."""
    base = rng.choice(SHIPPED)
    text = subprocess.run([xgc, 'isa', '-m', base, '--form', 'machine'], capture_output=True, text=True, check=True).stdout
    said = [base]

    def put(key, value):
        nonlocal text
        text = change(text, key, value)
        said.append(f'{key}={value}')

    if rng.random() < 0.7:
        pp, icp, ocp = array(rng)
        put('pp', pp), put('icp', icp), put('ocp', ocp)
        put('misc_rows', rng.choice([r for r in (1, 2, 4, pp) if r <= pp]))
    if rng.random() < 0.7:
        put('fm_depth', power(rng, 64, 65536) if rng.random() < 0.9 else power(rng, 16, 64))
        put('w_depth', power(rng, 32, 16384))
        put('param_bytes', power(rng, 512, 262144))
    if rng.random() < 0.7:
        put('bytes_per_cycle', rng.choice(('1', '2', '3.5', '4', '8', '16', '25.6', '32', '64', '128')))
        put('port_bytes', rng.choice((1, 4, 8, 16, 32, 64)))
        put('latency', power(rng, 1, 500))
        put('burst_bytes', rng.choice((16, 64, 256, 1024, 4096)))
        put('burst_overhead', rng.choice((0, 1, 5, 20, 60)))
    if rng.random() < 0.5:
        put('cores', rng.choice((1, 1, 2, 3, 4, 6)))
    if rng.random() < 0.4:
        put('queue_depth', rng.choice((1, 2, 4, 16, 256)))
        put('token_max', rng.choice((1, 3, 15, 255)))
        put('dispatch', rng.choice((0, 1, 8, 40)))
        put('conv_start', power(rng, 1, 200)), put('misc_start', power(rng, 1, 200))
    if rng.random() < 0.4:
        put('kernel_max', rng.choice((1, 3, 5, 7))), put('stride_max', rng.choice((1, 2, 4)))
        put('dilation_max', rng.choice((1, 2))), put('pool_kernel_max', rng.choice((2, 3, 8, 64)))
        put('elew_mul', rng.choice((0, 1))), put('lut', rng.choice((0, 1)))
    if rng.random() < 0.5:
        text = re.sub(r'(?m)^requantise:\n(  .*\n)+', f'requantise:\n  profile: {rng.choice(PROFILES)}\n', text)
        said.append(text[text.index('profile:'):].split('\n')[0].replace(': ', '='))
        more = ''.join(f'  {k}: {v}\n' for k, v in (('acc_bits', rng.choice((20, 24, 32, 48))),) if rng.random() < 0.3)
        said += more.split('\n')[:-1]
        text = re.sub(r'(?m)(^  profile: .*\n)', rf'\g<1>{more}', text)
    return text, ' '.join(s.strip() for s in said)


def encoding(rng, xgc, file, kind):
    """Some fields lose bits, or count in units. None: as shipped."""
    if kind == 'plain':
        return None, ''
    text = subprocess.run([xgc, 'isa', '-m', file, '--form', 'encoding'], capture_output=True, text=True, check=True).stdout
    out, said, op, unit = [], [], '', rng.choice((2, 4, 8))
    share = rng.choice((0.02, 0.05, 0.1))
    for line in text.split('\n'):
        head = re.match(r'  (\w+):$', line)
        op = head.group(1) if head else op
        width = re.search(r'^      (\w+): .*width: (\d+)', line)
        if width and kind == 'unit' and UNITS.match(line) and op not in ('loadp', 'dwconv', 'lut') and 'p_addr' not in line:
            line = line.replace('}', f', unit: {unit}}}')
        elif width and rng.random() < share and int(width.group(2)) > 4 and not re.match(r'lo|hi|zp|mult|shift|fill', width.group(1)):
            new = int(width.group(2)) - rng.randint(1, int(width.group(2)) // 2)
            line = line.replace(f'width: {width.group(2)}', f'width: {new}')
            said.append(f'{op}.{width.group(1)}:{new}')
        out.append(line)
    return '\n'.join(out), ' '.join(said) + (f' unit={unit}' if kind == 'unit' else '')


# ---- one model on one machine

Run = collections.namedtuple('Run', 'status out err seconds')


def run(o, *args, factor=1):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = int(o.limit * factor) + 1
    p = subprocess.run([o.xgc, *map(str, args)], capture_output=True, text=True, errors='replace',
                       preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds)))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Run(p.returncode, p.stdout, p.stderr.strip(), after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def refusal(r):
    """What a refusal must not be; None when it is one."""
    if r.status in (-9, -24):
        return 'takes too long'
    if r.status != 1:
        return f'status {r.status}'
    lines = [x for x in r.err.split('\n') if 'error' in x]
    return None if len(lines) >= 1 and re.search(r'error: .{20}', lines[0]) else f'no clear refusal: {r.err[:200]}'


def judge(o, rng, work, model, file):
    """Lines of findings, and a summary."""
    xg, bad = work / 'x.xg', []
    r = run(o, 'import', model, '-m', file, '--calib', 'random:1', '--random-weights', '-q', '-o', xg, factor=6)
    if r.status:
        why = refusal(r)
        return ([f'import: {why}'] if why else []), f'not imported: {r.err.splitlines()[0][-150:]}'
    measured, whys, worst, off = {}, {}, 0, 0
    other = rng.choice(STRATEGIES[1:])
    for s in STRATEGIES:
        r = run(o, 'compile', xg, '-m', file, '--strategy', s, '-q', '-o', work / 'x.xgb')
        worst = max(worst, r.seconds)
        if r.status:
            whys[s] = r.err.split('\n')[0]
            why = refusal(r)
            if why:
                bad.append(f'{s}: {why} ({r.seconds:.1f} s)')
            continue
        if s in ('ilp', other):
            r = run(o, 'check', xg, work / 'x.xgb', '-m', file, '--fill', 'random', factor=10)
            if r.status:
                bad.append(f'check {s}: status {r.status} {(r.out + r.err)[:300]}')
        r = run(o, 'report', xg, '-m', file, '--strategy', s, '--json', factor=3)
        if r.status:
            bad.append(f'report {s}: status {r.status} {r.err[:200]}')
            continue
        measured[s] = json.loads(r.out)
    if whys and measured and 'ilp' in whys:
        bad.append(f'only ilp is refused: {whys["ilp"][:200]}')
    ilp = measured.get('ilp')
    if not ilp:
        return bad, f'refused ({worst:.1f} s): {whys.get("ilp", "")[-260:]}'
    for s, r in measured.items():
        if ilp['cycles'] > r['cycles']:
            bad.append(f'ilp {ilp["cycles"]} cycles, {s} {r["cycles"]}')
        off = max(off, abs(r.get('predicted_cycles', 0) / r['cycles'] - 1)) if r['cycles'] else off
        if o.off and r['cycles'] and abs(r.get('predicted_cycles', 0) / r['cycles'] - 1) > PREDICTION:
            with o.off.open('a') as f:
                f.write(f'{model} {file.name} {s}: predicted {r.get("predicted_cycles", 0)} simulated {r["cycles"]}\n')
    if off > PREDICTION:
        bad.append(f'cost model off by {100 * off:.1f} %')
    maps = {s: r['maps_in_bytes'] + r['maps_out_bytes'] for s, r in measured.items()}
    if maps['ilp'] > maps.get('layer', maps['ilp']):
        bad.append(f'traffic of maps: ilp {maps["ilp"]}, layer {maps["layer"]}')
    gain = measured['layer']['cycles'] / max(ilp['cycles'], 1) if 'layer' in measured else 0
    return bad, (f'{ilp["cycles"]:>11,} cycles  layer/ilp {gain:5.2f}  roofline {ilp["roofline"]:5.2f}  predicted off {100 * off:4.1f} %  '
                 f'{worst:5.1f} s')


def models(o):
    texts = [t for t in o.models.split(',') if t]
    files = sorted([*o.folder.glob('*.onnx'), *o.folder.glob('*/*.onnx')])
    return [f for f in files if not texts or any(t in str(f) for t in texts)]


def main():
    o = arguments()
    o.xgc = os.path.abspath(o.xgc)
    all_models = models(o)
    if not all_models:
        print('skipped: no models')
        return 0
    kinds = (o.only,) if o.only else ('plain', 'plain', 'narrow', 'unit')
    findings = cases = refused = 0
    slowest = (0, '')
    for seed in range(o.seed, o.seed + o.count):
        rng = random.Random(seed)
        with tempfile.TemporaryDirectory() as name:
            work = pathlib.Path(name)
            file, code = work / f'm{seed}.yaml', work / f'e{seed}.yaml'
            text, said = machine(rng, o.xgc)
            text = change(text, 'name', f'm{seed}')
            file.write_text(text)
            kind = kinds[seed % len(kinds)]
            fields, narrow = encoding(rng, o.xgc, file, kind)
            if fields:
                code.write_text(fields)
                file.write_text(change(text, 'encoding', code.name))
            print(f'machine {seed}: {said} {narrow}', flush=True)
            found = 0
            for model in rng.sample(all_models, min(o.each, len(all_models))):
                bad, line = judge(o, rng, work, model, file)
                short = model.parent.name if model.name == 'model.onnx' else model.stem
                print(f'  {short:26} {line}', flush=True)
                for b in bad:
                    print(f'    ! {b}', flush=True)
                cases, found, refused = cases + 1, found + len(bad), refused + ('refused' in line)
                seconds = re.search(r'([\d.]+) s\)?(:|$)', line)
                slowest = max(slowest, (float(seconds.group(1)) if seconds else 0, f'{short} on machine {seed}'))
            if found and o.keep:
                o.keep.mkdir(parents=True, exist_ok=True)
                for f in (file, code):
                    if f.exists():
                        (o.keep / f.name).write_text(f.read_text())
            findings += found
    print(f'{cases} programs, {refused} refused, {findings} findings; the slowest compilation {slowest[0]:.1f} s, {slowest[1]}')
    return 1 if findings else 0


if __name__ == '__main__':
    sys.exit(main())
