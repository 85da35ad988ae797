// What the browser tests share: a server, Chromium, pages that remember their complaints, and a count of what
// passed.
import assert from "node:assert/strict"
import { createServer } from "node:http"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { chromium } from "playwright-core"
import { serve } from "../serve.mjs"

const web = fileURLToPath(new URL("..", import.meta.url))
export const golden = join(web, "../tests/golden")
/** Models in the formats of others, with what they compute. */
export const models = join(web, "../tests/public")

/** Chromium with WebGPU on SwiftShader; `webgpu: false` without any. */
export function launch({ webgpu = true } = {}) {
  const gpu = webgpu
    ? ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"]
    : ["--disable-gpu", "--disable-features=WebGPU,WebGPUService"]
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: ["--no-sandbox", "--disable-background-networking", "--disable-component-update", ...gpu],
  })
}

/**
 * Serves the page at /, the package at /pkg/, the golden models at /golden/, those of others at /public/ and
 * these tests at /test/.
 */
export function serveAll(headers) {
  const folders = { "/": "site", "/pkg/": "pkg", "/test/": "test", "/generated/": "generated" }
  const joined = Object.fromEntries(
    Object.entries(folders).map(([prefix, folder]) => [prefix, join(web, folder)]),
  )
  return serve({ ...joined, "/golden/": golden, "/public/": models }, 0, headers)
}

/** A page, and what its console complained about. */
export async function open(browser, url, prepare) {
  const page = await browser.newPage()
  const complaints = []
  page.on(
    "console",
    (message) => ["error", "warning"].includes(message.type()) && complaints.push(message.text()),
  )
  page.on("pageerror", (error) => complaints.push(String(error)))
  if (prepare) await page.addInitScript(prepare)
  await page.goto(url)
  return { page, complaints }
}

/** A server of the test's own on a free port: `answer(request, response)`. */
export async function answering(answer) {
  const server = createServer(answer)
  await new Promise((resolve) => server.listen(0, "localhost", resolve))
  const close = () => {
    server.closeAllConnections()
    server.close()
  }
  return { address: `http://localhost:${server.address().port}`, close }
}

/** Runs a function in a page with the package as its first argument. */
export async function inPage(body, argument, { complain = false, at, url, prepare }) {
  const { page, complaints } = await open(at, url, prepare)
  try {
    const call = `(async (argument) => (${body})(await import("/pkg/polysketch.js"), argument))`
    const result = await page.evaluate(`${call}(${JSON.stringify(argument ?? null)})`)
    if (!complain) assert.deepEqual(complaints, [], "the console has complaints")
    return result
  } finally {
    await page.close()
  }
}

/** Runs tests one after the other and counts them. ONLY=WORDS: those whose name has them. */
export class Tests {
  passed = 0
  failed = 0

  async run(name, body) {
    if (process.env.ONLY && !name.includes(process.env.ONLY)) return
    const started = Date.now()
    try {
      const note = await body()
      this.passed++
      console.log(`ok   ${name} (${((Date.now() - started) / 1000).toFixed(1)} s)${note ? `: ${note}` : ""}`)
    } catch (error) {
      this.failed++
      console.log(`FAIL ${name}: ${error instanceof assert.AssertionError ? error.message : error.stack}`)
    }
  }

  /** The line that the test command adds up. */
  report() {
    console.log(`browser: ${this.passed} passed, ${this.failed} failed`)
    if (this.failed > 0) process.exitCode = 1
  }
}
