// The package where people use it: two calls at once, closed things, other origins, frames, strict policies,
// service workers, Node, Vite, a page opened as a file; and what sessions give back.
import assert from "node:assert/strict"
import { execFile, spawn } from "node:child_process"
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import { promisify } from "node:util"
import { serve } from "../serve.mjs"
import { answering, golden, inPage as inAnyPage, launch, serveAll, Tests } from "./harness.mjs"

const run = promisify(execFile)
const web = fileURLToPath(new URL("..", import.meta.url))
const tests = new Tests()
const { address, close } = await serveAll({ "access-control-allow-origin": "*" })
const browser = await launch({ webgpu: false })

const inPage = (body, argument, options = {}) =>
  inAnyPage(body, argument, { at: browser, url: `${address}/test/blank.html`, complain: true, ...options })

/** A page of its own, with headers of its own, on another origin than the package; what its script says. */
async function elsewhere({ headers = {}, script, html, at = browser, files = {} }) {
  const server = await answering(async (request, response) => {
    const path = request.url.split("?")[0]
    if (path === "/") {
      const page = html ?? `<!doctype html><title>t</title><script type="module" src="/main.js"></script>`
      return response.writeHead(200, { "content-type": "text/html", ...headers }).end(page)
    }
    if (path === "/main.js")
      return response.writeHead(200, { "content-type": "text/javascript", ...headers }).end(script)
    if (files[path]) return response.writeHead(200, { "content-type": "text/javascript" }).end(files[path])
    if (!path.startsWith("/pkg/")) return response.writeHead(404).end()
    const type = path.endsWith(".wasm") ? "application/wasm" : path.endsWith(".js") ? "text/javascript" : ""
    const body = await readFile(join(web, path)).catch(() => undefined)
    if (!body) return response.writeHead(404).end()
    // A worker has the policy that it comes with.
    response.writeHead(200, { "content-type": type || "application/octet-stream", ...headers }).end(body)
  })
  const page = await at.newPage()
  const errors = []
  page.on("pageerror", (error) => errors.push(String(error)))
  const said = new Promise((resolve) => page.exposeBinding("said", (_, value) => resolve(value)))
  const late = new Promise((_, reject) =>
    setTimeout(() => reject(new Error(`the page says nothing; ${errors}`)), 60_000).unref(),
  )
  try {
    await page.goto(server.address)
    return await Promise.race([said, late])
  } finally {
    await page.close()
    server.close()
  }
}

/** What a page does with the package at an address: it says what came of it. */
const use = (pkg, { options = "", load = "loadBuiltIn()" } = {}) => `
  try {
    const { default: init, Engine, PolysketchError } = await import(${JSON.stringify(pkg)})
    globalThis.PolysketchError = PolysketchError
    ${options && `await init(${options})`}
    const engine = await Engine.create({ backend: "cpu" })
    const model = await engine.${load}
    let text = ""
    for await (const piece of model.generate("Once", { maxTokens: 4, temperature: 0 })) text += piece
    said({ text, worker: engine.info.worker, noWorker: engine.info.noWorker })
  } catch (error) {
    const ours = globalThis.PolysketchError && error instanceof PolysketchError
    said({ ours, name: error.name, message: error.message, advice: error.advice })
  }`

const refused = (got, name, pattern, advice) => {
  assert.ok(got.ours && got.name === name, JSON.stringify(got))
  assert.match(got.message, pattern)
  assert.match(got.advice ?? "", advice)
}

