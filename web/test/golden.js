// In the page: golden models through the package, and every shader through the browser's own compiler.
import init, { Engine } from "/pkg/polysketch.js"

const get = async (url) => {
  const response = await fetch(url)
  if (!response.ok) throw new Error(`${url}: ${response.status}`)
  return new Uint8Array(await response.arrayBuffer())
}

/** The tensors of a safetensors file whose types occur in golden files, by name. */
export function readTensors(file) {
  const length = Number(new DataView(file.buffer).getBigUint64(0, true))
  const header = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + length)))
  const types = { I32: Int32Array, F32: Float32Array, F64: Float64Array }
  const tensor = ({ dtype, shape, data_offsets: [from, to] }) => ({
    shape,
    data: new types[dtype](file.slice(8 + length + from, 8 + length + to).buffer),
  })
  return Object.fromEntries(
    Object.entries(header)
      .filter(([, t]) => t.dtype in types)
      .map(([name, t]) => [name, tensor(t)]),
  )
}

/** Largest difference over the largest magnitude of the reference (SPEC §5). */
export function relativeError(got, want) {
  if (got.length !== want.length) return Infinity
  let [difference, largest] = [0, 0]
  for (let i = 0; i < want.length; i++) {
    const d = Math.abs(got[i] - want[i])
    difference = Math.max(difference, Number.isFinite(d) ? d : Infinity)
    largest = Math.max(largest, Math.abs(want[i]))
  }
  return difference / largest
}

/** Runs every sequence of a golden model. */
async function golden(engine, name) {
  const at = (file) => `/golden/${name}/${file}`
  const stages = new Set()
  const model = await engine.loadModel(
    { config: at("config.json"), weights: at("model.safetensors") },
    (p) => p.done === p.total && stages.add(p.stage),
    { cache: false },
  )
  const { tokens, logits } = readTensors(await get(at("golden.safetensors")))
  const [batch, n] = tokens.shape
  const rows = logits.data.length / batch
  const errors = []
  for (let b = 0; b < batch; b++) {
    const got = await model.logits(tokens.data.slice(b * n, (b + 1) * n))
    errors.push(relativeError(got, logits.data.subarray(b * rows, (b + 1) * rows)))
  }
  const refused = await model
    .logits(new Int32Array([0, rows / n]))
    .catch((error) => ({ name: error.name, advice: error.advice }))
  return { name, error: Math.max(...errors), stages: [...stages], refused }
}

/** Golden models on a backend; without a worker, what reaches the GPU can be counted here. */
export async function run({ backend, worker, models }) {
  const pass = globalThis.GPUComputePassEncoder?.prototype
  let dispatches = 0
  if (pass) {
    const dispatch = pass.dispatchWorkgroups
    pass.dispatchWorkgroups = function (...sizes) {
      dispatches++
      return dispatch.apply(this, sizes)
    }
  }
  await init({ worker })
  const engine = await Engine.create({ backend })
  const results = []
  for (const name of models) results.push(await golden(engine, name))
  const { info } = engine
  engine.close()
  return { info, results, dispatches }
}

// What naga lets pass and a browser must not: a barrier that not every invocation reaches.
const DIVERGENT = `
@compute @workgroup_size(64) fn main(@builtin(local_invocation_index) i: u32) {
  if i < 32u { workgroupBarrier(); }
}`

/** The floor (SPEC §6), asked for by name. */
const FLOOR = {
  maxStorageBufferBindingSize: 128 << 20,
  maxBufferSize: 256 << 20,
  maxStorageBuffersPerShaderStage: 8,
  maxComputeWorkgroupStorageSize: 16384,
  maxComputeInvocationsPerWorkgroup: 256,
  maxComputeWorkgroupSizeX: 256,
  maxComputeWorkgroupsPerDimension: 65535,
}

/**
 * Passes every shader permutation to the browser's own WGSL compiler, which is stricter than naga, on a
 * device with the floor's limits.
 */
export async function compileShaders() {
  const { default: start, shaders } = await import("/generated/wasm/polysketch.js")
  await start()
  const adapter = await navigator.gpu.requestAdapter()
  const device = await adapter.requestDevice({ requiredLimits: FLOOR })
  const messages = async (name, code) => {
    const info = await device.createShaderModule({ label: name, code }).getCompilationInfo()
    const line = (n) => code.split("\n")[n - 1]?.trim()
    return info.messages
      .filter((m) => m.type !== "info")
      .map((m) => `${name}:${m.lineNum}: ${m.type}: ${m.message} | ${line(m.lineNum)}`)
  }
  const all = shaders()
  const errors = []
  for (const { name, source } of all) errors.push(...(await messages(name, source)))
  device.pushErrorScope("validation")
  const refused =
    (await messages("divergent", DIVERGENT)).length > 0 && (await device.popErrorScope()) !== null
  device.destroy()
  return { compiled: all.length, errors, refused }
}
