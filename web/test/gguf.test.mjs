// Models in the formats of others through the package: GGUF files and folders, read range by range; what is
// kept of a download; conversations; what is refused before it is read.
import assert from "node:assert/strict"
import { spawn } from "node:child_process"
import { existsSync } from "node:fs"
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { answering, inPage as inAnyPage, launch, models, open, serveAll, Tests } from "./harness.mjs"

/** SPEC §5: largest difference over the largest logit. */
const TOLERANCE = 5e-5
const native = process.env.POLYSKETCH
const smollm2 = process.env.SMOLLM2

const tests = new Tests()
const { address, close } = await serveAll()
const browser = await launch()
const gguf = await readFile(join(models, "gguf/llama-Q4_1_smol.gguf"))
const broken = gguf.subarray(0, gguf.length - 100)

const inPage = (body, argument, options = {}) =>
  inAnyPage(body, argument, { at: browser, url: `${address}/test/blank.html`, ...options })

// What they compute
// -----------------------------------------------------------------------------------------------------------

async function golden(options) {
  const { page, complaints } = await open(browser, `${address}/test/blank.html`)
  const { info, results } = await page.evaluate(
    async (options) => (await import("/test/gguf.js")).run(options),
    options,
  )
  await page.close()
  // A folder on a server is asked for files that it need not have.
  const others = complaints.filter((complaint) => !/404/.test(complaint))
  assert.deepEqual(others, [], "the console has complaints")
  assert.equal(info.backend, options.backend === "gpu" ? "webgpu" : "cpu")
  assert.equal(results.length, options.models.length)
  for (const { name, error, stages } of results) {
    assert.ok(error <= TOLERANCE, `${name}: logits are off by ${error} of the largest`)
    assert.ok(stages.includes("upload"), `${name}: progress came to ${stages}`)
  }
  const worst = results.reduce((a, b) => (a.error > b.error ? a : b))
  return `${results.length} models, largest error ${worst.error.toExponential(1)} (${worst.name})`
}

const files = (await readdir(join(models, "gguf"))).filter((name) => name.endsWith(".gguf")).sort()
const as = (how) => (name) => [`gguf/${name}`, how]

await tests.run("golden logits of GGUF files on the CPU", () =>
  golden({ backend: "cpu", worker: true, models: files.map(as("file")) }),
)
await tests.run("golden logits of folders and of files given otherwise", () =>
  golden({
    backend: "cpu",
    worker: false,
    models: [
      ["llama-sharded", "address"],
      ["qwen3", "files"],
      ["gpt2", "files"],
      ["gguf/llama-Q4_1_smol.gguf", "bytes"],
      ["gguf/qwen3-Q4_1.gguf", "address"],
    ],
  }),
)
await tests.run("golden logits of GGUF files on WebGPU", () =>
  golden({
    backend: "gpu",
    worker: true,
    models: ["llama-Q4_1_smol.gguf", "qwen2-wide-Q4_K_M.gguf"].map(as("file")),
  }),
)

// What is said
// -----------------------------------------------------------------------------------------------------------

/** What the native program says, to these lines. */
async function talk(lines, ...args) {
  const child = spawn(native, ["chat", "--json", "--quiet", ...args], { stdio: ["pipe", "pipe", "pipe"] })
  child.stdin.end(lines.map((line) => `${line}\n`).join(""))
  const [out, err] = await Promise.all(
    [child.stdout, child.stderr].map(async (stream) => (await stream.setEncoding("utf8").toArray()).join("")),
  )
  assert.equal(child.exitCode ?? 0, 0, err)
  return JSON.parse(out)
}

/** A conversation in the page: each question on top of what was said before. */
const chat = ({ model, questions, options, backend = "cpu" }) =>
  inPage(
    async ({ Engine }, { model, questions, options, backend }) => {
      const engine = await Engine.create({ backend })
      const loaded = await engine.loadModel(model, undefined, { cache: false })
      const session = await loaded.createSession()
      const [messages, turns] = [[], []]
      for (const content of questions) {
        messages.push({ role: "user", content })
        const before = session.position
        const stream = session.chat(messages, options)
        let next = await stream.next()
        let text = ""
        for (; !next.done; next = await stream.next()) text += next.value
        turns.push({ ...next.value, before, after: session.position, streamed: text })
        messages.push({ role: "assistant", content: next.value.text })
      }
      return { messages, turns, said: await session.messages(), chat: loaded.info.chat }
    },
    { model, questions, options, backend },
    { complain: true },
  )

