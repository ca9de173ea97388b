// Outputs of whole models, as they stand: the reference interpreter (`xgc run MODEL`) beside ONNX Runtime, on the same random inputs.
//
//   node outputs.mjs --xgc BUILD/xgc --ort FOLDER [--shape MODEL:INPUT=DIMS ...] [--integers MODEL ...] MODEL.onnx|FOLDER ...
//
// MODEL is the name of the model's folder; --integers: its float inputs hold 0..255. ONNX Runtime runs twice, without its graph
// rewriting (QDQ models in float between the steps) and with it (in integers); the closer run counts.
// A FOLDER is searched for .onnx files. FOLDER of --ort is where `npm install onnxruntime-node` was done. Prints a row for every output: cosine
// and the largest difference as a share of the largest value. Status 1 when a float output differs by more than 1e-3 (binary32
// sums in another order; half-precision models 1e-2), an integer one by more than a step.
import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const arg = { models: [], shape: {}, integers: [] };
for (let i = 2; i < process.argv.length; i++) {
  const a = process.argv[i];
  if (a === '--xgc' || a === '--ort') arg[a.slice(2)] = process.argv[++i];
  else if (a === '--integers') arg.integers.push(process.argv[++i]);
  else if (a === '--shape') {
    const [model, input, dims] = process.argv[++i].split(/[:=]/);
    (arg.shape[model] ??= {})[input] = dims.split('x').map(Number);
  } else arg.models.push(a);
}
const require = createRequire(path.join(path.resolve(arg.ort || '.'), 'package.json'));
const ort = require('onnxruntime-node');
const kinds = {
  float32: [Float32Array, '<f4'], int8: [Int8Array, '|i1'], uint8: [Uint8Array, '|u1'], int32: [Int32Array, '<i4'],
  int64: [BigInt64Array, '<i8'], bool: [Uint8Array, '|b1'],
};
const work = fs.mkdtempSync(path.join(os.tmpdir(), 'outputs-'));

function npy(type, dims, data) {
  const text = `{'descr': '${kinds[type][1]}', 'fortran_order': False, 'shape': (${dims.join(', ')}${dims.length === 1 ? ',' : ''}), }`;
  const head = Buffer.from(text.padEnd(Math.ceil((text.length + 11) / 64) * 64 - 11) + '\n');
  const start = Buffer.from([0x93, 78, 85, 77, 80, 89, 1, 0, head.length & 255, head.length >> 8]);
  return Buffer.concat([start, head, Buffer.from(data.buffer, data.byteOffset, data.byteLength)]);
}

function readNpy(file) {
  const b = fs.readFileSync(file), start = 10 + b.readUInt16LE(8), head = b.toString('latin1', 10, start);
  const descr = /'descr': *'([^']*)'/.exec(head)[1];
  const [Type] = Object.values(kinds).find((k) => k[1] === descr);
  return new Type(b.buffer.slice(b.byteOffset + start, b.byteOffset + b.length));
}

