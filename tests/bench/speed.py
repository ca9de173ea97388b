#!/usr/bin/env python3
"""Prints how fast xgc's programs are beside published figures, how fast xgc is itself, and writes results.csv.

    speed.py --xgc BUILD/xgc [--part PART ...] [--only TEXT ...] [--check WHICH] [--csv FILE] [--keep FOLDER]

Parts: speed (cycles, traffic, roofline), compile (time and memory), simulate (beside ONNX Runtime), accuracy.
XGC_MODELS: folder of public models (default ../shared/models beside the project). ORT_MODULES: folder with
onnxruntime-node. /usr/bin/python3 with python3-onnx writes the topologies that have no file. What is absent is
skipped with a word. Exit status 1 when a command fails or a binary does not pass its check.
"""
import argparse
import array
import csv
import io
import json
import math
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import zipfile

HERE = pathlib.Path(__file__).resolve().parent
STRATEGIES = ('ilp', 'greedy', 'layer')
QUANTISED = ('mobilenetv2_12_int8', 'mobilenetv2_aihub_qdq', 'micro_kws_m_qdq', 'tfl_mlperf_ic_int8',
             'tfl_mlperf_kws_int8', 'tfl_mlperf_vww_int8', 'tfl_mlperf_ad_int8', 'tfl_person_detect',
             'tfl_mobilenetv1_025_128', 'mbedgetpu_block_qdq', 'micro_kws_m_qop')
MACHINES = ('kv260', 'zu2', 'zu9', 'zcu102', 'edge', 'nano')
SMALL = 30  # operators
TOPOLOGIES = ('vgg16', 'vgg16_conv', 'squeezenet11', 'yolov3', 'inception_residual')

# what, model, machine, batch, report's field, divisor, unit, bar, moonshot. Bars: DNNVM's paper (zu9, zu2); the vendor
# compiler's published board figures for one B4096 core at 300 MHz (kv260).
HEADLINES = (
    ('VGG-16 convolutions', 'vgg16_conv', 'zu9', 3, 'tops', 1, 'TOP/s', 2.82, 3.4),
    ('ResNet-50', 'light_resnet50', 'zu9', 3, 'tops', 1, 'TOP/s', 1.38, 2.4),
    ('GoogLeNet', 'light_inception_v1', 'zu9', 3, 'tops', 1, 'TOP/s', 1.41, 2.2),
    ('ResNet-50', 'light_resnet50', 'zu2', 1, 'tops', 1e-3, 'GOP/s', 228.7, 290),
    ('ResNet-50', 'light_resnet50', 'kv260', 1, 'peak_percent', 1, '% of peak', 56.2, 75),
    ('VGG-16', 'vgg16', 'kv260', 1, 'peak_percent', 1, '% of peak', 54.7, 70),
    ('Inception-v1', 'light_inception_v1', 'kv260', 1, 'peak_percent', 1, '% of peak', 55.5, 72),
    ('MobileNetV2', 'mobilenetv2_12_int8', 'kv260', 1, 'peak_percent', 1, '% of peak', 16.5, 25),
    ('YOLOv3-416', 'yolov3', 'kv260', 1, 'peak_percent', 1, '% of peak', 79.4, 90),
    ('SqueezeNet-1.1', 'squeezenet11', 'kv260', 1, 'images_per_s', 1, 'fps', 763, 1000),
)
# Beside the headlines in the comparison of strategies.
COMPARED = tuple((m, 'kv260', 1) for m in QUANTISED + ('inception_residual', 'light_vgg19', 'light_bvlc_alexnet')) + \
    tuple((m, k, 1) for m in ('mobilenetv2_12_int8', 'light_squeezenet', 'tfl_mlperf_ic_int8', 'tfl_mlperf_kws_int8')
          for k in ('zu2', 'zu9', 'zcu102', 'edge', 'nano')) + \
    (('light_resnet50', 'zcu102', 3), ('light_resnet50', 'edge', 1), ('light_inception_v1', 'zu2', 1))


class Failed(Exception):
    pass


