// ONNX Runtime's side of the speed benchmark: prints one JSON line.
//
//   node ort_run.mjs time MODEL [RUNS]          best and median processor ms of an inference, one thread
//   node ort_run.mjs accuracy MODEL X Y         percent of images of X (.npy, f32) whose largest output is Y's (.npy, i32)
//
// ORT_MODULES names the folder where `npm install onnxruntime-node` was done (default: the current folder).
import { createRequire } from 'node:module';
import fs from 'node:fs';
import path from 'node:path';

const require = createRequire(path.join(path.resolve(process.env.ORT_MODULES || '.'), 'package.json'));
const ort = require('onnxruntime-node');
const options = { intraOpNumThreads: 1, interOpNumThreads: 1, executionMode: 'sequential', logSeverityLevel: 3 };
const arrays = { float32: Float32Array, int8: Int8Array, uint8: Uint8Array };

function readNpy(file, Type) {
  const b = fs.readFileSync(file), start = 10 + b.readUInt16LE(8);
  const dims = /'shape': *\(([^)]*)\)/.exec(b.toString('latin1', 10, start))[1].split(',').filter((s) => s.trim()).map(Number);
  return { dims, data: new Type(b.buffer.slice(b.byteOffset + start, b.byteOffset + b.length)) };
}

function largest(v) {
  let at = 0;
  for (let i = 1; i < v.length; i++) if (v[i] > v[at]) at = i;
  return at;
}

function processorMs() {
  const t = process.cpuUsage();
  return (t.user + t.system) / 1e3;
}

async function time(session, runs) {
  const feeds = {};
  for (const m of session.inputMetadata) {
    const data = new arrays[m.type](m.shape.reduce((a, b) => a * b, 1));
    for (let i = 0; i < data.length; i++) data[i] = (i * 37) % 255 - 127;
    feeds[m.name] = new ort.Tensor(m.type, data, m.shape);
  }
  const ms = [];
  for (let i = -2; i < runs; i++) {
    const start = processorMs();
    await session.run(feeds);
    if (i >= 0) ms.push(processorMs() - start);
  }
  ms.sort((a, b) => a - b);
  return { best_ms: ms[0], median_ms: ms[ms.length >> 1], runs };
}

async function accuracy(session, x, y) {
  const size = x.data.length / x.dims[0];
  let right = 0;
  for (let i = 0; i < x.dims[0]; i++) {
    const image = new ort.Tensor('float32', x.data.slice(i * size, (i + 1) * size), [1, ...x.dims.slice(1)]);
    const result = await session.run({ [session.inputNames[0]]: image });
    right += largest(result[session.outputNames[0]].data) === y.data[i];
  }
  return { images: x.dims[0], percent: (100 * right) / x.dims[0] };
}

const [what, model, ...rest] = process.argv.slice(2);
const session = await ort.InferenceSession.create(model, options);
const result = what === 'time' ? await time(session, Number(rest[0] || 10))
  : await accuracy(session, readNpy(rest[0], Float32Array), readNpy(rest[1], Int32Array));
console.log(JSON.stringify({ version: require('onnxruntime-node/package.json').version, ...result }));
