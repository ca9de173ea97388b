// Models that others have quantised, beside what xgc makes of their float twins. ONNX Runtime executes all three on the
// same inputs: cosine and SQNR of the outputs against the float model, and accuracy where there are labels.
//
//   node twins.mjs --xgc XGC --models MODELS --data FOLDER [--ort FOLDER] [--work FOLDER]
//
// MODELS as for quantiser.sh; the data folder is what quantiser_data.py writes. Prints one CSV row a model.
import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const o = { xgc: 'build/xgc', models: process.env.XGC_MODELS || '', data: '', ort: process.env.ORT_MODULES || '.', work: '' };
for (let i = 2; i + 1 < process.argv.length; i += 2) o[process.argv[i].slice(2)] = process.argv[i + 1];
if (!fs.existsSync(o.models) || !fs.existsSync(o.data)) {
  console.log('skipped: no models (--models) or no data (--data)');
  process.exit(0);
}
const require = createRequire(path.join(path.resolve(o.ort), 'package.json'));
const ort = require('onnxruntime-node');
const work = o.work || fs.mkdtempSync(path.join(os.tmpdir(), 'twins-'));

// Float model, its twins by others, inputs of the comparison, of the calibration, labels.
const pairs = [
  ['tfl_mlperf_ic_f32', ['tfl_mlperf_ic_int8'], 'cifar.npy', 'cifar.npy', 'cifar_labels.npy'],
  ['tfl_mlperf_kws_f32', ['tfl_mlperf_kws_int8'], 'kws.npy', 'kws64.npy', 'kws_labels.npy'],
  ['tfl_mlperf_vww_f32', ['tfl_mlperf_vww_int8'], 'vww.npy', 'vww.npy', ''],
  ['tfl_mlperf_ad_f32', ['tfl_mlperf_ad_int8'], 'ad.npy', 'ad.npy', ''],
  ['micro_kws_m_fp32', ['micro_kws_m_qdq', 'micro_kws_m_qop'], 'micro_kws.npy', 'micro_kws.npy', ''],
];

const kinds = { '<f4': Float32Array, '<i8': BigInt64Array, '|u1': Uint8Array };

function readNpy(name) {
  const b = fs.readFileSync(path.join(o.data, name)), start = 10 + b.readUInt16LE(8);
  const header = b.toString('latin1', 10, start);
  const dims = /'shape': *\(([^)]*)\)/.exec(header)[1].split(',').filter((s) => s.trim()).map(Number);
  const kind = kinds[/'descr': *'([^']+)'/.exec(header)[1]];
  return { dims, data: new kind(b.buffer.slice(b.byteOffset + start, b.byteOffset + b.length)) };
}

function modelFile(name) {
  const dir = path.join(o.models, name);
  return path.join(dir, fs.readdirSync(dir).find((f) => f.endsWith('.onnx')));
}

// All outputs for all sets, one after another.
async function run(file, x) {
  const s = await ort.InferenceSession.create(file, { intraOpNumThreads: 1, logSeverityLevel: 3 });
  const m = s.inputMetadata[0], shape = m.shape.map((v) => (typeof v === 'number' && v > 0 ? v : 1));
  const each = shape.reduce((a, b) => a * b, 1), out = [];
  for (let at = 0; at < x.data.length; at += each) {
    const r = await s.run({ [m.name]: new ort.Tensor('float32', x.data.slice(at, at + each), shape) });
    out.push(Float32Array.from(r[s.outputNames[0]].data));
  }
  return out;
}

function compare(a, b) {
  let aa = 0, bb = 0, ab = 0, dd = 0;
  a.forEach((v, i) => v.forEach((p, k) => {
    const q = b[i][k];
    aa += p * p; bb += q * q; ab += p * q; dd += (p - q) * (p - q);
  }));
  return [(ab / Math.sqrt(aa * bb)).toFixed(5), (10 * Math.log10(aa / dd)).toFixed(1)];
}

function accuracy(out, labels) {
  if (!labels) return '-';
  let right = 0;
  out.forEach((v, i) => { right += v.indexOf(Math.max(...v)) === Number(labels.data[i]); });
  return (100 * right / out.length).toFixed(1);
}

console.log('model,quantised by,cosine,sqnr_db,accuracy');
for (const [name, theirs, inputs, calib, labelFile] of pairs) {
  const x = readNpy(inputs), labels = labelFile && readNpy(labelFile);
  const real = await run(modelFile(name), x);
  console.log([name, 'nobody (float)', '-', '-', accuracy(real, labels)].join());
  for (const twin of theirs) {
    const out = await run(modelFile(twin), x);
    console.log([name, twin, ...compare(real, out), accuracy(out, labels)].join());
  }
  const own = path.join(work, `${name}.onnx`);
  execFileSync(o.xgc, ['quantize', modelFile(name), '--calib', path.join(o.data, calib), '--activations', 'uint8', '-q', '-o', own]);
  const out = await run(own, x);
  console.log([name, 'xgc', ...compare(real, out), accuracy(out, labels)].join());
}
if (!o.work) fs.rmSync(work, { recursive: true });