await tests.run("a second continuation, or a read, is refused while one is written", async () => {
  const got = await inPage(async ({ Engine }) => {
    const engine = await Engine.create({ backend: "cpu" })
    const model = await engine.loadBuiltIn()
    const drain = async (stream) => {
      let text = ""
      for await (const piece of stream) text += piece
      return text
    }
    const said = ({ name, message, advice }) => ({ name, message, advice })
    const greedy = { maxTokens: 12, temperature: 0 }
    const fresh = async () => {
      const session = await model.createSession()
      await session.read("She opened the letter, and")
      return session
    }
    const alone = await drain((await fresh()).generate(greedy))
    const session = await fresh()
    const first = drain(session.generate(greedy))
    const second = await drain(session.generate({ maxTokens: 5 })).catch(said)
    const read = await session.read("x").catch(said)
    const reset = await session.reset().catch(said)
    const state = (await session.saveState()).length
    const one = await first
    // Leaving the loop, or aborting one that nobody asks any more, frees the session.
    for await (const _ of session.generate({ maxTokens: 40 })) break
    const abort = new AbortController()
    await session.generate({ maxTokens: 40, signal: abort.signal }).next()
    const blocked = await session.read("x").catch(said)
    abort.abort()
    await session.read(" and then")
    // Two reads wait for one another.
    const before = session.position
    await Promise.all([session.read("one two"), session.read("three")])
    return { alone, one, second, read, reset, state, blocked, moved: session.position - before }
  })
  assert.equal(got.one, got.alone)
  for (const error of [got.second, got.read, got.reset, got.blocked]) {
    assert.equal(error?.name, "InputError", JSON.stringify(error))
    assert.match(error.message, /being continued/)
    assert.ok(error.advice)
  }
  assert.ok(got.state > 0 && got.moved >= 3, JSON.stringify(got))
})

await tests.run("what was closed says so", async () => {
  const got = await inPage(async ({ default: init, Engine }) => {
    const all = {}
    for (const worker of [true, false]) {
      await init({ worker })
      const engine = await Engine.create({ backend: "cpu" })
      const model = await engine.loadBuiltIn()
      const [session, other] = [await model.createSession(), await model.createSession()]
      await session.read("Once upon")
      await other.read("Once upon")
      const running = session.generate({ maxTokens: 40 })
      await running.next()
      session.close()
      session.close()
      model.close()
      const name = (work) =>
        work().then(
          (value) => `${value}`.slice(0, 20),
          ({ name, message }) => `${name}: ${message}`,
        )
      all[worker] = {
        running: await name(() => running.next()),
        read: await name(() => session.read("x")),
        save: await name(() => session.saveState()),
        heads: await name(() => session.headStates(0)),
        encode: await name(() => model.encode("x")),
        session: await name(() => model.createSession()),
        generate: await name(() => model.generate("x").next()),
        // Its session keeps what it needs.
        goesOn: await name(() => other.read(" a time").then(() => other.position > 3)),
      }
      other.close()
      engine.close()
      all[worker].engine = await name(() => engine.loadBuiltIn())
    }
    return all
  })
  for (const { goesOn, ...closed } of Object.values(got)) {
    assert.equal(goesOn, "true")
    for (const [what, said] of Object.entries(closed)) assert.match(said, /^ClosedError: .*closed/, what)
  }
})

await tests.run("from another origin it runs in a worker all the same", async () => {
  const got = await elsewhere({ script: use(`${address}/pkg/polysketch.js`) })
  assert.ok(got.text && got.worker === true, JSON.stringify(got))
})

await tests.run("in a sandboxed frame, without a cache and an origin", async () => {
  const inner = `<script type="module">globalThis.said = (got) => parent.postMessage(got, "*")
    ${use(`${address}/pkg/polysketch.js`)}</script>`
  const html = `<!doctype html><title>t</title><script>onmessage = ({ data }) => said(data)</script>
    <iframe sandbox="allow-scripts" srcdoc='${inner.replaceAll("'", "&#39;")}'></iframe>`
  const got = await elsewhere({ html })
  assert.ok(got.text, JSON.stringify(got))
  return got.worker ? "in a worker" : `in the page: ${got.noWorker}`
})

await tests.run("strict policies are named, or do not matter", async () => {
  const policy = (csp) => ({ headers: { "content-security-policy": csp } })
  const wasm = await elsewhere({ ...policy("script-src 'self'"), script: use("/pkg/polysketch.js") })
  refused(
    wasm,
    "EnvironmentError",
    /Content-Security-Policy does not allow WebAssembly/,
    /'wasm-unsafe-eval'/,
  )
  const strict = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'"
  const works = await elsewhere({ ...policy(strict), script: use("/pkg/polysketch.js") })
  assert.ok(works.text && works.worker, JSON.stringify(works))
  const none = policy(`${strict}; worker-src 'none'`)
  const inPlace = await elsewhere({ ...none, script: use("/pkg/polysketch.js") })
  assert.ok(inPlace.text && !inPlace.worker && inPlace.noWorker, JSON.stringify(inPlace))
  const demanded = await elsewhere({
    ...none,
    script: use("/pkg/polysketch.js", { options: "{ worker: true }" }),
  })
  refused(demanded, "EnvironmentError", /worker could not be started/, /worker: false/)
  const types = policy(`${strict}; require-trusted-types-for 'script'; trusted-types polysketch`)
  const trusted = await elsewhere({ ...types, script: use("/pkg/polysketch.js") })
  assert.ok(trusted.text && trusted.worker, JSON.stringify(trusted))
  const forbidden = policy(`${strict}; require-trusted-types-for 'script'; trusted-types 'none'`)
  const untrusted = await elsewhere({ ...forbidden, script: use("/pkg/polysketch.js") })
  assert.ok(untrusted.text || untrusted.ours, JSON.stringify(untrusted))
})