class Skipped(Exception):
    pass


class Bench:
    """Runs commands in a folder of its own and keeps what they said."""

    def __init__(self, xgc, models, folder, only=None, checked='all'):
        self.xgc, self.models, self.folder, self.only, self.checked = xgc, models, folder, only, checked
        self.rows, self.failures, self.skipped, self.imported, self.results = [], [], [], {}, {}

    def run(self, *args, program=None, one_core=False, **more):
        """One command: its output, wall seconds, peak resident bytes, processor seconds."""
        command = [str(program or self.xgc), *map(str, args)]
        pin = (lambda: os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})) if one_core else None
        start = time.perf_counter()
        with tempfile.TemporaryFile('w+') as out, tempfile.TemporaryFile('w+') as err:
            child = subprocess.Popen(command, cwd=self.folder, stdout=out, stderr=err, preexec_fn=pin, **more)
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            seconds = time.perf_counter() - start
            out.seek(0)
            err.seek(0)
            if child.returncode:
                why = (err.read() + out.read()).strip().split('\n')[0]
                raise Failed(f'{self.spell(command)}: exit {child.returncode}: {why}')
            return out.read(), seconds, usage.ru_maxrss * 1024, usage.ru_utime + usage.ru_stime

    def spell(self, command):
        text = ' '.join(map(str, command))
        for long, short in ((self.xgc, 'xgc'), (self.models, '$XGC_MODELS'), (HERE, 'tests/bench'), (f'{self.folder}/', ''),
                            (f'{HERE.parent.parent}/', '')):
            text = text.replace(str(long), short)
        return text

    def record(self, what, machine, strategy, figure, unit, command):
        self.rows.append((what, machine, strategy, f'{figure:.6g}', unit, command))

    def model(self, name):
        """The ONNX file of a model or topology."""
        if name in TOPOLOGIES:
            path = self.folder / f'{name}_b1.onnx'
            if not path.exists():
                try:
                    self.run(HERE / 'topologies.py', self.folder, name, program='/usr/bin/python3')
                except (Failed, OSError) as e:
                    raise Skipped(f'{name}: topologies.py does not run (python3-onnx?): {e}') from e
            return path
        path = self.models / name / 'model.onnx'
        if not path.exists():
            raise Skipped(f'{name}: absent')
        return path

    def is_float(self, name):
        return name in TOPOLOGIES or name.startswith('light_')

    def import_options(self, name, batch):
        options = ['--batch', batch] if batch > 1 or name.startswith(('mobilenetv2_12', 'micro_kws')) else []
        return options + (['--random-weights', '--calib', 'random:1'] if self.is_float(name) else [])

    def xg(self, name, machine, batch):
        key = (name, machine, batch)
        if key not in self.imported:
            path = self.folder / f'{name}_{machine}_b{batch}.xg'
            args = ['import', self.model(name), '-m', machine, *self.import_options(name, batch), '-o', path.name]
            self.run(*args)
            self.imported[key] = path, self.spell(['xgc', *args])
        return self.imported[key]

    def measure(self, name, machine, batch):
        """Compiles, reports and checks under each strategy: {strategy: report}."""
        key = (name, machine, batch)
        if key in self.results:
            return self.results[key]
        xg, how = self.xg(*key)
        exact = None
        result = {}
        for strategy in STRATEGIES:
            binary = xg.with_name(f'{xg.stem}_{strategy}.xgb')
            args = ['compile', xg.name, '-m', machine, '--strategy', strategy, '-o', binary.name]
            self.run(*args)
            r = json.loads(self.run('report', binary.name, '--json')[0])
            if exact is None:  # a binary knows the multiplications of its instructions, a model its own
                m = json.loads(self.run('report', xg.name, '-m', machine, '--strategy', 'layer', '--json')[0])
                if not m['macs_exact']:
                    raise Failed(f'{name}: the report of the model has no exact count of multiply-accumulates')
                exact = m
            derive(r, exact)
            r['command'] = f"{how} && {self.spell(['xgc', *args])} && xgc report {binary.name}"
            r['check'] = self.check(xg.name, binary.name, strategy)
            result[strategy] = r
        self.results[key] = result
        return result

    def wanted(self, *words):
        """Whether the filter lets a row through: one of its texts is in the row's words."""
        text = ' '.join(map(str, words))
        return not self.only or any(o in text for o in self.only)

    def check(self, xg, binary, strategy):
        if self.checked == 'none' or self.checked == 'ilp' and strategy != 'ilp':
            return 'unchecked'
        try:
            said = self.run('check', xg, binary, '--fill', 'random')[0]
            if re.search(r'^EQUAL ', said, re.MULTILINE):
                return 'EQUAL'
            self.failures.append(f'check {xg} {binary}: no verdict in: {said[:200]}')
        except Failed as e:
            self.failures.append(str(e))
        return 'FAILED'