const QUESTIONS = ["one two", "three", "and now?"]

await tests.run(
  "conversations as the native program has them, of which only new tokens are read",
  async () => {
    if (!native) return "not compared with the native program: POLYSKETCH does not name it"
    for (const [model, path] of [
      [{ folder: "/public/llama-hf" }, "llama-hf"],
      [{ gguf: "/public/gguf/llama-Q4_1_smol.gguf" }, "gguf/llama-Q4_1_smol.gguf"],
    ]) {
      const template = model.gguf
        ? "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}<assistant>"
        : undefined
      const greedy = { temperature: 0, maxTokens: 6, ...(template && { template }) }
      const here = await chat({ model, questions: QUESTIONS, options: greedy })
      assert.deepEqual(here.said, here.messages)
      for (const { text, streamed, before, after, tokens, read } of here.turns) {
        assert.equal(text, streamed)
        assert.ok(after - before <= read + tokens, "all of it was read again")
      }
      assert.ok(here.turns[2].read < here.turns[0].read + here.turns[0].tokens + here.turns[1].read)
      const folder = await mkdtemp(join(tmpdir(), "polysketch-"))
      try {
        const more = []
        if (template) {
          await writeFile(join(folder, "template.jinja"), template)
          more.push("--chat-template", join(folder, "template.jinja"))
        }
        const there = await talk(
          QUESTIONS,
          "--backend",
          "cpu",
          "--temperature",
          "0",
          "-n",
          "6",
          "--model",
          join(models, path),
          ...more,
        )
        assert.deepEqual(here.messages, there.messages)
        assert.deepEqual(
          here.turns.map(({ read }) => read),
          there.answers.map((answer) => answer.prompt_tokens),
        )
      } finally {
        await rm(folder, { recursive: true })
      }
    }
  },
)

await tests.run("an answer that is cut short is part of the conversation", async () => {
  const got = await inPage(
    async ({ Engine }) => {
      const engine = await Engine.create({ backend: "cpu" })
      const model = await engine.loadModel({ folder: "/public/llama-hf" }, undefined, { cache: false })
      const session = await model.createSession()
      const messages = [{ role: "user", content: "one" }]
      const said = []
      const abort = new AbortController()
      let thrown
      try {
        const sampling = { temperature: 0, maxTokens: 50, signal: abort.signal }
        for await (const piece of session.chat(messages, sampling)) {
          said.push(piece)
          if (said.length === 3) abort.abort()
        }
      } catch (error) {
        thrown = error.name
      }
      const cut = await session.messages()
      const position = session.position
      messages.push(cut[1], { role: "user", content: "two" })
      const stream = session.chat(messages, { temperature: 0, maxTokens: 3 })
      let next = await stream.next()
      while (!next.done) next = await stream.next()
      // What the model has been made for is how it is sampled: greedy text is not what comes without a word.
      const texts = []
      for (const options of [{}, { temperature: 0 }, { temperature: 0.7, topP: 0.9, topK: 20, minP: 0 }]) {
        let text = ""
        const asked = [{ role: "user", content: "words" }]
        for await (const piece of model.chat(asked, { ...options, maxTokens: 20, seed: 3 })) text += piece
        texts.push(text)
      }
      const state = await session.saveState()
      const other = await model.createSession()
      await other.loadState(state)
      return {
        thrown,
        said,
        cut,
        position,
        read: next.value.read,
        after: session.position,
        texts,
        kept: await other.messages(),
        whole: await session.messages(),
      }
    },
    undefined,
    { complain: true },
  )
  assert.equal(got.thrown, "AbortError")
  assert.ok(got.cut[1].content.startsWith(got.said.join("")), JSON.stringify(got))
  assert.equal(got.after, got.position + got.read + 3, "the conversation was read again")
  assert.notEqual(got.texts[0], got.texts[1])
  assert.equal(got.texts[0], got.texts[2], "as generation_config.json says")
  assert.deepEqual(got.kept, got.whole)
})