let crcTable;
function crc32(b) {
  crcTable ??= Array.from({ length: 256 }, (_, n) => { for (let k = 0; k < 8; k++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1; return n >>> 0; });
  let c = 0xffffffff;
  for (const x of b) c = crcTable[(c ^ x) & 255] ^ (c >>> 8);
  return (c ^ 0xffffffff) >>> 0;
}

// A .npz: zip without compression.
function npz(file, entries) {
  const parts = [], central = [];
  let at = 0;
  for (const [name, data] of entries) {
    const n = Buffer.from(`${name}.npy`), fields = Buffer.alloc(26);
    fields.writeUInt16LE(20, 0);
    fields.writeUInt32LE(crc32(data), 10);
    fields.writeUInt32LE(data.length, 14);
    fields.writeUInt32LE(data.length, 18);
    fields.writeUInt16LE(n.length, 22);
    const tail = Buffer.alloc(14);
    tail.writeUInt32LE(at, 10);
    central.push(Buffer.from('PK\x01\x02\x14\x00', 'latin1'), fields, tail, n);
    const local = Buffer.concat([Buffer.from('PK\x03\x04', 'latin1'), fields, n]);
    parts.push(local, data);
    at += local.length + data.length;
  }
  const middle = Buffer.concat(central), end = Buffer.alloc(22);
  end.write('PK\x05\x06', 0, 'latin1');
  end.writeUInt16LE(entries.length, 8);
  end.writeUInt16LE(entries.length, 10);
  end.writeUInt32LE(middle.length, 12);
  end.writeUInt32LE(at, 16);
  fs.writeFileSync(file, Buffer.concat([...parts, middle, end]));
}

let seed = 1;
function random() { // mulberry32
  seed = (seed + 0x6d2b79f5) | 0;
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
}

function compare(a, b) {
  let dot = 0, aa = 0, bb = 0, most = 0, top = 0;
  for (let i = 0; i < a.length; i++) {
    const x = Number(a[i]), y = Number(b[i]);
    dot += x * y;
    aa += x * x;
    bb += y * y;
    if (!(Math.abs(x - y) <= most)) most = Math.abs(x - y);
    if (Math.abs(y) > top) top = Math.abs(y);
  }
  return { cosine: aa && bb ? dot / Math.sqrt(aa * bb) : aa === bb ? 1 : 0, most, share: most / (top || 1) };
}

function open(model, graphOptimizationLevel) {
  return ort.InferenceSession.create(model, { intraOpNumThreads: 1, interOpNumThreads: 1, logSeverityLevel: 4, graphOptimizationLevel });
}

// A float in [-1, 1) that is a multiple of 1/256, as the bits of a half.
function half(v) {
  if (v === 0) return 0;
  const e = Math.floor(Math.log2(Math.abs(v)));
  return (v < 0 ? 0x8000 : 0) | ((e + 15) << 10) | Math.round((Math.abs(v) / 2 ** e - 1) * 1024);
}

function unhalf(u) {
  const e = (u >> 10) & 31, m = u & 1023, s = u & 0x8000 ? -1 : 1;
  return s * (e === 0 ? m * 2 ** -24 : e === 31 ? (m ? NaN : Infinity) : (1 + m / 1024) * 2 ** (e - 15));
}

function makeInput(type, n, integers) {
  if (type === 'float16') return Float32Array.from({ length: n }, () => Math.floor(random() * 512 - 256) / 256);
  const data = new kinds[type][0](n);
  for (let i = 0; i < n; i++) {
    if (type === 'float32') data[i] = integers ? Math.floor(random() * 256) : random() * 2 - 1;
    else if (type === 'int64') data[i] = BigInt(Math.floor(random() * 2));
    else data[i] = Math.floor(random() * 256) - (type === 'int8' ? 128 : 0);
  }
  return data;
}

async function one(model) {
  const name = path.basename(path.dirname(model)) + '/' + path.basename(model), key = path.basename(path.dirname(model));
  let session, rewritten;
  try {
    session = await open(model, 'disabled');
    rewritten = await open(model, 'all');
  } catch (e) {
    console.log(`${name}: ONNX Runtime refuses it: ${String(e.message).split('\n')[0].slice(0, 120)}`);
    return true;
  }
  const feeds = {}, entries = [], shapes = [];
  for (const m of session.inputMetadata) {
    const given = arg.shape[key]?.[m.name];
    const dims = given || m.shape.map((d) => (typeof d === 'number' && d > 0 ? d : 1));
    if (dims.some((d, i) => d !== m.shape[i])) shapes.push('--shape', `${m.name}=${dims.join('x')}`);
    if (!kinds[m.type] && m.type !== 'float16') throw new Error(`input of type ${m.type}`);
    const data = makeInput(m.type, dims.reduce((a, b) => a * b, 1), arg.integers.includes(key));
    feeds[m.name] = new ort.Tensor(m.type, m.type === 'float16' ? Uint16Array.from(data, half) : data, dims);
    entries.push([m.name, npy(m.type === 'float16' ? 'float32' : m.type, dims, data)]);
  }
  const inputs = path.join(work, 'inputs.npz'), out = path.join(work, 'out');
  npz(inputs, entries);
  fs.rmSync(out, { recursive: true, force: true });
  try {
    execFileSync(arg.xgc, ['run', model, '--input', inputs, '--output-dir', out, '-q', ...shapes], { stdio: ['ignore', 'ignore', 'pipe'] });
  } catch (e) {
    console.log(`${name}: xgc: ${String(e.stderr).split('\n').slice(0, 3).join(' | ')}`);
    return false;
  }
  const theirs = await session.run(feeds), integers = await rewritten.run(feeds);
  let good = true;
  for (const o of session.outputNames) {
    const file = path.join(out, o.replace(/[^A-Za-z0-9._-]/g, '_').replace(/^\./, '_') + '.npy');
    const ours = readNpy(file), y = theirs[o].data;
    if (ours.length !== y.length) {
      console.log(`${name} ${o}: ${ours.length} elements, ONNX Runtime ${y.length}`);
      good = false;
      continue;
    }
    const float = theirs[o].type.startsWith('float');
    const c = [theirs[o], integers[o]].map((t) => compare(ours, t.type === 'float16' ? Float32Array.from(t.data, unhalf) : t.data)).sort((p, q) => p.share - q.share)[0];
    const fine = float ? c.share <= (theirs[o].type === 'float16' || /16/.test(name) ? 1e-2 : 1e-3) || c.most <= 1e-6 : c.most <= 1;
    good &&= fine;
    console.log(`${fine ? 'ok  ' : 'BAD '} ${name} ${o} ${theirs[o].type} [${theirs[o].dims}] cosine ${c.cosine.toFixed(7)} largest difference ${c.most.toPrecision(3)} (${(c.share * 100).toPrecision(3)} %)`);
  }
  return good;
}

const files = [];
for (const m of arg.models) {
  if (!fs.statSync(m).isDirectory()) { files.push(m); continue; }
  for (const f of fs.readdirSync(m, { recursive: true })) if (f.endsWith('.onnx')) files.push(path.join(m, f));
}
let bad = 0;
for (const f of files.sort()) {
  try {
    if (!(await one(f))) bad++;
  } catch (e) {
    console.log(`${f}: ${String(e.message).slice(0, 200)}`);
    bad++;
  }
}
fs.rmSync(work, { recursive: true, force: true });
console.log(`${files.length} models, ${bad} with differences or refused`);
process.exit(bad ? 1 : 0);
