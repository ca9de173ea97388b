// Compares xgc's interpreter, under profile ort, with ONNX Runtime: every element of every integer tensor.
//
//   node oracle.mjs --tool DUMP_TENSORS [--ort FOLDER] [--opt all|disabled] [--nets FIRST:COUNT] [--family FIRST:COUNT]
//                   [--keep FOLDER] [MODEL ...]
//
// DUMP_TENSORS is the program of the same name that the build makes. FOLDER is where `npm install onnxruntime-node` was
// done (default: environment ORT, else the current folder). A MODEL is an ONNX file, or a folder with a manifest.json,
// whose models of stage 1 are taken. --nets compares random networks. --family compares random models of
// qlinear_models.py twice: xgc's own graph, every tensor; and the model as it was handed in, every output.
// Exit 1 when anything differs.
import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import url from 'node:url';

function parse(argv) {
  const o = { tool: '', ort: process.env.ORT || '.', opt: 'all', nets: '', family: '', keep: '', models: [] };
  for (let i = 0; i < argv.length; i++) {
    if (!argv[i].startsWith('--')) o.models.push(argv[i]);
    else if (argv[i].slice(2) in o && i + 1 < argv.length) o[argv[i].slice(2)] = argv[++i];
    else usage(`unknown option ${argv[i]}`);
  }
  return o;
}

function usage(why) {
  console.error(`oracle: ${why}\nusage: oracle.mjs --tool DUMP_TENSORS [--ort FOLDER] [--opt all|disabled] [--nets FIRST:COUNT] [--family FIRST:COUNT] [--keep FOLDER] [MODEL ...]`);
  process.exit(2);
}

const kinds = {
  '|i1': ['int8', Int8Array], '|u1': ['uint8', Uint8Array], '<f4': ['float32', Float32Array],
  '<i2': ['int16', Int16Array], '<i4': ['int32', Int32Array], '<i8': ['int64', BigInt64Array], '|b1': ['bool', Uint8Array],
};

// NumPy's format, versions 1 to 3, C order: magic, header length, header, data.
function readNpy(file) {
  const b = fs.readFileSync(file);
  const wide = b[6] > 1;
  const at = wide ? 12 : 10, n = wide ? b.readUInt32LE(8) : b.readUInt16LE(8);
  const header = b.toString('latin1', at, at + n);
  const descr = /'descr': *'([^']+)'/.exec(header)[1];
  if (!kinds[descr] || /'fortran_order': *True/.test(header)) throw new Error(`${file}: ${header}`);
  const dims = /'shape': *\(([^)]*)\)/.exec(header)[1].split(',').filter((s) => s.trim()).map(Number);
  const bytes = b.buffer.slice(b.byteOffset + at + n, b.byteOffset + b.length);
  return { type: kinds[descr][0], dims, data: new kinds[descr][1](bytes) };
}

// A model's name from its path: the folder's when the file has a generic name.
function label(file) {
  const base = path.basename(file, '.onnx');
  return base === 'model' ? path.basename(path.dirname(file)) : base;
}

function modelFiles(args) {
  const files = [];
  for (const m of args) {
    if (!fs.statSync(m).isDirectory()) { files.push([label(m), m]); continue; }
    const manifest = JSON.parse(fs.readFileSync(path.join(m, 'manifest.json')));
    for (const row of manifest.models || manifest) {
      if (row.stage !== 1) continue;
      const folder = path.join(m, row.name);
      const onnx = fs.readdirSync(folder).filter((f) => f.endsWith('.onnx'));
      for (const f of onnx) files.push([row.name, path.join(folder, f)]);
    }
  }
  return files;
}

function compare(want, got, found) {
  const same = want.data.length === got.data.length && want.dims.join() === got.dims.join();
  if (!same) { found.first ??= `${found.name}: shape [${got.dims}], expected [${want.dims}]`; return want.data.length; }
  let differences = 0;
  for (let i = 0; i < want.data.length; i++) {
    if (want.data[i] === got.data[i]) continue;
    found.first ??= `${found.name} (${found.op})[${i}]: xgc ${want.data[i]}, ONNX Runtime ${got.data[i]}`;
    differences++;
  }
  return differences;
}