def derive(r, exact):
    """Figures from a binary's cycles and the model's own operations.

    roofline: the slower of the full array on all operations, and one read of constants and inputs and one write of
    outputs at the DDR rate that the report's own bound uses."""
    traffic = r['weights_bytes'] + r['maps_in_bytes'] + r['maps_out_bytes']
    seconds = r['ms'] * 1e-3
    ddr = r['ddr_bytes']
    r['macs'] = exact['macs']
    r['tops'] = 2e-12 * exact['macs'] / seconds
    r['peak_percent'] = 100 * r['tops'] / r['peak_tops']
    r['maps_bytes'] = r['maps_in_bytes'] + r['maps_out_bytes']
    least = (ddr['constants'] + ddr['inputs'] + ddr['outputs']) * r['ddr_bound_cycles'] / max(traffic, 1)
    r['least_cycles'] = max(exact['compute_bound_cycles'], least, 1)
    r['bounded_by'] = 'array' if exact['compute_bound_cycles'] >= least else 'DDR'
    r['roofline'] = r['cycles'] / r['least_cycles']


def attempt(bench, what, function, *args):
    """A row that cannot be had is said, and the others go on."""
    try:
        return function(*args)
    except Skipped as e:
        bench.skipped.append(f'{what}: {e}')
        print(f'{what}: skipped: {e}')
    except Failed as e:
        bench.failures.append(f'{what}: {e}')
        print(f'{what}: FAILED: {e}')
    return None


def verdict(value, bar, moonshot, lower=False):
    if bar is None:
        return 'moonshot' if (value <= moonshot if lower else value >= moonshot) else 'not met'
    if lower:
        value, bar, moonshot = -value, -bar, -moonshot
    return 'moonshot' if value >= moonshot else 'bar met' if value >= bar else 'BELOW BAR'


BELOW = []  # what stays below its bar


def print_target(what, machine, figure, unit, bar, moonshot, lower=False, note=''):
    if verdict(figure, bar, moonshot, lower) == 'BELOW BAR':
        BELOW.append(f'{what} {machine}: {figure:.4g} {unit}, bar {bar:.4g}')
    print(f'{what:<44} {machine:<7} {figure:>9.4g} {unit:<10} {"-" if bar is None else f"{bar:.4g}":>8} {moonshot:>8.4g}  '
          f'{verdict(figure, bar, moonshot, lower):<10}{note}')


def heading(title):
    print(f'\n{title}\n{"what":<44} {"machine":<7} {"figure":>9} {"unit":<10} {"bar":>8} {"moonshot":>8}')


def headlines(bench):
    heading('Speed, simulated (2 operations a multiply-accumulate; host steps such as softmax are not in)')
    for what, model, machine, batch, field, divisor, unit, bar, moonshot in HEADLINES:
        if not bench.wanted(model, machine):
            continue
        result = attempt(bench, f'{what} {machine}', bench.measure, model, machine, batch)
        if result:
            r = result['ilp']
            figure = r[field] / divisor
            label = f'{what}, batch {batch}'
            print_target(label, machine, figure, unit, bar, moonshot, note=f'check {r["check"]}')
            bench.record(label, machine, 'ilp', figure, unit, r['command'])
    for what, model, machine, batch in [h[:4] for h in HEADLINES]:
        r = bench.results.get((model, machine, batch), {}).get('ilp')
        if r and what.startswith(('ResNet', 'VGG')):
            print_target(f'{what}, batch {batch}, over the roofline ({r["bounded_by"]})', machine, r['roofline'], 'x', None,
                         1.25, lower=True)