await tests.run("a service worker is told where to go", async () => {
  const sw = `import { Engine } from "/pkg/polysketch.js"
    const said = Engine.create({ backend: "cpu" }).then(() => "made", ({ name, advice }) => ({ name, advice }))
    addEventListener("message", async (event) => event.source.postMessage(await said))`
  const script = `
    navigator.serviceWorker.onmessage = ({ data }) => said(data)
    await navigator.serviceWorker.register("/sw.js", { type: "module" })
    const { active } = await navigator.serviceWorker.ready
    active.postMessage("?")`
  const got = await elsewhere({ script, files: { "/sw.js": sw } })
  assert.equal(got.name, "EnvironmentError", JSON.stringify(got))
  assert.match(got.advice, /page/)
})

await tests.run("the wasm and the worker as addresses, bytes, a module; a page in their place", async () => {
  const got = await inPage(async ({ default: init, Engine }) => {
    const bytes = await (await fetch("/pkg/polysketch_bg.wasm")).arrayBuffer()
    const all = {}
    const given = {
      address: { wasm: "/pkg/polysketch_bg.wasm", worker: "/pkg/worker.js" },
      url: {
        wasm: new URL("/pkg/polysketch_bg.wasm", location.href),
        worker: new URL("/pkg/worker.js", location.href),
      },
      bytes: { wasm: new Uint8Array(bytes) },
      module: { wasm: await WebAssembly.compile(bytes) },
      page: { wasm: "/test/blank.html" },
      damaged: { wasm: new Uint8Array(bytes.slice(0, 1000)) },
      missing: { wasm: "/nothing.wasm" },
      noWorker: { worker: "/nothing.js" },
      number: { worker: 3 },
    }
    for (const [name, options] of Object.entries(given)) {
      try {
        await init(options)
        const engine = await Engine.create({ backend: "cpu" })
        all[name] = engine.info.worker
        engine.close()
      } catch ({ name: error, message, advice }) {
        all[name] = { error, message, advice }
      }
    }
    await init({ worker: false })
    const engine = await Engine.create({ backend: "cpu" })
    const based = await engine.loadBuiltIn({ base: "/pkg" })
    all.based = (await based.encode("Once")).length > 0
    all.nowhere = await engine.loadBuiltIn({ base: "/test" }).catch(({ name }) => name)
    return all
  })
  const { page, damaged, missing, noWorker, number, nowhere, ...good } = got
  assert.deepEqual(good, { address: true, url: true, bytes: true, module: true, based: true })
  assert.match(page.message, /HTML page, not the file; the server answered 200/)
  assert.deepEqual(
    [page, damaged, missing, noWorker, number].map(({ error }) => error),
    ["DownloadError", "IntegrityError", "DownloadError", "EnvironmentError", "InputError"],
    JSON.stringify(got),
  )
  assert.ok([page, damaged, missing, noWorker, number].every(({ advice }) => advice))
  assert.equal(nowhere, "DownloadError")
})

