// ONNX Runtime as a process that another program talks to: one JSON object a line in, one a line out.
//
//   {"load": PATH, "optimise": "disabled"|"basic"|"all"}  ->  {"inputs": [..], "outputs": [..]}
//   {"run": [{"name", "type", "dims", "file"}], "to": FOLDER, "want": [NAMES]}
//       files hold dense little-endian elements  ->  {"outputs": [{"name", "type", "dims", "file"}]}
//   an error  ->  {"error": TEXT}
//
// ORT_MODULES names the folder where `npm install onnxruntime-node` was done.
import { createRequire } from 'node:module';
import fs from 'node:fs';
import path from 'node:path';
import readline from 'node:readline';

const require = createRequire(path.join(path.resolve(process.env.ORT_MODULES || '.'), 'package.json'));
const ort = require('onnxruntime-node');
const arrays = {
  float32: Float32Array, float64: Float64Array, int8: Int8Array, uint8: Uint8Array, int16: Int16Array, uint16: Uint16Array,
  int32: Int32Array, uint32: Uint32Array, int64: BigInt64Array, uint64: BigUint64Array, bool: Uint8Array,
};
let session = null;

async function load(k) {
  if (session) await session.release();
  session = await ort.InferenceSession.create(k.load, {
    intraOpNumThreads: 1, interOpNumThreads: 1, logSeverityLevel: 3, graphOptimizationLevel: k.optimise || 'all',
  });
  return { inputs: session.inputNames, outputs: session.outputNames };
}

async function run(k) {
  const feeds = {};
  for (const t of k.run) {
    const b = fs.readFileSync(t.file);
    feeds[t.name] = new ort.Tensor(t.type, new arrays[t.type](b.buffer.slice(b.byteOffset, b.byteOffset + b.length)), t.dims);
  }
  const result = await session.run(feeds, k.want && k.want.length ? k.want : session.outputNames);
  const outputs = Object.entries(result).map(([name, t], i) => {
    const file = path.join(k.to, `out${i}.raw`);
    fs.writeFileSync(file, Buffer.from(t.data.buffer, t.data.byteOffset, t.data.byteLength));
    return { name, type: t.type, dims: t.dims, file };
  });
  return { outputs };
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  let answer;
  try {
    const k = JSON.parse(line);
    answer = 'load' in k ? await load(k) : await run(k);
  } catch (e) {
    answer = { error: String(e.message || e).slice(0, 400) };
  }
  process.stdout.write(JSON.stringify(answer) + '\n');
}
