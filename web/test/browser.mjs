// Drives a headless Chromium through test/index.html: golden logits on WebGPU and on the CPU, and every shader through the
// browser's own compiler. Usage: node test/browser.mjs; CHROMIUM=… names another browser.
import assert from "node:assert/strict"
import { readdir, readFile } from "node:fs/promises"
import { createServer } from "node:http"
import { extname, join, normalize } from "node:path"
import { fileURLToPath } from "node:url"
import { chromium } from "playwright-core"

const web = fileURLToPath(new URL("..", import.meta.url))
const golden = join(web, "../tests/golden")
const models = (await readdir(golden)).filter((name) => !name.startsWith(".")).sort()

/** SPEC §5: largest difference over the largest logit. */
const TOLERANCE = 5e-5
const MINUTES = 60_000

const types = { ".html": "text/html", ".js": "text/javascript", ".json": "application/json", ".wasm": "application/wasm" }

/** Serves this folder, and the golden models under /golden/, on a port of the system's choice. */
async function serve() {
  const server = createServer(async (request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, "http://localhost").pathname))
    const file = path.startsWith("/golden/") ? join(golden, path.slice("/golden".length)) : join(web, path)
    try {
      const body = await readFile(file)
      response.writeHead(200, { "content-type": types[extname(file)] ?? "application/octet-stream" }).end(body)
    } catch {
      response.writeHead(404).end()
    }
  })
  await new Promise((resolve) => server.listen(0, "localhost", resolve))
  return server
}

/** What the page says, and everything its console complained about. */
async function visit(browser, query, prepare) {
  const page = await browser.newPage()
  const complaints = []
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && complaints.push(message.text()))
  page.on("pageerror", (error) => complaints.push(String(error)))
  if (prepare) await page.addInitScript(prepare)
  await page.goto(`${address}/test/index.html?${query}`)
  const result = await (await page.waitForFunction(() => globalThis.outcome, undefined, { timeout: 5 * MINUTES })).jsonValue()
  await page.close()
  assert.ok(!result.failed, JSON.stringify(result.failed))
  return { ...result, complaints }
}

let failed = 0
async function test(name, body) {
  const started = Date.now()
  try {
    const note = await body()
    console.log(`ok   ${name} (${((Date.now() - started) / 1000).toFixed(1)} s)${note ? `: ${note}` : ""}`)
  } catch (error) {
    failed++
    console.log(`FAIL ${name}: ${error.message}`)
  }
}

function checkGolden(result, names) {
  assert.deepEqual(result.models.map((m) => m.name), names)
  for (const { name, error, progress, refused } of result.models) {
    assert.ok(error <= TOLERANCE, `${name}: logits are off by ${error} of the largest, ${TOLERANCE} is allowed`)
    assert.equal(progress, 1, `${name}: progress`)
    assert.ok(refused?.isError && refused.name === "Input" && refused.advice, `${name}: an id beyond the vocabulary gave ${JSON.stringify(refused)}`)
  }
  assert.ok(result.damaged?.isError && result.damaged.name === "Config" && result.damaged.advice, JSON.stringify(result.damaged))
  assert.deepEqual(result.complaints, [], "the console has complaints")
  const worst = result.models.reduce((a, b) => (a.error > b.error ? a : b))
  return `${names.length} models, largest error ${worst.error.toExponential(1)} (${worst.name})`
}

const server = await serve()
const address = `http://localhost:${server.address().port}`
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-background-networking", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"],
})
try {
  await test("golden logits and every shader on WebGPU", async () => {
    const result = await visit(browser, `backend=gpu&shaders=1&models=${models}`)
    console.log(`     ${result.info.adapter} (${result.info.backend}, ${result.info.kind}), ${result.dispatches} dispatches`)
    assert.equal(result.info.backend, "webgpu")
    assert.ok(result.dispatches > models.length, "nothing was dispatched to the GPU")
    assert.ok(result.shaders.compiled > 50, "shader permutations are missing")
    assert.ok(result.shaders.refused, "the browser's compiler accepts a divergent barrier: it checks nothing")
    assert.deepEqual(result.shaders.errors, [], `the browser refuses shaders:\n${result.shaders.errors.join("\n")}`)
    return `${checkGolden(result, models)}, ${result.shaders.compiled} shaders`
  })
  await test("golden logits on the CPU", async () => {
    const result = await visit(browser, `backend=cpu&models=${models}`)
    assert.equal(result.info.backend, "cpu")
    assert.equal(result.dispatches, 0)
    return checkGolden(result, models)
  })
  await test("a browser without WebGPU falls back to the CPU", async () => {
    const hide = () => Object.defineProperty(Navigator.prototype, "gpu", { get: () => undefined })
    const names = models.slice(0, 1)
    const result = await visit(browser, `backend=auto&models=${names}`, hide)
    assert.equal(result.info.backend, "cpu")
    return checkGolden(result, names)
  })
} finally {
  await browser.close()
  server.close()
}
console.log(`browser: ${3 - failed} passed, ${failed} failed`)
process.exitCode = failed ? 1 : 0