await tests.run("a hundred sessions give back what they took of the device", async () => {
  const gpu = await launch()
  try {
    const got = await inPage(
      async ({ default: init, Engine }) => {
        const [create, destroy] = [GPUDevice.prototype.createBuffer, GPUBuffer.prototype.destroy]
        const live = new Map()
        GPUDevice.prototype.createBuffer = function (descriptor) {
          const buffer = create.call(this, descriptor)
          live.set(buffer, descriptor.size)
          return buffer
        }
        GPUBuffer.prototype.destroy = function () {
          live.delete(this)
          return destroy.call(this)
        }
        const inUse = () => [live.size, [...live.values()].reduce((a, b) => a + b, 0)]
        await init({ worker: false })
        const engine = await Engine.create({ backend: "gpu" })
        const at = "/golden/default-gated/"
        const model = await engine.loadModel({
          config: `${at}config.json`,
          weights: `${at}model.safetensors`,
        })
        const text = new Int32Array([1, 2, 3, 4, 5])
        const open = async (read) => {
          const session = await model.createSession()
          if (read) await session.read(text)
          return session
        }
        const settled = async (session) => {
          session.close()
          await new Promise((resolve) => setTimeout(resolve, 0))
        }
        await settled(await open(true))
        const alone = inUse()
        for (let i = 0; i < 100; i++) await settled(await open(i % 25 === 0))
        const after = inUse()
        const all = await Promise.all(Array.from({ length: 10 }, () => open(false)))
        const ten = inUse()
        const { state, scratch } = model.info.memory
        for (const session of all) await settled(session)
        const [ends, closed] = [inUse(), (model.close(), await settled({ close() {} }), inUse())]
        return { alone, after, ten, ends, closed, state, scratch }
      },
      null,
      { at: gpu },
    )
    assert.deepEqual(got.after, got.alone, JSON.stringify(got))
    assert.deepEqual(got.ends, got.alone, JSON.stringify(got))
    const each = (got.ten[1] - got.alone[1]) / 10
    assert.ok(each < got.scratch / 2, `${each} bytes a session: ${JSON.stringify(got)}`)
    assert.ok(got.closed[1] < got.alone[1] / 2, `a closed model leaves ${got.closed[1]} bytes`)
    return `${each} bytes a session, ${got.scratch} of scratch memory for all`
  } finally {
    await gpu.close()
  }
})

await tests.run("opened as a file, or without JavaScript, the page says at the top what to do", async () => {
  const page = await browser.newPage()
  await page.goto(pathToFileURL(join(web, "site/index.html")).href)
  const note = page.locator(".from-file")
  assert.ok(await note.isVisible())
  assert.match(await note.textContent(), /http\.server/)
  assert.ok((await note.boundingBox()).y < 60)
  await page.close()
  const context = await browser.newContext({ javaScriptEnabled: false })
  const silent = await context.newPage()
  await silent.goto(`${address}/`)
  assert.match(await silent.locator("noscript .cannot").textContent(), /JavaScript/)
  assert.ok((await silent.locator("noscript .cannot").boundingBox()).y < 60)
  assert.ok(await silent.locator(".from-file").isHidden())
  await context.close()
})

await tests.run("the page works under a strict Content-Security-Policy", async () => {
  const csp = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; object-src 'none'; base-uri 'none'"
  const server = await serve({ "/": join(web, "site") }, 0, { "content-security-policy": csp })
  const context = await browser.newContext({ colorScheme: "dark" })
  const page = await context.newPage()
  const complaints = []
  page.on("console", (message) => message.type() === "error" && complaints.push(message.text()))
  try {
    await page.goto(server.address)
    await page.waitForFunction(() => / parameters/.test(document.getElementById("model-line").textContent))
    assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "dark")
    assert.deepEqual(complaints, [])
  } finally {
    await context.close()
    server.close()
  }
})

await tests.run("Node creates, loads from bytes and files, and writes", async () => {
  const folder = await mkdtemp(join(tmpdir(), "polysketch node "))
  try {
    const script = `
      import init, { Engine } from ${JSON.stringify(pathToFileURL(join(web, "pkg/polysketch.js")).href)}
      import { readFile } from "node:fs/promises"
      const engine = await Engine.create()
      const said = { backend: engine.info.backend, fallback: engine.info.fallback }
      const write = async (model) => {
        let text = ""
        for await (const piece of model.generate("Once", { maxTokens: 6, temperature: 0 })) text += piece
        return text
      }
      const at = ${JSON.stringify(join(web, "pkg/novels-2m"))}
      const names = { config: "config.json", weights: "model.safetensors", tokenizer: "tokenizer.json" }
      const files = (of) => Object.fromEntries(Object.entries(names).map(([key, name]) => [key, of(name)]))
      said.builtIn = await write(await engine.loadBuiltIn())
      said.paths = await write(await engine.loadModel(files((name) => at + "/" + name)))
      process.chdir(at)
      said.relative = await write(await engine.loadModel(files((name) => name)))
      const bytes = {}
      for (const [key, name] of Object.entries(names)) bytes[key] = await readFile(name)
      said.bytes = await write(await engine.loadModel(bytes))
      const error = ({ name, message, advice }) => ({ name, message, advice })
      said.missing = await engine.loadModel({ config: "{}", weights: "no such file" }).catch(error)
      said.gpu = await Engine.create({ backend: "gpu" }).catch(error)
      await init({ worker: true })
      said.worker = await Engine.create().catch(error)
      console.log(JSON.stringify(said))`
    await writeFile(join(folder, "use.mjs"), script)
    const { stdout } = await run(process.execPath, [join(folder, "use.mjs")])
    const said = JSON.parse(stdout.trim().split("\n").at(-1))
    assert.ok(said.builtIn, stdout)
    for (const way of ["paths", "relative", "bytes"]) assert.equal(said[way], said.builtIn, way)
    assert.equal(said.backend, "cpu")
    assert.match(said.fallback, /Node\.js/)
    assert.deepEqual(
      [said.missing, said.gpu, said.worker].map(({ name, advice }) => [name, Boolean(advice)]),
      ["DownloadError", "WebGpuUnavailableError", "EnvironmentError"].map((name) => [name, true]),
      stdout,
    )
    assert.match(said.missing.message, /no such file/)
  } finally {
    await rm(folder, { recursive: true })
  }
})

