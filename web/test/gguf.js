// In the page: models in the formats of others, against what is known of them.
import init, { Engine } from "/pkg/polysketch.js"
import { readTensors, relativeError } from "/test/golden.js"

const get = async (url) => {
  const response = await fetch(url)
  if (!response.ok) throw new Error(`${url}: ${response.status}`)
  return new Uint8Array(await response.arrayBuffer())
}

/** The largest error of a model's logits over its golden sequences. */
async function errorOf(model, golden) {
  const { tokens, logits } = readTensors(await get(golden))
  const [batch, n] = tokens.shape
  const rows = logits.data.length / batch
  let worst = 0
  for (let b = 0; b < batch; b++) {
    const got = await model.logits(tokens.data.slice(b * n, (b + 1) * n))
    worst = Math.max(worst, relativeError(got, logits.data.subarray(b * rows, (b + 1) * rows)))
  }
  return worst
}

/** How a model of tests/public is given to the package. */
async function given(name, how) {
  const url = `/public/${name}`
  if (how === "address") return name.endsWith(".gguf") ? { gguf: url } : { folder: url }
  if (how === "files") {
    const names = ["config.json", "model.safetensors", "generation_config.json"]
    const file = async (name) => new File([await get(`${url}/${name}`)], name)
    return { folder: await Promise.all(names.map(file)) }
  }
  const bytes = await get(url)
  if (how === "bytes") return { gguf: bytes }
  return { gguf: new File([bytes], name) }
}

/** Golden logits of models, `[[name, how it is given]]`. */
export async function run({ backend, worker, models }) {
  await init({ worker })
  const engine = await Engine.create({ backend })
  const results = []
  for (const [name, how] of models) {
    const stages = new Set()
    const progress = ({ stage, done, total }) => done === total && stages.add(stage)
    const model = await engine.loadModel(await given(name, how), progress, { cache: false })
    const golden = name.endsWith(".gguf")
      ? name.replace(".gguf", ".golden.safetensors")
      : `${name}/golden.safetensors`
    results.push({ name, error: await errorOf(model, `/public/${golden}`), stages: [...stages] })
    model.close()
  }
  engine.close()
  return { info: engine.info, results }
}