await tests.run("what cannot be said is refused in the package's words", async () => {
  const errors = await inPage(
    async ({ Engine }) => {
      const engine = await Engine.create({ backend: "cpu" })
      const plain = await engine.loadBuiltIn()
      const told = async (work) => {
        try {
          await work()
          return "nothing"
        } catch ({ name, message, advice }) {
          return { name, message, advice }
        }
      }
      const ask = (messages, options) => () => plain.chat(messages, options).next()
      const one = [{ role: "user", content: "x" }]
      return {
        none: await told(ask(one)),
        damaged: await told(ask(one, { template: "{% if %}" })),
        raised: await told(ask(one, { template: "{{ raise_exception('users only') }}" })),
        empty: await told(ask([], { template: "x" })),
        role: await told(ask([{ content: "x" }])),
        option: await told(ask(one, { max_tokens: 3 })),
        chat: plain.info.chat,
      }
    },
    undefined,
    { complain: true },
  )
  assert.equal(errors.chat, false)
  assert.equal(errors.none.name, "ConfigError")
  assert.match(errors.none.message, /no chat template/)
  assert.match(errors.none.advice, /generate/)
  assert.match(errors.damaged.message, /line 1/)
  assert.equal(errors.raised.name, "InputError")
  assert.match(errors.raised.message, /users only/)
  assert.match(errors.empty.message, /no messages/)
  assert.match(errors.role.message, /messages 0: its role/)
  assert.match(errors.option.message, /did you mean maxTokens/)
  for (const error of Object.values(errors).filter((error) => error.message))
    assert.doesNotMatch(`${error.message} ${error.advice}`, /--|\/reset|\n/)
})

// What is kept
// -----------------------------------------------------------------------------------------------------------

const CORS = {
  "access-control-allow-origin": "*",
  "access-control-allow-headers": "*",
  "access-control-expose-headers": "*",
}

/** A server of one file, as it is now: `{ body, etag }`; it breaks off after `breaks` bytes of an answer. */
async function serving(now) {
  const asked = []
  const server = await answering((request, response) => {
    if (request.method === "OPTIONS") return response.writeHead(204, CORS).end()
    const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "") ?? []
    asked.push(`${request.method} ${request.headers.range ?? "all"}`)
    const end = to ? Math.min(Number(to) + 1, now.body.length) : now.body.length
    const part = from === undefined || now.whole ? now.body : now.body.subarray(Number(from), end)
    const headers = { ...CORS, etag: now.etag, "content-length": part.length }
    if (part !== now.body) headers["content-range"] = `bytes ${from}-${end - 1}/${now.body.length}`
    response.writeHead(part === now.body ? 200 : 206, headers)
    if (request.method === "HEAD") return response.end()
    if (now.breaks && part.length > now.breaks)
      return response.write(part.subarray(0, now.breaks), () => setTimeout(() => response.destroy(), 50))
    response.end(part)
  })
  return { ...server, url: `${server.address}/model.gguf`, asked }
}

/** Loads a GGUF file by its address: the error, or what came of it. */
const visit = (at, url, { worker = true, prepare } = {}) =>
  inAnyPage(
    async ({ default: init, Engine, cachedFiles }, { url, worker }) => {
      await init({ worker })
      const engine = await Engine.create({ backend: "cpu" })
      let cached
      try {
        const progress = (p) => (cached = p.cached ?? cached)
        const model = await engine.loadModel({ gguf: url }, progress)
        const [first] = await model.logits(new Int32Array([5, 6, 7]))
        const kept = (await cachedFiles()).map(({ url, bytes, saved }) => ({
          url,
          bytes,
          whole: saved !== undefined,
        }))
        return { first, cached, kept, warnings: model.info.warnings }
      } catch ({ name, message, advice }) {
        return { name, message, advice }
      } finally {
        engine.close()
      }
    },
    { url, worker },
    { at, url: `${address}/test/blank.html`, complain: true, prepare },
  )

/** Another model of the same shape: its last tensors are others. */
const other = Buffer.from(gguf)
other.fill(0x11, other.length - 4000)

