// Runs golden models in the browser and puts what came out into the page, as JSON.
import init, { Engine, shaders } from "../pkg/polysketch.js"

const get = async (url) => {
  const response = await fetch(url)
  if (!response.ok) throw new Error(`${url}: ${response.status}`)
  return response
}
const bytes = async (url) => new Uint8Array(await (await get(url)).arrayBuffer())

/** The tensors of a safetensors file whose types occur in golden files, by name. */
function readTensors(file) {
  const length = Number(new DataView(file.buffer).getBigUint64(0, true))
  const header = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + length)))
  const types = { I32: Int32Array, F32: Float32Array, F64: Float64Array }
  const tensor = ({ dtype, shape, data_offsets: [from, to] }) => ({ shape, data: new types[dtype](file.slice(8 + length + from, 8 + length + to).buffer) })
  return Object.fromEntries(Object.entries(header).filter(([, t]) => t.dtype in types).map(([name, t]) => [name, tensor(t)]))
}

/** Largest difference over the largest magnitude of the reference (SPEC §5). */
function relativeError(got, want) {
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
  const [config, weights, file] = await Promise.all(["config.json", "model.safetensors", "golden.safetensors"].map((f) => bytes(`../golden/${name}/${f}`)))
  const calls = []
  const model = await engine.loadModel({ config, weights }, (done, total) => calls.push(done / total))
  const { tokens, logits } = readTensors(file)
  const [batch, n] = tokens.shape
  const rows = logits.data.length / batch
  const started = performance.now()
  const errors = []
  for (let b = 0; b < batch; b++) {
    const got = await model.logits(tokens.data.slice(b * n, (b + 1) * n))
    errors.push(relativeError(got, logits.data.subarray(b * rows, (b + 1) * rows)))
  }
  const vocabulary = rows / n
  const refused = await caught(() => model.logits(new Int32Array([0, vocabulary])))
  return { name, error: Math.max(...errors), errors, tokens: batch * n, seconds: (performance.now() - started) / 1000, progress: calls.at(-1), refused }
}

/** The error a call ends in, as plain data; nothing if it succeeds. */
async function caught(call) {
  try {
    await call()
  } catch (error) {
    return { isError: error instanceof Error, name: error.name, message: error.message, advice: error.advice }
  }
}

// What naga lets pass and a browser must not: a barrier that not every invocation reaches.
const DIVERGENT = `
@compute @workgroup_size(64) fn main(@builtin(local_invocation_index) i: u32) {
  if i < 32u { workgroupBarrier(); }
}`

/** Passes every shader permutation to the browser's own WGSL compiler, which is stricter than naga. */
async function compileShaders() {
  const device = await (await navigator.gpu.requestAdapter()).requestDevice()
  const messages = async (name, code) => {
    const info = await device.createShaderModule({ label: name, code }).getCompilationInfo()
    const line = (n) => code.split("\n")[n - 1]?.trim()
    return info.messages.filter((m) => m.type !== "info").map((m) => `${name}:${m.lineNum}: ${m.type}: ${m.message} | ${line(m.lineNum)}`)
  }
  const all = shaders()
  const errors = []
  for (const { name, source } of all) errors.push(...(await messages(name, source)))
  device.pushErrorScope("validation")
  const refused = (await messages("divergent", DIVERGENT)).length > 0 && (await device.popErrorScope()) !== null
  device.destroy()
  return { compiled: all.length, errors, refused }
}

/** Counts what reaches the GPU, so that a silent fall-back to the CPU cannot pass. */
function countDispatches() {
  const count = { dispatches: 0 }
  const pass = globalThis.GPUComputePassEncoder?.prototype
  if (pass) {
    const dispatch = pass.dispatchWorkgroups
    pass.dispatchWorkgroups = function (...sizes) {
      count.dispatches++
      return dispatch.apply(this, sizes)
    }
  }
  return count
}

async function run() {
  const query = new URLSearchParams(location.search)
  await init()
  const count = countDispatches()
  const engine = await Engine.create({ backend: query.get("backend") ?? "auto" })
  const result = { info: engine.info, models: [] }
  if (query.has("shaders")) result.shaders = await compileShaders()
  for (const name of query.get("models")?.split(",") ?? ["default-gated"]) result.models.push(await golden(engine, name))
  result.damaged = await caught(() => engine.loadModel({ config: "{}", weights: new Uint8Array(4) }))
  result.dispatches = count.dispatches
  return result
}

const show = (result) => {
  document.getElementById("result").textContent = JSON.stringify(result, null, 1)
  // For whoever drives the page.
  globalThis.outcome = result
}
run().then(show, (error) => show({ failed: { name: error.name, message: error.message, advice: error.advice, stack: error.stack } }))