def geomean(values):
    values = [v for v in values if v > 0]
    return math.exp(sum(map(math.log, values)) / len(values)) if values else math.nan


def ratio_row(bench, key, result):
    """One line of the comparison; returns its ratios."""
    name, machine, batch = key
    ilp, greedy, layer = (result[s] for s in STRATEGIES)
    speed, over, maps = (layer['cycles'] / ilp['cycles'], greedy['cycles'] / ilp['cycles'],
                         ilp['maps_bytes'] / max(layer['maps_bytes'], 1))
    note = {r['check'] for r in result.values()}
    built = re.search(r'built from (\w+)', ilp['solver_note'])
    print(f'{name:<24} {machine:<7} {batch:>2} {ilp["cycles"]:>10} {greedy["cycles"]:>10} {layer["cycles"]:>10} '
          f'{speed:>6.3f} {over:>6.3f} {maps:>6.3f} {ilp["roofline"]:>6.2f} {ilp["bounded_by"]:<5} '
          f'{"/".join(sorted(note))}{" built from " + built[1] if built else ""}')
    for strategy, r in result.items():
        bench.record(f'{name} cycles, batch {batch}', machine, strategy, r['cycles'], 'cycles', r['command'])
        bench.record(f'{name} feature maps, batch {batch}', machine, strategy, r['maps_bytes'], 'bytes', r['command'])
    bench.record(f'{name} over roofline, batch {batch}', machine, 'ilp', ilp['roofline'], 'ratio', ilp['command'])
    return speed, over, maps


def comparison(bench):
    print('\nStrategies: cycles; layer/ilp, greedy/ilp; feature-map bytes ilp/layer; ilp over the roofline and what bounds that')
    print(f'{"model":<24} {"machine":<7} {"n":>2} {"ilp":>10} {"greedy":>10} {"layer":>10} '
          f'{"l/i":>6} {"g/i":>6} {"maps":>6} {"roof":>6} bound checks')
    ratios = {}
    for key in dict.fromkeys([h[1:4] for h in HEADLINES] + list(COMPARED)):
        if not bench.wanted(*key):
            continue
        result = attempt(bench, ' '.join(map(str, key)), bench.measure, *key)
        if result:
            ratios[key] = ratio_row(bench, key, result)
    if not ratios:
        return
    how = 'tests/bench/speed.py --part speed'
    columns = list(zip(*ratios.values()))
    means = [geomean(c) for c in columns]
    heading(f'Over these {len(ratios)} (geometric means; a map ratio of 0 counts as the smallest other one)')
    columns[2] = [v or min(w for w in columns[2] if w) for v in columns[2]]
    means[2] = geomean(columns[2])
    google = ratios.get(('light_inception_v1', 'zu9', 3))
    if google:
        print_target('ilp over layer, GoogLeNet', 'zu9', google[0], 'x', 1.26, 1.5)
    print_target('ilp over layer, geometric mean', 'all', means[0], 'x', 1, 1.5)
    more_than_one = math.nextafter(1, 2)
    level = sorted(f'{k[0]} on {k[1]}' for k, r in ratios.items() if r[0] < more_than_one)
    print_target('ilp over layer, worst (must exceed 1)', 'all', min(columns[0]), 'x', more_than_one, more_than_one,
                 note='level: ' + ', '.join(level) if level else '')
    print_target('ilp over greedy, geometric mean', 'all', means[1], 'x', 1, 1.05)
    print_target('ilp over greedy, worst', 'all', min(columns[1]), 'x', 1, 1)
    print_target('feature-map traffic ilp / layer', 'all', means[2], 'x', 0.5, 0.2, lower=True)
    for what, figure in (('layer / ilp cycles, geometric mean', means[0]), ('greedy / ilp cycles, geometric mean', means[1]),
                         ('layer / ilp cycles, worst', min(columns[0])), ('greedy / ilp cycles, worst', min(columns[1])),
                         ('ilp / layer feature-map bytes, geometric mean', means[2])):
        bench.record(what, 'all', 'ilp', figure, 'ratio', how)