await tests.run("a second visit downloads nothing; a changed file is another", async () => {
  for (const worker of [true, false]) {
    const now = { body: gguf, etag: '"1"' }
    const server = await serving(now)
    const context = await browser.newContext()
    try {
      const [first, second] = [
        await visit(context, server.url, { worker }),
        await visit(context, server.url, { worker }),
      ]
      assert.equal(typeof first.first, "number", JSON.stringify(first))
      assert.deepEqual(second.kept, [{ url: server.url, bytes: gguf.length, whole: true }])
      assert.deepEqual([first.cached, second.cached, second.first], [false, true, first.first])
      const [look, download, ...later] = server.asked
      assert.match(look, /^GET bytes=0-/, "it is looked at before it is downloaded")
      assert.equal(download, "GET all")
      assert.deepEqual(
        later.filter((request) => request.startsWith("GET")),
        [],
      )
      Object.assign(now, { body: other, etag: '"2"' })
      const third = await visit(context, server.url, { worker })
      assert.notEqual(third.first, first.first)
      assert.equal(third.cached, false)
      server.close()
      const offline = await visit(context, server.url, { worker })
      assert.deepEqual([offline.first, offline.cached], [third.first, true], JSON.stringify(offline))
      const left = await inPage(
        async ({ cachedFiles, clearCache }, url) => [
          await clearCache(url),
          await cachedFiles(),
          await clearCache(url),
        ],
        server.url,
        { at: context },
      )
      assert.deepEqual(left, [true, [], false])
    } finally {
      await context.close()
      server.close()
    }
  }
})

await tests.run("a download that broke off goes on at the next visit", async () => {
  const now = { body: gguf, etag: '"1"', breaks: 20_000 }
  const server = await serving(now)
  const context = await browser.newContext()
  try {
    const failed = await visit(context, server.url)
    assert.equal(failed.name, "DownloadError", JSON.stringify(failed))
    assert.match(failed.message, /broke off after \d+ of \d+ bytes/)
    const got = Number(/after (\d+) of/.exec(failed.message)[1])
    assert.ok(got > 20_000, "it went on within the visit too")
    server.asked.length = 0
    now.breaks = undefined
    const rest = await visit(context, server.url)
    assert.equal(typeof rest.first, "number", JSON.stringify(rest))
    assert.ok(server.asked.includes(`GET bytes=${got}-`), server.asked.join())
    assert.ok(!server.asked.includes("GET all"), server.asked.join())
    // Of another version nothing is left.
    Object.assign(now, { body: other, etag: '"2"' })
    assert.notEqual((await visit(context, server.url)).first, rest.first)
  } finally {
    await context.close()
    server.close()
  }
})

await tests.run("a full disk, or none, costs the cache, not the model", async () => {
  const server = await serving({ body: gguf, etag: '"1"' })
  try {
    const full = () => {
      navigator.storage.estimate = async () => ({ quota: 1000, usage: 900 })
    }
    const none = () => {
      navigator.storage.getDirectory = () => Promise.reject(new DOMException("off", "SecurityError"))
    }
    const fills = () => {
      FileSystemWritableFileStream.prototype.write = () =>
        Promise.reject(new DOMException("full", "QuotaExceededError"))
    }
    for (const [prepare, told] of [
      [full, true],
      [none, false],
      [fills, true],
    ]) {
      const context = await browser.newContext()
      const got = await visit(context, server.url, { worker: false, prepare })
      assert.equal(typeof got.first, "number", JSON.stringify(got))
      assert.deepEqual(got.kept, [])
      assert.equal(/no room/.test(got.warnings.join()), told, String(prepare))
      await context.close()
    }
  } finally {
    server.close()
  }
})

// What is refused
// -----------------------------------------------------------------------------------------------------------