/** Vite in a folder of its own; nothing where the registry cannot be reached. */
async function viteProject() {
  const folder = await mkdtemp(join(tmpdir(), "polysketch-vite-"))
  const manifest = { name: "app", private: true, type: "module" }
  await writeFile(join(folder, "package.json"), JSON.stringify(manifest))
  const quiet = ["--no-audit", "--no-fund", "--loglevel=error"]
  try {
    await run("npm", ["install", ...quiet, "vite@8"], { cwd: folder, timeout: 120_000 })
  } catch (error) {
    await rm(folder, { recursive: true })
    return { missing: `vite cannot be fetched: ${String(error.stderr || error.message).split("\n")[0]}` }
  }
  await run("npm", ["install", ...quiet, "--install-links", join(web, "pkg")], { cwd: folder })
  await writeFile(
    join(folder, "index.html"),
    `<!doctype html><title>app</title><script type="module" src="/main.js"></script>`,
  )
  const body = use("polysketch").replace('await import("polysketch")', "polysketch")
  await writeFile(
    join(folder, "main.js"),
    `import * as polysketch from "polysketch"
    const said = (got) => (globalThis.got = got)
    ${body}`,
  )
  return { folder }
}

/** Runs a command of Vite's that serves until it is ended, and what its page says. */
async function served(folder, ...args) {
  const vite = join(folder, "node_modules/vite/bin/vite.js")
  const child = spawn(process.execPath, [vite, ...args, "--port", "0", "--host", "localhost"], {
    cwd: folder,
    env: { ...process.env, NO_COLOR: "1" },
  })
  const page = await browser.newPage()
  try {
    const url = await new Promise((resolve, reject) => {
      let text = ""
      const hear = (chunk) => {
        const found = /http:\/\/localhost:\d+\//.exec((text += chunk))
        if (found) resolve(found[0])
      }
      child.stdout.on("data", hear)
      child.stderr.on("data", hear)
      child.on("exit", () => reject(new Error(text)))
    })
    await page.goto(url)
    // Vite may load the page anew once it knows what to bundle.
    await page.waitForFunction(() => globalThis.got !== undefined, undefined, { timeout: 60_000 })
    return await page.evaluate(() => globalThis.got)
  } finally {
    await page.close()
    child.kill()
  }
}

const project = process.env.ONLY && !"Vite".includes(process.env.ONLY) ? {} : await viteProject()
if (project.missing) console.log(`skipped: Vite: ${project.missing}`)
if (project.folder) {
  try {
    await tests.run("Vite serves it in development, with nothing set", async () => {
      const got = await served(project.folder)
      assert.ok(got.text && got.worker, JSON.stringify(got))
    })
    await tests.run("Vite builds it, with nothing set", async () => {
      await run(process.execPath, [join(project.folder, "node_modules/vite/bin/vite.js"), "build"], {
        cwd: project.folder,
      })
      const got = await served(project.folder, "preview")
      assert.ok(got.text && got.worker, JSON.stringify(got))
    })
  } finally {
    await rm(project.folder, { recursive: true })
  }
}

await browser.close()
close()
tests.report()