def compile_time(bench, source, machine, options=()):
    """Best of three on one core: processor seconds (user and system), wall seconds, and peak bytes."""
    args = ['compile', source, '-m', machine, *options, '-o', 'timed.xgb']
    runs = [bench.run(*args, one_core=True)[1:] for _ in range(3)]
    return min(r[2] for r in runs), min(r[0] for r in runs), max(r[1] for r in runs), bench.spell(['xgc', *args])


def compile_row(bench, label, name, machine, bar, moonshot):
    xg, how = bench.xg(name, machine, 1)
    seconds, wall, peak, command = compile_time(bench, xg.name, machine)
    mb, allowed = peak / 1e6, 3 * xg.stat().st_size / 1e6 + 100
    print_target(f'compile {label}', machine, seconds, 's', bar, moonshot, lower=True, note=f'{wall:.2f} s by the clock')
    print_target(f'memory, compile {label}', machine, mb, 'MB', allowed, allowed, lower=True)
    bench.record(f'compile {label}', machine, 'ilp', seconds, 's', f'{how} && {command}')
    bench.record(f'peak memory, compile {label}', machine, 'ilp', mb, 'MB', f'{how} && {command}')


def small_xg(bench, name, machine):
    """The quantised model of any of the folder's models, and its number of operators."""
    path = bench.folder / f'{name}_{machine}_small.xg'
    args = ['import', bench.model(name), '-m', machine, '--calib', 'random:1', '--random-weights', '-o', path.name]
    if not path.exists():
        try:
            bench.run(*args)
        except Failed:  # its first dimension is open
            try:
                bench.run(*args, '--batch', 1)
            except Failed as e:
                raise Skipped(e) from e
    text = bench.run('import', path, '--text', '-o', '-')[0]
    return path, sum(1 for line in text.split('\n') if line.startswith('node '))


def small_model(bench, name):
    """Processor seconds by machine, of a model of at most SMALL operators; those that are large in bytes on one machine."""
    times, operators = {}, 0
    for machine in MACHINES:
        path, operators = small_xg(bench, name, machine)
        if operators > SMALL:
            return None
        times[machine], _, peak, command = compile_time(bench, path.name, machine)
        bench.record(f'compile {name} ({operators} operators)', machine, 'ilp', times[machine], 's',
                     f'xgc import $XGC_MODELS/{name}/model.onnx -m {machine} --calib random:1 --random-weights '
                     f'-o {path.name} && {command}')
        if path.stat().st_size > 20e6:
            break
    return operators, path.stat().st_size, times