await tests.run("broken files give one line each", async () => {
  const folder = await mkdtemp(join(tmpdir(), "polysketch-"))
  const { page } = await open(browser, `${address}/test/blank.html`)
  try {
    const write = (name, bytes) => writeFile(join(folder, name), bytes)
    await write("cut.gguf", broken)
    await write("header.gguf", gguf.subarray(0, 5000))
    await write("zip.gguf", Buffer.from("PK\x03\x04 and more"))
    await write("empty.gguf", "")
    const nan = Buffer.from(gguf)
    nan.fill(0xff, nan.length - 8000)
    await write("nan.gguf", nan)
    await write("changed.gguf", gguf)
    await page.setContent('<input type="file" id="file" multiple>')
    const names = ["cut.gguf", "header.gguf", "zip.gguf", "empty.gguf", "nan.gguf", "changed.gguf"]
    await page.setInputFiles(
      "#file",
      names.map((name) => join(folder, name)),
    )
    await write("changed.gguf", other)
    const told = await page.evaluate(async () => {
      const { Engine } = await import("/pkg/polysketch.js")
      const engine = await Engine.create({ backend: "cpu" })
      const told = {}
      for (const file of document.querySelector("#file").files) {
        try {
          await engine.loadModel({ gguf: file })
          told[file.name] = { message: "nothing" }
        } catch ({ name, message, advice }) {
          told[file.name] = { name, message, advice }
        }
      }
      try {
        await engine.loadModel({ folder: [...document.querySelector("#file").files] })
      } catch ({ name, message, advice }) {
        told.folder = { name, message, advice }
      }
      return told
    })
    const want = {
      "cut.gguf": /^cut\.gguf: tensor .* lies at bytes/,
      "header.gguf": /^header\.gguf: /,
      "zip.gguf": /begins with "PK/,
      "empty.gguf": /^empty\.gguf: the file has no bytes/,
      "nan.gguf": /^nan\.gguf: tensor .* holds /,
      "changed.gguf": /^changed\.gguf: the file cannot be read any more/,
      folder: /no config\.json/,
    }
    for (const [name, line] of Object.entries(want)) {
      assert.match(told[name].message, line)
      assert.ok(told[name].advice && !told[name].message.includes("\n"), JSON.stringify(told[name]))
      assert.equal(told[name].name, /changed|folder/.test(name) ? "InputError" : "ModelFormatError")
    }
  } finally {
    await page.close()
    await rm(folder, { recursive: true })
  }
})

await tests.run("a large model is planned from its header, and refused before it is read", async () => {
  const got = await inPage(async ({ default: init, Engine }) => {
    // What is read of files, and how large the engine's memory gets, is seen where it runs in the page.
    const memories = []
    const instantiate = WebAssembly.instantiate
    WebAssembly.instantiate = async (...args) => {
      const made = await instantiate(...args)
      memories.push((made.instance ?? made).exports.memory)
      return made
    }
    let read = 0
    const slice = Blob.prototype.slice
    Blob.prototype.slice = function (from, to) {
      const part = slice.call(this, from, to)
      read += part.size
      return part
    }
    await init({ worker: false })
    const { largeGguf } = await import("/test/large_gguf.js")
    const results = {}
    const heap = () => memories.at(-1).buffer.byteLength
    const watch = async (name, work) => {
      const started = performance.now()
      read = 0
      let [plan, error] = []
      try {
        plan = await work()
      } catch ({ name, message, advice }) {
        error = { name, message, advice }
      }
      results[name] = { seconds: (performance.now() - started) / 1000, read, heap: heap(), plan, error }
    }
    const [three, seven] = [
      largeGguf(),
      largeGguf({ layers: 32, width: 4096, inner: 14336, heads: 32, matrices: "F16" }),
    ]
    const make = { three: three.file, seven: seven.file }
    results.sizes = {
      three: three.file.size,
      seven: seven.file.size,
      header: three.header,
      parameters: three.parameters,
    }
    const cpu = await Engine.create({ backend: "cpu" })
    await watch("plan", async () => await cpu.planModel({ gguf: make.three }, { maxContext: 2048 }))
    await watch("context", async () => await cpu.planModel({ gguf: make.three }, { maxContext: 32768 }))
    await watch("seven", async () => void (await cpu.loadModel({ gguf: make.seven })))
    const gpu = await Engine.create({ backend: "gpu" })
    await watch("gpu", async () => await gpu.planModel({ gguf: make.three }, { maxContext: 2048 }))
    await watch("buffer", async () => {
      const { file } = largeGguf({
        layers: 1,
        width: 16384,
        inner: 65536,
        heads: 128,
        vocabulary: 1000,
        embedding: "Q4_0",
        matrices: "F16",
      })
      await gpu.loadModel({ gguf: file })
    })
    results.limits = gpu.info.limits
    return results
  })
  const { sizes, plan, context, seven, gpu, buffer } = got
  assert.ok(sizes.three > 1.7e9 && sizes.parameters > 3e9, JSON.stringify(sizes))
  assert.equal(plan.plan.parameters, sizes.parameters)
  const { weights, cache } = plan.plan.memory
  assert.ok(Math.abs(weights - sizes.three) < 0.2 * sizes.three, `${weights} of ${sizes.three}`)
  assert.equal(cache, 28 * 2 * 1024 * 2048 * 4, "keys and values in f32")
  for (const [name, { seconds, read, heap }] of Object.entries(got).filter(([, run]) => run.seconds)) {
    assert.ok(read < 40 << 20, `${name}: ${read} bytes were read`)
    assert.ok(heap < 512 << 20, `${name}: the engine took ${heap} bytes`)
    assert.ok(seconds < 20, `${name}: ${seconds} s`)
  }
  for (const { error } of [context, seven]) {
    assert.equal(error.name, "OutOfMemoryError")
    assert.match(error.message, /the model needs [\d.]+ GiB of memory, [\d.]+ GiB are available/)
    assert.match(error.advice, /maxContext/)
  }
  assert.equal(gpu.plan.memory.cache, cache)
  assert.equal(buffer.error?.name, "LimitError", JSON.stringify(buffer))
  return `${(sizes.three / 2 ** 30).toFixed(2)} GiB planned in ${plan.seconds.toFixed(1)} s, ${(plan.heap / 2 ** 20).toFixed(0)} MiB of heap, ${(plan.read / 2 ** 20).toFixed(1)} MiB read`
})

