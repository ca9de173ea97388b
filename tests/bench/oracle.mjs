// Compares xgc's interpreter, under profile ort, with ONNX Runtime: every element of every integer tensor.
//
//   node oracle.mjs --tool DUMP_TENSORS [--ort FOLDER] [--opt all|disabled] [--nets FIRST:COUNT] [--keep FOLDER] [MODEL ...]
//
// DUMP_TENSORS is the program of the same name that the build makes. FOLDER is where `npm install onnxruntime-node` was
// done (default: environment ORT, else the current folder). A MODEL is an ONNX file, or a folder with a manifest.json,
// whose models of stage 1 are taken. --nets compares random networks. Exit 1 when anything differs.
import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

function parse(argv) {
  const o = { tool: '', ort: process.env.ORT || '.', opt: 'all', nets: '', keep: '', models: [] };
  for (let i = 0; i < argv.length; i++) {
    if (!argv[i].startsWith('--')) o.models.push(argv[i]);
    else if (argv[i].slice(2) in o && i + 1 < argv.length) o[argv[i].slice(2)] = argv[++i];
    else usage(`unknown option ${argv[i]}`);
  }
  return o;
}

function usage(why) {
  console.error(`oracle: ${why}\nusage: oracle.mjs --tool DUMP_TENSORS [--ort FOLDER] [--opt all|disabled] [--nets FIRST:COUNT] [--keep FOLDER] [MODEL ...]`);
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

async function check(ort, options, folder) {
  const index = JSON.parse(fs.readFileSync(path.join(folder, 'index.json')));
  const session = await ort.InferenceSession.create(path.join(folder, index.model), options);
  const sum = { tensors: 0, elements: 0, differences: 0, refused: 0, first: undefined };
  for (const run of index.runs) {
    const feeds = {};
    for (const x of run.inputs) {
      const v = readNpy(path.join(folder, x.file));
      feeds[x.name] = new ort.Tensor(v.type, v.data, v.dims);
    }
    const results = await session.run(feeds);
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

function row(name, r) {
  console.log(`${name.padEnd(34)} ${String(r.tensors).padStart(7)} ${String(r.elements).padStart(12)} ${String(r.differences).padStart(11)}${r.first ? '  ' + r.first : ''}`);
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
row('total', total);
process.exit(total.differences ? 1 : 0);
