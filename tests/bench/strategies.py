#!/usr/bin/env python3
"""Simulated cycles and feature-map traffic of every strategy, for all models of a folder on all machines.

    strategies.py --xgc BUILD/xgc [--models FOLDER] [--machine NAME ...] [--only TEXT ...] [--largest MB] [--minutes N]
                  [--csv FILE]

Each model is quantised once for each arithmetic (--calib random, constant weights made random), and compiled by each
strategy alone: `xgc report MODEL.xg -m MACHINE --strategy STRATEGY --json`. A row a model and machine; at the end geometric means,
and every case in which ilp is slower than another strategy. Exit status 1 when there is one, or when a command
fails that does not refuse the model for every strategy.
"""
import argparse
import csv
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
STRATEGIES = ('layer', 'greedy', 'path', 'ilp')


def run(xgc, *args):
    p = subprocess.run([xgc, *map(str, args)], capture_output=True, text=True)
    return p.stdout if p.returncode == 0 else None, p.stderr.strip().split('\n')[0]


def quantised(xgc, model, machine, path):
    """Writes the .xg; tries batch 1 where the first dimension is open. None, or why not."""
    args = ['import', model, '-m', machine, '--calib', 'random:1', '--random-weights', '-q', '-o', path]
    out, why = run(xgc, *args)
    return None if out is not None or run(xgc, *args, '--batch', 1)[0] is not None else why


def measure(xgc, xg, machine):
    """{strategy: (cycles, bytes of maps)}, or why not."""
    result, whys = {}, []
    for s in STRATEGIES:
        out, why = run(xgc, 'report', xg, '-m', machine, '--strategy', s, '--json')
        if out is None:
            whys.append(f'{s}: {why}')
            continue
        r = json.loads(out)
        result[s] = r['cycles'], r['maps_in_bytes'] + r['maps_out_bytes'], r['roofline']
    return result, whys


def geomean(values):
    return math.exp(sum(map(math.log, values)) / len(values)) if values else math.nan


class Tally:
    def __init__(self, rows):
        self.rows, self.worse, self.failed = rows, [], []
        self.ratio = {s: [] for s in STRATEGIES[:-1]}
        self.maps = []

    def add(self, name, machine, result, whys):
        if whys and result:
            self.failed.append(f'{name} on {machine}: {"; ".join(whys)}')
        if not result:
            print(f'{name:<28} {machine:<7} refused: {whys[0]}', flush=True)
        if len(result) < len(STRATEGIES) or not result['ilp'][0]:
            return
        ilp = result['ilp']
        for s in self.ratio:
            self.ratio[s].append(result[s][0] / ilp[0])
            if ilp[0] > result[s][0]:
                self.worse.append(f'{name} on {machine}: ilp {ilp[0]:,}, {s} {result[s][0]:,} cycles')
        if ilp[1] and result['layer'][1]:
            self.maps.append(ilp[1] / result['layer'][1])
        for s, (cycles, maps, roof) in result.items():
            self.rows.append((name, machine, s, cycles, maps, f'{roof:.4g}'))
        print(f'{name:<28} {machine:<7} ' + ' '.join(f'{result[s][0]:>11}' for s in STRATEGIES) +
              f' {result["layer"][0] / ilp[0]:>6.3f} {result["greedy"][0] / ilp[0]:>6.3f}'
              f' {ilp[1] / max(result["layer"][1], 1):>6.3f} {ilp[2]:>6.2f}', flush=True)

    def close(self):
        n = len(self.ratio['layer'])
        print(f'\n{n} programs; geometric means over ilp: ' +
              ', '.join(f'{s} {geomean(v):.3f}' for s, v in self.ratio.items()) +
              f'; feature-map bytes ilp over layer {geomean(self.maps):.3f} (of {len(self.maps)} that have any)')
        print(f'ilp as fast as layer: {sum(v == 1 for v in self.ratio["layer"])}; slower than another strategy: {len(self.worse)}')
        for line in self.worse + self.failed:
            print(f'  {line}')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--xgc', required=True)
    parser.add_argument('--models', type=pathlib.Path,
                        default=os.environ.get('XGC_MODELS', HERE.parent.parent.parent / 'shared' / 'models'))
    parser.add_argument('--machine', action='append', help='default: all shipped')
    parser.add_argument('--only', action='append', metavar='TEXT', help='models whose name has TEXT; may be repeated')
    parser.add_argument('--largest', type=float, metavar='MB', default=math.inf, help='leave larger quantised models out')
    parser.add_argument('--minutes', type=float, default=math.inf, help='begin no program after so long, and say which were left out')
    parser.add_argument('--csv', type=pathlib.Path, help='model, machine, strategy, cycles, map bytes, over the roofline')
    a = parser.parse_args()
    machines = [m for m in json.loads(run(a.xgc, 'machines', '--json')[0])
                if not a.machine or m['name'] in a.machine]
    models = sorted(pathlib.Path(a.models).glob('*/*.onnx'), key=lambda p: p.stat().st_size)
    rows, left_out, start = [], [], time.monotonic()
    tally = Tally(rows)
    print(f'{"model":<28} {"machine":<7} ' + ' '.join(f'{s:>11}' for s in STRATEGIES) + '  l/ilp  g/ilp   maps   roof')
    with tempfile.TemporaryDirectory(prefix='xgc-strategies-') as folder:
        for model in models:
            name = model.parent.name
            if a.only and not any(o in name for o in a.only):
                continue
            done = {}
            for m in machines:
                if time.monotonic() - start > 60 * a.minutes:
                    left_out.append(f'{name} on {m["name"]}')
                    continue
                profile = m['profile']
                xg = pathlib.Path(folder) / f'{profile}.xg'
                if profile not in done:
                    done[profile] = quantised(a.xgc, model, m['name'], xg)
                if done[profile]:
                    print(f'{name:<28} {m["name"]:<7} refused: {done[profile]}', flush=True)
                elif xg.stat().st_size <= a.largest * 1e6:
                    tally.add(name, m['name'], *measure(a.xgc, xg, m['name']))
    tally.close()
    if left_out:
        print(f'{len(left_out)} not run for want of time: {", ".join(left_out)}')
    if a.csv:
        with open(a.csv, 'w', newline='') as f:
            writer = csv.writer(f, lineterminator='\n')
            writer.writerow(('model', 'machine', 'strategy', 'cycles', 'map_bytes', 'over_roofline'))
            writer.writerows(rows)
    return 1 if tally.worse or tally.failed else 0


if __name__ == '__main__':
    sys.exit(main())
