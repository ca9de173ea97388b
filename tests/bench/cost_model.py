#!/usr/bin/env python3
"""Predicted over simulated cycles, for each model and machine, and the groups that are foreseen worst.

    tests/bench/cost_model.py XGC [--models DIR] [--only TEXT,TEXT] [--machines M,M:BATCH] [--strategy NAME] [--worst N] [--csv] [--estimate]

XGC is the command; DIR (default $XGC_MODELS, else ../shared/models beside the sources) has a folder a model. A group is compared by
the cycles that are booked to it: those in which it computes, shared with what computes beside it, and those in which it is waited for
(isa/book.h). Groups below 1 % of the model's cycles are listed, and not judged.
--estimate: the same for the formula by which candidates are compared before anything is built (`xgc explain`), which is not judged.
Exit status 1 when a model is off by more than 3 %.
"""
import argparse
import json
import os
import subprocess
import sys

MODEL_LIMIT, GROUP_LIMIT, SMALL = 0.03, 0.10, 0.01
NAMES = ["light_resnet50", "light_inception_v1", "mobilenetv2_12_int8", "light_squeezenet", "light_vgg19"]


def arguments():
    here = os.path.dirname(os.path.abspath(__file__))
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("xgc")
    p.add_argument("--models", default=os.environ.get("XGC_MODELS", os.path.join(here, "../../../shared/models")))
    p.add_argument("--only", default=",".join(NAMES))
    p.add_argument("--machines", default="kv260,zu9:3,zu9:1,zu2,edge", help="MACHINE or MACHINE:BATCH")
    p.add_argument("--strategy", default="ilp")
    p.add_argument("--worst", type=int, default=2)
    p.add_argument("--csv", action="store_true", help="rows for results.csv")
    p.add_argument("--estimate", action="store_true")
    return p.parse_args()


def ask(o, verb, name, target):
    machine, _, batch = target.partition(":")
    folder = os.path.join(o.models, name)
    files = sorted(f for f in os.listdir(folder) if f.endswith((".onnx", ".xg")))
    command = [o.xgc, verb, os.path.join(folder, files[0]), "-m", machine, "--strategy", o.strategy, "--json"]
    if name.startswith("light_"):
        command += ["--calib", "random", "--random-weights"]
    if batch:
        command += ["--batch", batch]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        print(f"{name} {target}: {done.stderr.strip().splitlines()[-1] if done.stderr.strip() else 'failed'}")
        return None
    return json.loads(done.stdout)


def judge(o, name, machine, r):
    ratio = r["predicted_cycles"] / r["cycles"]
    groups = [g for g in r["layers"] if g.get("cycles") and g.get("predicted_cycles")]
    off = sorted(((abs(g["predicted_cycles"] / g["cycles"] - 1), g) for g in groups), key=lambda x: -x[0])
    judged = [x for x in off if x[1]["cycles"] >= SMALL * r["cycles"]]
    good = sum(x[0] <= GROUP_LIMIT for x in judged)
    if o.csv:
        print(f'"{name}, predicted over simulated",{machine},{o.strategy},{ratio:.4f},ratio,'
              f'tests/bench/cost_model.py; {good} of {len(judged)} groups of 1 % and more within 10 %')
    else:
        print(f"{name:24} {machine:6} simulated {r['cycles']:>11,} predicted {r['predicted_cycles']:>11,} "
              f"{100 * (ratio - 1):+6.2f} %   groups within 10 %: {good} of {len(judged)}", flush=True)
        for x, g in off[:o.worst]:
            print(f"    {100 * x:5.1f} %  {g['cycles']:>9,} -> {g['predicted_cycles']:>9,}  {g['op']}  {g['node'][:50]}")
    return abs(ratio - 1), good, len(judged)


def estimated(o, name, machine):
    """Estimate over forecast, of groups with tiles."""
    r = ask(o, "explain", name, machine)
    groups = [(g["cost"]["cycles"], g["predicted_cycles"]) for g in r["groups"] if g.get("cost") and g["predicted_cycles"]] if r else []
    total = sum(p for _, p in groups)
    if not total:
        return None
    ratio = sum(e for e, _ in groups) / total
    judged = [abs(e / p - 1) for e, p in groups if p >= SMALL * total]
    good = sum(x <= GROUP_LIMIT for x in judged)
    if o.csv:
        print(f'"{name}, estimated over predicted",{machine},{o.strategy},{ratio:.4f},ratio,'
              f'tests/bench/cost_model.py --estimate; {good} of {len(judged)} groups of 1 % and more within 10 %', flush=True)
    else:
        print(f"{name:24} {machine:6} estimated {100 * (ratio - 1):+6.2f} %   groups within 10 %: {good} of {len(judged)}", flush=True)
    return ratio, good, len(judged)


def main():
    o = arguments()
    if not os.path.isdir(o.models):
        print("skipped: no models (XGC_MODELS)")
        return 0
    rows = []
    for name in o.only.split(","):
        for machine in o.machines.split(","):
            if o.estimate:
                rows.append(estimated(o, name, machine))
                continue
            r = ask(o, "report", name, machine)
            if r and r.get("predicted_cycles"):
                rows.append(judge(o, name, machine, r))
    if o.estimate:
        rows = [x for x in rows if x]
        if rows and not o.csv:
            print(f"{len(rows)} programs, on average off by {100 * sum(abs(x[0] - 1) for x in rows) / len(rows):.1f} %; "
                  f"{sum(x[1] for x in rows)} of {sum(x[2] for x in rows)} groups within 10 %")
        return 0
    if rows and not o.csv:
        print(f"{len(rows)} programs, the worst off by {100 * max(x[0] for x in rows):.2f} %; "
              f"{sum(x[1] for x in rows)} of {sum(x[2] for x in rows)} groups within 10 %")
    return any(x[0] > MODEL_LIMIT for x in rows)


if __name__ == "__main__":
    sys.exit(main())