def small_models(bench):
    print(f'\nModels of at most {SMALL} operators: processor ms to compile the quantised model, best of 3')
    print(f'{"model":<28} {"operators":>9} {"MB":>6} ' + ' '.join(f'{m:>7}' for m in MACHINES))
    every = []
    for path in sorted(bench.models.glob('*/model.onnx')):
        name = path.parent.name
        if not bench.wanted(name):
            continue
        result = attempt(bench, f'compile {name}', small_model, bench, name)
        if result:
            operators, size, times = result
            every += [(t, name, m) for m, t in times.items()]
            print(f'{name:<28} {operators:>9} {size / 1e6:>6.1f} ' +
                  ' '.join(f'{1e3 * times[m]:>7.0f}' if m in times else f'{"-":>7}' for m in MACHINES), flush=True)
    if not every:
        return
    worst = max(every)
    heading(f'Of these {len(every)} (within the bar: {sum(t <= 0.1 for t, *_ in every)}, '
            f'within the moonshot: {sum(t <= 0.03 for t, *_ in every)})')
    print_target('compile, median', 'all', sorted(every)[len(every) // 2][0], 's', 0.1, 0.03, lower=True)
    print_target(f'compile, slowest: {worst[1]}', worst[2], worst[0], 's', 0.1, 0.03, lower=True)


def timed_check(bench):
    xg, how = bench.xg('light_resnet50', 'zu9', 1)
    bench.run('compile', xg.name, '-m', 'zu9', '-o', 'timed.xgb')
    out, seconds = bench.run('check', xg.name, 'timed.xgb', '--fill', 'random')[:2]
    print_target('check ResNet-50, one input', 'zu9', seconds, 's', 60, 60, lower=True, note=out.strip())
    bench.record('check ResNet-50, one input', 'zu9', 'ilp', seconds, 's',
                 f'{how} && xgc compile {xg.name} -m zu9 -o timed.xgb && xgc check {xg.name} timed.xgb --fill random')


def compiling(bench):
    heading('xgc itself, quantised .xg to .xgb, processor time on one core, best of 3 (memory: 3 x model + 100 MB)')
    for machine in ('zu9', 'kv260'):
        attempt(bench, f'compile ResNet-50 {machine}', compile_row, bench, 'ResNet-50', 'light_resnet50', machine, 1, 0.3)
    for machine in ('zu9', 'kv260'):
        attempt(bench, f'compile 1,000 operators {machine}', compile_row, bench, '1,000 operators', 'inception_residual',
                machine, 5, 1.5)
    attempt(bench, 'check ResNet-50', timed_check, bench)
    small_models(bench)


def ort(bench, *args):
    if not os.environ.get('ORT_MODULES'):
        raise Skipped('ORT_MODULES is not set (folder with onnxruntime-node)')
    try:
        return json.loads(bench.run(HERE / 'ort_run.mjs', *args, program='node', one_core=args[0] == 'time')[0])
    except OSError as e:
        raise Skipped(f'node: {e}') from e


def simulation(bench):
    """Functional simulation of ResNet-50 beside ONNX Runtime on the same quantised model."""
    tool = bench.xgc.parent / 'tests' / 'bench_kernels'
    if not tool.exists():
        raise Skipped(f'{tool.name} is not built')
    path = bench.model('light_resnet50')
    bench.run('export', path, 'r50_u8.onnx', 'u8', program=tool)
    theirs = ort(bench, 'time', 'r50_u8.onnx', 15)['best_ms']
    for machine in ('kv260', 'nano'):
        text = bench.run('sim', path, machine, 5, program=tool, one_core=True)[0]
        ours = min(float(v) for v in re.findall(r'([0-9.]+) ms', text))
        print_target(f'simulate ResNet-50 / ONNX Runtime ({ours:.0f} / {theirs:.0f} ms)', machine, ours / theirs, 'x', 3, 1.5,
                     lower=True)
        bench.record('functional simulation of ResNet-50 over ONNX Runtime int8', machine, 'greedy', ours / theirs, 'ratio',
                     'tests/bench/speed.py --part simulate')


def write_npy(path, code, dims, values):
    header = f"{{'descr': '{code}', 'fortran_order': False, 'shape': {dims}, }}"
    header += ' ' * (-(len(header) + 11) % 64) + '\n'
    with open(path, 'wb') as f:
        f.write(b'\x93NUMPY\x01\x00' + len(header).to_bytes(2, 'little') + header.encode() + values.tobytes())


def read_npy(data, kind):
    values = array.array(kind)
    values.frombytes(data[10 + int.from_bytes(data[8:10], 'little'):])
    return values


def keyword_data(bench, model):
    """MLPerf Tiny's features are int8 at the model's input scale: back to f32."""
    text = bench.run('import', model, '--text', '-o', '-')[0]
    scale, zero = re.search(r'scale=(0x\S+) zp=(-?\d+)', text).groups()
    scale, zero = float.fromhex(scale), int(zero)
    with zipfile.ZipFile(io.BytesIO((bench.models / '_data' / 'kws01_test.npz').read_bytes())) as z:
        x, y = read_npy(z.read('x.npy'), 'b'), read_npy(z.read('y.npy'), 'i')
    return (len(y), 1, 49, 10), array.array('f', ((v - zero) * scale for v in x)), y


def cifar_data(bench, _):
    """Rows of label, then height x width x channel; the model takes channels first, 0 to 255."""
    rows = [[int(v) for v in r] for r in csv.reader(open(bench.models / '_data' / 'cifar10_100.csv', newline=''))]
    x = array.array('f', (v for r in rows for c in range(3) for v in r[1 + c::3]))
    return (len(rows), 3, 32, 32), x, array.array('i', (r[0] for r in rows))


def digits_data(bench, _):
    """The project's own images and labels."""
    folder = HERE.parent.parent / 'examples' / 'digits'
    x, y = (folder / f'test_{what}.npy' for what in ('images', 'labels'))
    kinds = {'<f4': 'f', '<i4': 'i', '<i8': 'q', '|u1': 'B', '|i1': 'b'}
    arrays = []
    for path in (x, y):
        data = path.read_bytes()
        head = data[10:10 + int.from_bytes(data[8:10], 'little')].decode()
        arrays.append((read_npy(data, kinds[re.search(r"'descr': '(...)'", head)[1]]),
                       tuple(int(v) for v in re.search(r"'shape': \(([^)]*)\)", head)[1].split(',') if v.strip())))
    return arrays[0][1], arrays[0][0], array.array('i', arrays[1][0])


def onnx_percent(bench, label, model, stem):
    theirs = attempt(bench, f'{label}, ONNX Runtime', ort, bench, 'accuracy', model, f'{stem}_x.npy', f'{stem}_y.npy')
    if not theirs:
        return '-'
    bench.record(f'accuracy, {label}, {model.parent.name}/{model.name}', 'ONNX Runtime', '-', theirs['percent'], '%',
                 f'node tests/bench/ort_run.mjs accuracy {bench.spell([model])} {stem}_x.npy {stem}_y.npy')
    return f'{theirs["percent"]:.2f}'


def accuracy_of(bench, label, float_model, model, data):
    """Float and int8 by ONNX Runtime; the published int8 model and our own quantisation of the float one on machines."""
    if not model.exists() or not float_model.exists():
        raise Skipped(f'{model}: absent')
    stem = label.split()[0]
    dims, x, y = data(bench, model)
    write_npy(bench.folder / f'{stem}_x.npy', '<f4', dims, x)
    write_npy(bench.folder / f'{stem}_y.npy', '<i4', f'({dims[0]},)', y)
    calibration = x[:len(x) // dims[0] * min(dims[0], 64)]
    write_npy(bench.folder / f'{stem}_c.npy', '<f4', (min(dims[0], 64), *dims[1:]), calibration)
    theirs = [onnx_percent(bench, label, m, stem) for m in (float_model, model)]
    for machine in ('nano', 'edge', 'kv260'):
        ours = []
        for source, more in ((model, []), (float_model, ['--calib', f'{stem}_c.npy'])):
            args = ['report', source, '-m', machine, '--input', f'{stem}_x.npy', '--labels', f'{stem}_y.npy', '--json', *more]
            a = json.loads(bench.run(*args)[0])['accuracy']
            if a['batches_that_differ']:
                bench.failures.append(f'{label} on {machine}: binary and interpreter differ')
            ours.append(a['binary_percent'])
            bench.record(f'accuracy, {label}', machine, 'ilp', a['binary_percent'], '%', bench.spell(['xgc', *args]))
        print(f'{label:<22} {machine:<7} {a["images"]:>6} {theirs[0]:>8} {theirs[1]:>13} {ours[0]:>12.2f} {ours[1]:>12.2f}',
              flush=True)


def accuracies(bench):
    print('\nAccuracy, %: float and the published int8 model by ONNX Runtime; simulated binaries of that int8 model, and of the float\n'
          'model quantised by xgc (calibrated on the first 64 inputs); each binary equals the interpreter bit for bit')
    print(f'{"model":<22} {"machine":<7} {"images":>6} {"float":>8} {"int8, ORT":>13} {"int8, xgc":>12} {"own int8":>12}')
    digits = HERE.parent.parent / 'examples' / 'digits'
    for label, float_model, model, data in (
            ('keywords (DS-CNN)', bench.models / 'tfl_mlperf_kws_f32/model.onnx', bench.models / 'tfl_mlperf_kws_int8/model.onnx',
             keyword_data),
            ('CIFAR-10 (ResNet-8)', bench.models / 'tfl_mlperf_ic_f32/model.onnx', bench.models / 'tfl_mlperf_ic_int8/model.onnx',
             cifar_data),
            ('digits', digits / 'digits.onnx', digits / 'digits_qdq.onnx', digits_data)):
        attempt(bench, label, accuracy_of, bench, label, float_model, model, data)


COLUMNS = ('what', 'machine', 'strategy', 'figure', 'unit', 'command', 'commit')
OURS = ('xgc import ', 'xgc report ', 'tests/bench/speed.py', 'node tests/bench/ort_run.mjs')  # how commands of our rows begin


def kept_rows(path):
    """Rows of other programs, with the commit that they were measured at where they say it."""
    if not path.exists():
        return []
    with open(path, newline='') as f:
        rows = [r for r in csv.reader(f) if r][1:]
    return [(*r, '')[:len(COLUMNS)] for r in rows if not r[5].startswith(OURS)]


def commit():
    """The sources' commit, with a + when files of it have been changed; empty where there is none."""
    try:
        p = subprocess.run(['git', 'describe', '--always', '--dirty=+', '--exclude=*'], cwd=HERE, capture_output=True, text=True)
        return p.stdout.strip()
    except OSError:
        return ''


def write_csv(path, rows, measured_at):
    rows = kept_rows(path) + [(*r, measured_at) for r in rows]
    with open(path, 'w', newline='') as f:
        writer = csv.writer(f, lineterminator='\n')
        writer.writerow(COLUMNS)
        writer.writerows(rows)


def speeds(bench):
    headlines(bench)
    comparison(bench)


def simulations(bench):
    heading('Functional simulator, one thread')
    attempt(bench, 'simulate ResNet-50', simulation, bench)


PARTS = {'speed': speeds, 'compile': compiling, 'simulate': simulations, 'accuracy': accuracies}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--xgc', type=pathlib.Path, required=True)
    parser.add_argument('--part', action='append', choices=PARTS, help='only this part; may be repeated')
    parser.add_argument('--only', action='append', metavar='TEXT', help='only rows whose "model machine" has TEXT; may be repeated')
    parser.add_argument('--check', choices=('all', 'ilp', 'none'), default='all',
                        help='which binaries must pass xgc check: of all strategies (default), of ilp, none')
    parser.add_argument('--csv', type=pathlib.Path, help='where figures go (default: results.csv here when all parts run)')
    parser.add_argument('--keep', type=pathlib.Path, help='folder to work in and keep')
    a = parser.parse_args()
    models = pathlib.Path(os.environ.get('XGC_MODELS', HERE.parent.parent.parent / 'shared' / 'models')).resolve()
    measured_at = commit()
    with tempfile.TemporaryDirectory(prefix='xgc-speed-') as scratch:
        folder = a.keep.resolve() if a.keep else pathlib.Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        bench = Bench(a.xgc.resolve(), models, folder, a.only, a.check)
        for part in a.part or PARTS:
            PARTS[part](bench)
    out = a.csv or (None if a.part or a.only or a.check == 'none' else HERE / 'results.csv')
    if out:
        write_csv(out, bench.rows, measured_at)
    print(f'\nbelow their bars: {len(BELOW)}')
    for line in BELOW:
        print(f'  {line}')
    print(f'{len(bench.rows)} figures, {len(bench.skipped)} skipped, {len(bench.failures)} failures')
    for failure in bench.failures:
        print(f'  {failure}')
    return 1 if bench.failures else 0


if __name__ == '__main__':
    sys.exit(main())