// The model itself, as ONNX Runtime runs it: each output of each run against what xgc computed for it.
async function checkOutputs(ort, options, file, folder) {
  const index = JSON.parse(fs.readFileSync(path.join(folder, 'index.json')));
  const session = await ort.InferenceSession.create(file, options);
  const sum = { tensors: 0, elements: 0, differences: 0, refused: 0, first: undefined };
  for (const run of index.runs) {
    const results = await session.run(readFeeds(ort, folder, run));
    sum.tensors = run.outputs.length;
    for (const t of run.outputs) {
      const want = readNpy(path.join(folder, t.file)), found = { name: t.name, op: t.op };
      sum.elements += want.data.length;
      sum.differences += compare(want, results[t.name], found);
      if (found.first) sum.first ??= `${run.kind} ${found.first}`;
    }
  }
  await session.release();
  return sum;
}

function readFeeds(ort, folder, run) {
  const feeds = {};
  for (const x of run.inputs) {
    const v = readNpy(path.join(folder, x.file));
    feeds[x.name] = new ort.Tensor(v.type, v.data, v.dims);
  }
  return feeds;
}

async function check(ort, options, folder) {
  const index = JSON.parse(fs.readFileSync(path.join(folder, 'index.json')));
  const session = await ort.InferenceSession.create(path.join(folder, index.model), options);
  const sum = { tensors: 0, elements: 0, differences: 0, refused: 0, first: undefined };
  for (const run of index.runs) {
    const results = await session.run(readFeeds(ort, folder, run));
    sum.tensors = run.tensors.length;
    for (const t of run.tensors) {
      const want = readNpy(path.join(folder, t.file)), found = { name: t.name, op: t.op };
      sum.elements += want.data.length;
      sum.differences += compare(want, results[t.name], found);
      if (found.first) sum.first ??= `${run.kind} ${found.first}`;
    }
  }
  await session.release();
  return sum;
}

function row(name, r, width = 34) {
  console.log(`${name.padEnd(width)} ${String(r.tensors).padStart(7)} ${String(r.elements).padStart(12)} ${String(r.differences).padStart(11)}${r.first ? '  ' + r.first : ''}`);
}