await tests.run("loading is cancelled between two pieces", async () => {
  const got = await inPage(async ({ Engine }) => {
    const engine = await Engine.create({ backend: "cpu" })
    const abort = new AbortController()
    const { file } = (await import("/test/large_gguf.js")).largeGguf({ layers: 2 })
    let last
    const progress = (progress) => {
      last = progress
      if (progress.stage === "upload") abort.abort()
    }
    const options = { signal: abort.signal, maxContext: 64 }
    const thrown = await engine.loadModel({ gguf: file }, progress, options).catch((error) => error)
    return { name: thrown.name, last }
  })
  assert.equal(got.name, "AbortError", JSON.stringify(got))
  assert.ok(got.last.done < 0.9 * got.last.total, JSON.stringify(got.last))
})

// A model that people use
// -----------------------------------------------------------------------------------------------------------

if (!smollm2 || !existsSync(smollm2)) {
  console.log("skipped: SmolLM2 in the page: SMOLLM2 does not name its file")
} else {
  await tests.run("SmolLM2 on the CPU: a greedy continuation", async () => {
    const expected = JSON.parse(await readFile(join(models, "smollm2/expected.json"), "utf8"))
    const [{ text, ids, continuation }] = expected.prompts
    const { page } = await open(browser, `${address}/test/blank.html`)
    try {
      await page.setContent('<input type="file" id="file">')
      await page.setInputFiles("#file", smollm2)
      const got = await page.evaluate(
        async ({ text }) => {
          const { Engine } = await import("/pkg/polysketch.js")
          const engine = await Engine.create({ backend: "cpu" })
          const started = performance.now()
          const model = await engine.loadModel(
            { gguf: document.querySelector("#file").files[0] },
            undefined,
            { maxContext: 512 },
          )
          const loaded = performance.now()
          const ids = await model.encode(text)
          const session = await model.createSession()
          await session.read(ids)
          const read = performance.now()
          let said = ""
          for await (const piece of session.generate({ temperature: 0, maxTokens: 8 })) said += piece
          const seconds = [loaded - started, read - loaded, performance.now() - read].map((ms) => ms / 1000)
          model.close()
          // Made linear by what the page ships, which is for this file: so short a text is near all along.
          const linear = await engine.loadModel({
            gguf: document.querySelector("#file").files[0],
            adapter: "/smollm2-135m-linear/adapter.safetensors",
          })
          const { linearized, memory } = linear.info
          let same = ""
          for await (const piece of linear.generate(text, { temperature: 0, maxTokens: 8 })) same += piece
          return { ids: Array.from(ids), said, seconds, same, linearized, memory }
        },
        { text },
      )
      assert.deepEqual(got.ids, ids)
      const want = expected.prompts[0].continuation_text
      assert.ok(continuation.length >= 8 && want.startsWith(got.said), `${got.said} is not ${want}`)
      assert.ok(want.startsWith(got.same.trimEnd()), `made linear: ${got.same} is not ${want}`)
      assert.deepEqual([got.linearized, got.memory.cache], [true, 0])
      assert.ok(got.memory.state < 30 << 20, `its state is ${got.memory.state} bytes`)
      return `loaded in ${got.seconds[0].toFixed(1)} s, ${ids.length} tokens read in ${got.seconds[1].toFixed(1)} s, 8 written in ${got.seconds[2].toFixed(1)} s`
    } finally {
      await page.close()
    }
  })
}

await browser.close()
close()
tests.report()
