// Golden logits through the package on every backend of a browser, and every shader through the browser's own
// compiler.
import assert from "node:assert/strict"
import { readdir } from "node:fs/promises"
import { golden, launch, open, serveAll, Tests } from "./harness.mjs"

/** SPEC §5: largest difference over the largest logit. */
const TOLERANCE = 5e-5

const models = (await readdir(golden)).filter((name) => !name.startsWith(".")).sort()
const tests = new Tests()
const { address, close } = await serveAll()
const browser = await launch()

async function run(options) {
  const { page, complaints } = await open(browser, `${address}/test/blank.html`)
  const result = await page.evaluate(
    async (options) => (await import("/test/golden.js")).run(options),
    options,
  )
  await page.close()
  assert.deepEqual(complaints, [], "the console has complaints")
  assert.deepEqual(
    result.results.map((r) => r.name),
    options.models,
  )
  for (const { name, error, stages, refused } of result.results) {
    assert.ok(
      error <= TOLERANCE,
      `${name}: logits are off by ${error} of the largest, ${TOLERANCE} is allowed`,
    )
    assert.ok(stages.includes("download") && stages.includes("upload"), `${name}: progress came to ${stages}`)
    assert.ok(
      refused.name === "InputError" && refused.advice,
      `${name}: an id beyond the vocabulary gave ${JSON.stringify(refused)}`,
    )
  }
  const worst = result.results.reduce((a, b) => (a.error > b.error ? a : b))
  return {
    ...result,
    note: `${options.models.length} models, largest error ${worst.error.toExponential(1)} (${worst.name})`,
  }
}

await tests.run("golden logits on WebGPU", async () => {
  const { info, dispatches, note } = await run({ backend: "gpu", worker: false, models })
  assert.equal(info.backend, "webgpu")
  assert.ok(dispatches > models.length, "nothing was dispatched to the GPU")
  return `${info.adapter} (${info.kind}), ${dispatches} dispatches, ${note}`
})
await tests.run("golden logits on WebGPU in a worker", async () => {
  const { info, note } = await run({ backend: "gpu", worker: true, models: models.slice(0, 2) })
  assert.equal(info.backend, "webgpu")
  return note
})
await tests.run("golden logits on the CPU in a worker", async () => {
  const { info, note } = await run({ backend: "cpu", worker: true, models })
  assert.equal(info.backend, "cpu")
  return note
})
await tests.run("every shader in the browser's compiler", async () => {
  const { page } = await open(browser, `${address}/test/blank.html`)
  const { compiled, errors, refused } = await page.evaluate(async () =>
    (await import("/test/golden.js")).compileShaders(),
  )
  await page.close()
  assert.ok(compiled > 50, "shader permutations are missing")
  assert.ok(refused, "the browser's compiler accepts a divergent barrier: it checks nothing")
  assert.deepEqual(errors, [], `the browser refuses shaders:\n${errors.join("\n")}`)
  return `${compiled} shaders`
})

await browser.close()
close()
tests.report()