async function one(ort, o, options, name, args, quiet) {
  const folder = o.keep ? path.join(o.keep, name) : fs.mkdtempSync(path.join(os.tmpdir(), 'xgc-oracle-'));
  fs.mkdirSync(folder, { recursive: true });
  let r;
  try {
    execFileSync(o.tool, [folder, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
    r = await check(ort, options, folder);
  } catch (e) {
    const why = String(e.stderr || e.message).trim().split('\n')[0];
    const refused = quiet && why.startsWith('UNSUPPORTED'); // a random network may hold what has no ONNX form
    r = { tensors: 0, elements: 0, differences: refused ? 0 : 1, refused: refused ? 1 : 0, first: why };
  }
  if (!quiet || r.differences) row(name, r);
  if (!o.keep) fs.rmSync(folder, { recursive: true });
  return r;
}

const nothing = () => ({ models: 0, tensors: 0, elements: 0, differences: 0, refused: 0, first: undefined });
function addTo(sum, r, name) {
  for (const k of ['tensors', 'elements', 'differences', 'refused']) sum[k] += r[k];
  sum.models++;
  if (r.first) sum.first ??= `${name}: ${r.first}`;
}

// Random models of qlinear_models.py, in batches; prints rows by spelling, type and operator.
async function family(ort, o, options, [first, count]) {
  const script = path.join(path.dirname(url.fileURLToPath(import.meta.url)), 'qlinear_models.py');
  const rows = new Map(), refusals = new Map();
  const at = (k) => { if (!rows.has(k)) rows.set(k, nothing()); return rows.get(k); };
  for (let from = first; from < first + count; from += 250) {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'xgc-family-'));
    execFileSync('/usr/bin/python3', [script, folder, String(from), String(Math.min(250, first + count - from))]);
    for (const m of JSON.parse(fs.readFileSync(path.join(folder, 'models.json')))) {
      const dump = path.join(folder, m.file + '.dump'), kind = `${m.spelling} ${m.type}`;
      fs.mkdirSync(dump);
      try {
        execFileSync(o.tool, [dump, path.join(folder, m.file), 'random:1', 'min:0', 'max:0'], { stdio: ['ignore', 'ignore', 'pipe'] });
      } catch (e) {
        const why = String(e.stderr).trim().split('\n')[0].replace(/^([A-Z]+): [^:]*: /, '$1: ').replace(/-?[\d.]+(e[-+]\d+)?/g, 'N');
        if (!refusals.has(why)) refusals.set(why, [0, m.file]);
        refusals.get(why)[0]++;
        at(`${kind}: own graph, every tensor`).refused++;
        continue;
      }
      let own, outer;
      try {
        own = await check(ort, options, dump);
        outer = await checkOutputs(ort, options, path.join(folder, m.reference), dump);
      } catch (e) {
        const why = 'ONNX Runtime: ' + String(e.message).split('\n')[0].replace(/'[^']*'/g, 'X').replace(/-?[\d.]+/g, 'N');
        if (!refusals.has(why)) refusals.set(why, [0, m.file]);
        refusals.get(why)[0]++;
        at(`${kind}: own graph, every tensor`).refused++;
        continue;
      }
      addTo(at(`${kind}: own graph, every tensor`), own, m.file);
      addTo(at(`${kind}: as handed in${m.shift ? ', u8 zero point in binary32' : ''}`), outer, m.file);
      for (const op of m.ops) addTo(at(`  models with ${op}`), own, m.file);
    }
    fs.rmSync(folder, { recursive: true });
  }
  const sum = nothing();
  for (const [name, r] of [...rows].sort()) {
    row(`${name} (${r.models})`, r, 62);
    if (!name.startsWith('  ') && !name.includes('binary32')) addTo(sum, r, name);
  }
  for (const [why, [n, example]] of [...refusals].sort()) console.log(`  not run: ${n} (${example}): ${why}`);
  return sum;
}

function cpuFlags() {
  const text = fs.existsSync('/proc/cpuinfo') ? fs.readFileSync('/proc/cpuinfo', 'utf8') : '';
  const flags = (/^(?:flags|Features)\s*: (.*)$/m.exec(text) || [, ''])[1].split(' ');
  return flags.filter((f) => /^(sse4_1|avx|avx2|fma|avx512f|avx512_vnni|avx_vnni|amx_int8|asimd|asimddp)$/.test(f)).join(' ');
}

const o = parse(process.argv.slice(2));
if (!o.tool) usage('--tool is missing');
const require = createRequire(path.join(path.resolve(o.ort), 'package.json'));
const ort = require('onnxruntime-node');
const version = require('onnxruntime-node/package.json').version;
const options = { graphOptimizationLevel: o.opt, intraOpNumThreads: 1, logSeverityLevel: 3 };
console.log(`ONNX Runtime ${version}, optimisation ${o.opt}, CPU: ${cpuFlags()}`);
console.log(`${'model'.padEnd(34)} tensors     elements differences`);
const total = { tensors: 0, elements: 0, differences: 0, refused: 0 };
const add = (r) => { for (const k in total) total[k] += r[k]; };
for (const [name, file] of modelFiles(o.models)) add(await one(ort, o, options, name, [file], false));
if (o.nets) {
  const [first, count] = o.nets.split(':').map(Number), sum = { tensors: 0, elements: 0, differences: 0, refused: 0 };
  for (let i = first; i < first + count; i++) {
    const r = await one(ort, o, options, `net${i}`, ['--net', String(i)], true);
    for (const k in sum) sum[k] += r[k];
  }
  row(`${count} random networks, ${sum.refused} refused`, sum);
  add(sum);
}
if (o.family) add(await family(ort, o, options, o.family.split(':').map(Number)));
row('total', total);
process.exit(total.differences ? 1 : 0);
