// The package as a user of it meets it: cancelling, losing the device, damaged and interrupted downloads, the
// cache, other tabs, training, and states that travel between the page and the native program.
import assert from "node:assert/strict"
import { spawn } from "node:child_process"
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises"
import { createServer } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { gzipSync } from "node:zlib"
import { golden, inPage as inAnyPage, launch, models, serveAll, Tests } from "./harness.mjs"

const PROMPT = "She opened the letter, and as she read it her face grew pale; for it said that"
const web = fileURLToPath(new URL("..", import.meta.url))
const native = process.env.POLYSKETCH
const tests = new Tests()
const { address, close } = await serveAll()
const browser = await launch()

const inPage = (body, argument, options = {}) =>
  inAnyPage(body, argument, { at: browser, url: `${address}/test/blank.html`, ...options })

/** What the native program says; it gets no input. */
async function run(...args) {
  const child = spawn(native, args, { stdio: ["ignore", "pipe", "pipe"] })
  const [out, err] = await Promise.all(
    [child.stdout, child.stderr].map(async (stream) => (await stream.setEncoding("utf8").toArray()).join("")),
  )
  assert.equal(child.exitCode ?? 0, 0, err)
  return out
}

await tests.run("size of the package", async () => {
  const bytes = gzipSync(await readFile(join(web, "pkg/polysketch_bg.wasm")), { level: 9 }).length
  assert.ok(bytes <= 2 << 20, `the WebAssembly is ${bytes} bytes compressed, 2 MiB are allowed`)
  return `${(bytes / 2 ** 20).toFixed(2)} MiB of WebAssembly compressed`
})

await tests.run("greedy text on WebGPU, on the CPU and natively", async () => {
  const greedy = (backend) =>
    inPage(
      async ({ Engine }, { backend, prompt }) => {
        const engine = await Engine.create({ backend })
        const model = await engine.loadBuiltIn()
        let text = ""
        const stream = model.generate(prompt, { maxTokens: 24, temperature: 0 })
        for (let next = await stream.next(); ; next = await stream.next()) {
          if (next.done) return { text, last: next.value, info: engine.info }
          text += next.value
        }
      },
      { backend, prompt: PROMPT },
    )
  const [gpu, cpu] = [await greedy("gpu"), await greedy("cpu")]
  assert.equal(gpu.info.backend, "webgpu")
  assert.equal(gpu.text, cpu.text)
  assert.deepEqual(gpu.last, { text: gpu.text, tokens: 24, reason: "max_tokens" })
  if (!native) return "not compared with the native program: POLYSKETCH does not name it"
  const said = await run(
    "generate",
    "--prompt",
    PROMPT,
    "--temperature",
    "0",
    "--max-tokens",
    "24",
    "--backend",
    "cpu",
    "--quiet",
  )
  assert.ok(said.includes(gpu.text.trim()), `natively: ${said}\nin the page: ${gpu.text}`)
  return JSON.stringify(gpu.text.slice(0, 60))
})

if (native) {
  await tests.run("a state travels from the page to the native program, and back", async () => {
    const folder = await mkdtemp(join(tmpdir(), "polysketch-"))
    try {
      const { state, text } = await inPage(async ({ Engine }, prompt) => {
        const engine = await Engine.create({ backend: "gpu" })
        const model = await engine.loadBuiltIn()
        const session = await model.createSession()
        await session.read(prompt.repeat(8))
        const state = Array.from(await session.saveState())
        let text = ""
        for await (const piece of session.generate({ maxTokens: 12, temperature: 0 })) text += piece
        return { state, text }
      }, PROMPT)
      const [there, back] = [join(folder, "there.state"), join(folder, "back.state")]
      await writeFile(there, Uint8Array.from(state))
      const options = ["--temperature", "0", "--max-tokens", "12", "--backend", "cpu", "--quiet"]
      const said = await run("generate", "--state-in", there, ...options, "--state-out", back)
      assert.ok(said.includes(text.trim()), `natively: ${said}\nin the page: ${text}`)
      const more = await run("generate", "--state-in", back, ...options)
      const went = await inPage(
        async ({ Engine }, bytes) => {
          const engine = await Engine.create({ backend: "gpu" })
          const session = await (await engine.loadBuiltIn()).createSession()
          await session.loadState(Uint8Array.from(bytes))
          let text = ""
          for await (const piece of session.generate({ maxTokens: 12, temperature: 0 })) text += piece
          return { text, position: session.position }
        },
        Array.from(await readFile(back)),
      )
      assert.ok(more.includes(went.text.trim()), `natively: ${more}\nin the page: ${went.text}`)
      return `${(await stat(there)).size} bytes`
    } finally {
      await rm(folder, { recursive: true })
    }
  })
}

// llama-Q4_1_smol.adapter.safetensors is what `polysketch linearize` made of the first 20,000 bytes of
// web/page/book.txt (held out: its last 8,000): --steps 20 --batch 2 --context 128 --block 16 --sinks 2 --sketch 8
// --hidden 8 --seed 3
const TEACHER = "gguf/llama-Q4_1_smol.gguf"
const ADAPTER = "gguf/llama-Q4_1_smol.adapter.safetensors"

await tests.run("a model that an adapter makes linear, given in three ways; its state; natively", async () => {
  const prompt = "It was the best of times, it was the worst of times. ".repeat(8)
  const linear = (backend, ways) =>
    inPage(
      async ({ Engine }, { backend, ways, prompt, teacher, adapter }) => {
        const bytes = new Uint8Array(await (await fetch(adapter)).arrayBuffer())
        const given = { address: adapter, bytes, file: new File([bytes], "adapter.safetensors") }
        const engine = await Engine.create({ backend })
        const logits = {}
        for (const way of ways) {
          const files = { gguf: teacher, adapter: given[way] }
          const model = await engine.loadModel(files, undefined, { cache: false })
          logits[way] = Array.from(await model.logits(await model.encode(prompt))).slice(-288)
          if (way !== "file") {
            model.close()
            continue
          }
          const session = await model.createSession()
          const sizes = [session.stateBytes]
          await session.read(prompt)
          sizes.push(session.stateBytes)
          const saved = Array.from(await session.saveState())
          const again = await model.createSession()
          await again.loadState(Uint8Array.from(saved))
          const texts = []
          for (const one of [session, again]) {
            let text = ""
            for await (const piece of one.generate({ maxTokens: 12, temperature: 0 })) text += piece
            texts.push(text + (await one.finishText()))
          }
          return { logits, saved, texts, sizes, info: model.info }
        }
      },
      { backend, ways, prompt, teacher: `/public/${TEACHER}`, adapter: `/public/${ADAPTER}` },
    )
  const cpu = await linear("cpu", ["address", "bytes", "file"])
  assert.deepEqual([cpu.info.linearized, cpu.info.context, cpu.info.memory.cache], [true, 0, 0])
  assert.deepEqual(cpu.logits.bytes, cpu.logits.address)
  assert.deepEqual(cpu.logits.file, cpu.logits.address)
  // What its own file makes of it: another model, whose states are others.
  const softmax = await inPage(
    async ({ Engine }, { prompt, teacher, adapter, saved }) => {
      const engine = await Engine.create({ backend: "cpu" })
      // This server gives no parts of files, which a look at an address needs.
      const gguf = await (await fetch(teacher)).blob()
      const plan = await engine.planModel({ gguf, adapter }, { cache: false })
      const model = await engine.loadModel({ gguf })
      const logits = Array.from(await model.logits(await model.encode(prompt))).slice(-288)
      const session = await model.createSession()
      const refused = await session.loadState(Uint8Array.from(saved)).catch((error) => error)
      return {
        plan,
        logits,
        info: model.info,
        name: refused?.name,
        words: `${refused?.message}. ${refused?.advice}`,
      }
    },
    { prompt, teacher: `/public/${TEACHER}`, adapter: `/public/${ADAPTER}`, saved: cpu.saved },
  )
  assert.deepEqual(softmax.plan.memory, cpu.info.memory)
  assert.equal(softmax.info.linearized, false)
  assert.ok(softmax.info.memory.cache > 0)
  assert.notDeepEqual(softmax.logits, cpu.logits.file, "the adapter changes nothing")
  assert.equal(softmax.name, "StateError")
  assert.doesNotMatch(softmax.words, /--/)
  const gpu = await linear("gpu", ["file"])
  const most = Math.max(...cpu.logits.file.map(Math.abs))
  const off = Math.max(...cpu.logits.file.map((x, i) => Math.abs(x - gpu.logits.file[i]))) / most
  assert.ok(off < 1e-4, `CPU and GPU differ by ${off} of the largest logit`)
  for (const { texts, sizes } of [cpu, gpu]) {
    assert.equal(texts[0], texts[1])
    assert.equal(sizes[0], sizes[1], "its state grew")
  }
  if (!native) return "not compared with the native program: POLYSKETCH does not name it"
  const folder = await mkdtemp(join(tmpdir(), "polysketch-"))
  try {
    const state = join(folder, "linear.state")
    await writeFile(state, Uint8Array.from(gpu.saved))
    const files = ["--model", join(models, TEACHER), "--adapter", join(models, ADAPTER)]
    const options = ["--temperature", "0", "--max-tokens", "12", "--backend", "cpu", "--quiet"]
    const said = await run("generate", ...files, "--state-in", state, ...options)
    assert.ok(said.includes(gpu.texts[0].trim()), `natively: ${said}\nin the page: ${gpu.texts[0]}`)
  } finally {
    await rm(folder, { recursive: true })
  }
  return `CPU and GPU differ by ${off.toExponential(1)}`
})

await tests.run("wrong adapters: one clear line in the package's words", async () => {
  const said = await inPage(
    async ({ Engine }, { teacher, adapter }) => {
      const engine = await Engine.create({ backend: "cpu" })
      const outcome = (files) =>
        engine.loadModel(files, undefined, { cache: false }).then(
          () => ({ name: "loaded" }),
          ({ name, message, advice }) => ({ name, words: `${message}. ${advice}` }),
        )
      const whole = new Uint8Array(await (await fetch(adapter)).arrayBuffer())
      const builtIn = "/pkg/novels-2m"
      const result = {
        other: await outcome({ gguf: "/public/gguf/llama-Q4_0.gguf", adapter }),
        none: await outcome({ gguf: teacher, adapter: "/public/llama-hf/model.safetensors" }),
        text: await outcome({ gguf: teacher, adapter: new TextEncoder().encode("no adapter at all") }),
        short: await outcome({ gguf: teacher, adapter: new Uint8Array(3) }),
        half: await outcome({ gguf: teacher, adapter: whole.subarray(0, whole.length / 2) }),
        missing: await outcome({ gguf: teacher, adapter: "/public/none.safetensors" }),
        nothing: await outcome({ gguf: teacher, adapter: null }),
        linear: await outcome({ folder: builtIn, adapter }),
        misspelt: await outcome({ gguf: teacher, adaptor: adapter }),
      }
      // The folder of another model, whose own files are good.
      result.folder = await outcome({ folder: "/public/llama-hf", adapter })
      return result
    },
    { teacher: `/public/${TEACHER}`, adapter: `/public/${ADAPTER}` },
    { complain: true },
  )
  const expected = {
    other: [
      "ModelFormatError",
      /^llama-Q4_1_smol\.adapter\.safetensors: is for the model [0-9a-f]{16}, and llama-Q4_0\.gguf is/,
    ],
    none: ["ModelFormatError", /^model\.safetensors: is no adapter/],
    text: ["ModelFormatError", /^the adapter: /],
    short: ["ModelFormatError", /^the adapter: /],
    half: ["ModelFormatError", /^the adapter: /],
    missing: ["DownloadError", /none\.safetensors: /],
    nothing: ["InputError", /^a file cannot be/],
    linear: ["ConfigError", /only softmax attention is made linear/],
    misspelt: ["InputError", /unknown option adaptor; did you mean adapter\?/],
    folder: ["ModelFormatError", /is for the model/],
  }
  for (const [what, [name, pattern]] of Object.entries(expected)) {
    assert.equal(said[what].name, name, `${what}: ${said[what].words}`)
    assert.match(said[what].words, pattern, what)
    assert.doesNotMatch(said[what].words, /--|undefined/, what)
  }
  return said.other.words
})

await tests.run("a cancelled generation and a cancelled reading leave a session that works", async () => {
  for (const backend of ["gpu", "cpu"]) {
    const result = await inPage(
      async ({ Engine }, { backend, prompt }) => {
        const engine = await Engine.create({ backend })
        const model = await engine.loadBuiltIn()
        const session = await model.createSession()
        await session.read(prompt)
        const abort = new AbortController()
        const caught = []
        let pieces = 0
        try {
          for await (const _ of session.generate({ maxTokens: 100000, temperature: 0, signal: abort.signal }))
            if (++pieces === 3) abort.abort()
        } catch (error) {
          caught.push(error.name)
        }
        const stop = new AbortController()
        await session
          .read(prompt.repeat(200), { signal: stop.signal, onProgress: () => stop.abort() })
          .catch((error) => caught.push(error.name))
        const before = session.position
        await session.read(" and then")
        let text = ""
        for await (const piece of session.generate({ maxTokens: 5, temperature: 0 })) text += piece
        return { caught, pieces, moved: session.position - before, text }
      },
      { backend, prompt: PROMPT },
    )
    assert.deepEqual(result.caught, ["AbortError", "AbortError"], backend)
    assert.ok(result.pieces === 3 && result.moved >= 7 && result.text.length > 0, JSON.stringify(result))
  }
})

await tests.run("after a lost device the text goes on from its last state", async () => {
  const result = await inPage(async ({ Engine }, prompt) => {
    const continued = async (session) => {
      let text = ""
      for await (const piece of session.generate({ maxTokens: 8, temperature: 0 })) text += piece
      return text
    }
    const engine = await Engine.create({ backend: "gpu" })
    const model = await engine.loadBuiltIn()
    const session = await model.createSession()
    await session.read(prompt)
    const state = await session.saveState()
    const want = await continued(session)
    await model.destroy()
    const error = await session.read("more").catch((error) => ({ name: error.name, advice: error.advice }))
    engine.close()
    const closed = await model.encode("x").catch((error) => error.name)
    const again = await (await (await Engine.create({ backend: "gpu" })).loadBuiltIn()).createSession()
    await again.loadState(state)
    return { error, closed, same: (await continued(again)) === want }
  }, PROMPT)
  assert.equal(result.error?.name, "DeviceLostError", JSON.stringify(result.error))
  assert.ok(result.error.advice)
  assert.equal(result.closed, "ClosedError")
  assert.ok(result.same, "the text went on differently")
})

await tests.run("states of another model and damaged ones are refused, and the text stays", async () => {
  const result = await inPage(async ({ Engine }, prompt) => {
    const engine = await Engine.create({ backend: "cpu" })
    const session = await (await engine.loadBuiltIn()).createSession()
    const other = await (
      await engine.loadModel({
        config: "/golden/default-gated/config.json",
        weights: "/golden/default-gated/model.safetensors",
      })
    ).createSession()
    await session.read(prompt)
    await other.read(new Int32Array([1, 2, 3]))
    const position = session.position
    const caught = []
    const refused = (bytes) => session.loadState(bytes).catch((error) => caught.push(error.name))
    await refused(await other.saveState())
    const state = await session.saveState()
    await refused(state.slice(0, state.length / 2))
    state[state.length - 20] ^= 1
    await refused(state)
    await refused("not bytes")
    return { caught, stays: session.position === position }
  }, PROMPT)
  assert.deepEqual(result, { caught: ["StateError", "StateError", "StateError", "InputError"], stays: true })
})

await tests.run("damaged, interrupted, missing and impossible models", async () => {
  const weights = await readFile(join(golden, "default-gated/model.safetensors"))
  const config = await readFile(join(golden, "default-gated/config.json"), "utf8")
  let requests = 0
  // Cuts the transfer of /cut after a third, twice; then goes on where it is asked to. /short always cuts.
  const server = createServer((request, response) => {
    const headers = {
      "access-control-allow-origin": "*",
      "access-control-allow-headers": "range",
      "access-control-expose-headers": "content-range",
    }
    if (request.method === "OPTIONS") return response.writeHead(204, headers).end()
    const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? "")?.[1] ?? 0)
    if (request.url === "/missing") return response.writeHead(404, headers).end()
    const cut = request.url === "/short" || requests++ < 2
    const rest = weights.subarray(from)
    response.writeHead(from > 0 ? 206 : 200, { ...headers, "content-length": rest.length })
    if (!cut) return response.end(rest)
    response.write(rest.subarray(0, Math.ceil(weights.length / 5)), () =>
      setTimeout(() => response.destroy(), 50),
    )
  })
  await new Promise((resolve) => server.listen(0, "localhost", resolve))
  const at = `http://localhost:${server.address().port}`
  try {
    const body = async ({ Engine }, { config, at }) => {
      const engine = await Engine.create({ backend: "cpu" })
      const outcome = (files, options) =>
        engine.loadModel({ config, ...files }, undefined, { cache: false, ...options }).then(
          () => "loaded",
          ({ name, message, advice }) => ({ name, message, advice }),
        )
      const abort = new AbortController()
      const cancelled = engine
        .loadModel({ config, weights: `${at}/short` }, () => abort.abort(), {
          cache: false,
          signal: abort.signal,
        })
        .catch((error) => error.name)
      const good = new Uint8Array(
        await (await fetch("/golden/default-gated/model.safetensors")).arrayBuffer(),
      )
      const results = {
        cancelled: await cancelled,
        cut: await outcome({ weights: `${at}/cut` }),
        short: await outcome({ weights: `${at}/short` }),
        missing: await outcome({ weights: `${at}/missing` }),
        half: await outcome({ weights: good.slice(0, good.length / 2) }),
        integrity: await outcome({ weights: good, integrity: { weights: "00".repeat(32) } }),
        config: await outcome({ config: '{"vocab_size": -1}', weights: good }),
      }
      const softmax = JSON.parse(await (await fetch("/golden/release-softmax/config.json")).text())
      const gpu = await Engine.create({ backend: "gpu" })
      results.large = await gpu
        .loadModel({ config: softmax, weights: "/golden/release-softmax/model.safetensors" }, undefined, {
          maxContext: 2 ** 30,
        })
        .then(
          () => "loaded",
          ({ name, message, advice }) => ({ name, message, advice }),
        )
      results.still = await outcome({ weights: good })
      const session = await (await engine.loadModel({ config, weights: good })).createSession()
      results.number = await session
        .generate({ repetitionPenalty: NaN })
        .next()
        .catch(({ name, message, advice }) => ({ name, message, advice }))
      return results
    }
    const results = await inPage(body, { config, at }, { complain: true })
    assert.equal(results.cancelled, "AbortError")
    assert.equal(results.cut, "loaded", JSON.stringify(results.cut))
    for (const [what, name] of Object.entries({
      short: "DownloadError",
      missing: "DownloadError",
      half: "ModelFormatError",
      integrity: "IntegrityError",
      config: "ConfigError",
      large: "LimitError",
      number: "InputError",
    })) {
      assert.equal(results[what].name, name, `${what}: ${JSON.stringify(results[what])}`)
      assert.ok(
        (results[what].advice || what === "config") && !results[what].message.includes("\n"),
        `${what}: ${JSON.stringify(results[what])}`,
      )
      // In the package's words, not the command line's.
      assert.doesNotMatch(`${results[what].message} ${results[what].advice}`, /--[a-z]/)
    }
    assert.match(results.number.message, /repetitionPenalty is NaN/)
    assert.equal(results.still, "loaded")
  } finally {
    server.close()
  }
})

await tests.run("what there is no option for is refused, with what there is", async () => {
  const refused = await inPage(async ({ default: init, Engine }) => {
    const said = async (work) => {
      try {
        await work()
        return "accepted"
      } catch ({ name, message, advice }) {
        return { name, message, advice }
      }
    }
    const engine = await Engine.create({ backend: "cpu" })
    const model = await engine.loadBuiltIn()
    const session = await model.createSession()
    await session.read("Once")
    const weights = new Uint8Array()
    return {
      wasmUrl: await said(() => init({ wasmUrl: "x" })),
      device: await said(() => Engine.create({ device: "cpu" })),
      tokeniser: await said(() => engine.loadModel({ config: "{}", weights, tokeniser: "x" })),
      max_context: await said(() =>
        engine.loadModel({ config: "{}", weights }, undefined, { max_context: 3 }),
      ),
      scored: await said(() => session.read("x", { scored: true })),
      max_tokens: await said(() => model.generate("x", { max_tokens: 3 }).next()),
      temprature: await said(() => session.generate({ temprature: 0 }).next()),
      epochs: await said(() => engine.train({ epochs: 3 }).next()),
      browser: await said(() => engine.bench({ browser: "x" }).next()),
      // A value that cannot be is told by Rust.
      topK: await said(() => session.generate({ topK: "many" }).next()),
      backend: await said(() => Engine.create({ backend: "tpu" })),
      steps: await said(() => engine.train({ steps: -1 }).next()),
      stop: await said(() => session.generate({ stop: "end" }).next()),
      signal: await said(() => session.read("x", { signal: true })),
      score: await said(() => session.read("x", { score: 1 })),
      options: await said(() => session.read("x", null)),
      text: await said(() => session.read(undefined)),
      ids: await said(() => model.logits([1, 2.5])),
      prompt: await said(() => model.generate(7).next()),
      quick: await said(() => engine.bench({ quick: 1 }).next()),
      still: await said(() =>
        session.generate({ maxTokens: 1, signal: new AbortController().signal }).next(),
      ),
    }
  })
  const { still, ...others } = refused
  assert.equal(still, "accepted", JSON.stringify(still))
  for (const [option, { name, message, advice }] of Object.entries(others)) {
    assert.equal(name, "InputError", `${option}: ${JSON.stringify(others[option])}`)
    assert.ok(message.includes(option) && advice, `${option}: ${JSON.stringify(others[option])}`)
  }
  const there = "maxTokens, temperature, topK, topP, minP, repetitionPenalty, seed, stop, signal, specialAsText"
  assert.equal(others.max_tokens.advice, `there are ${there}`)
  assert.match(others.max_tokens.message, /unknown option max_tokens; did you mean maxTokens\?/)
  assert.match(others.temprature.message, /did you mean temperature\?/)
  assert.doesNotMatch(others.epochs.message, /did you mean/)
  assert.match(others.steps.message, /steps is -1, a whole number, 0 or more, is expected/)
  for (const value of Object.values(others))
    assert.doesNotMatch(value.message + value.advice, /usize|--[a-z]/)
  return others.topK.message
})

await tests.run("the cache is used, checked and cleared; two tabs at once", async () => {
  const context = await browser.newContext()
  const body = async ({ Engine, clearCache }, clear) => {
    const engine = await Engine.create({ backend: "cpu" })
    let cached
    const model = await engine.loadBuiltIn((p) => p.stage === "download" && (cached = p.cached))
    const logits = await model.logits(new Int32Array([5, 6, 7]))
    if (clear) await clearCache()
    return { cached, first: logits[0] }
  }
  const tab = { at: context }
  const [first, second] = [await inPage(body, false, tab), await inPage(body, false, tab)]
  // Damaged where it is kept.
  await inPage(
    async () => {
      const store = await caches.open("polysketch-1")
      const key = (await store.keys()).find((request) => request.url.endsWith("model.safetensors"))
      await store.put(key, new Response(new Uint8Array(1000)))
    },
    null,
    tab,
  )
  const third = await inPage(body, false, tab)
  const both = await Promise.all([inPage(body, false, tab), inPage(body, true, tab)])
  const last = await inPage(body, false, tab)
  await context.close()
  assert.deepEqual(
    [first, second, third, last].map((r) => r.cached),
    [false, true, false, false],
  )
  assert.ok([second, third, last, ...both].every((r) => r.first === first.first))
})

await tests.run("a small model learns in the page", async () => {
  const result = await inPage(async ({ Engine }) => {
    const engine = await Engine.create({ backend: "cpu" })
    const losses = []
    const training = engine.train({
      task: "mqar",
      items: 2,
      vocabulary: 12,
      context: 16,
      batch: 32,
      steps: 150,
      evalEvery: 50,
    })
    let accuracy
    for (let next = await training.next(); ; next = await training.next()) {
      if (next.done) {
        const model = await engine.loadModel({ config: next.value.config, weights: next.value.weights })
        return { losses, accuracy, layers: model.info.layers }
      }
      losses.push(next.value.loss)
      accuracy = next.value.accuracy ?? accuracy
    }
  })
  const [first, last] = [result.losses[0], result.losses.at(-1)]
  assert.ok(result.losses.length === 150 && last < 0.6 * first, `loss ${first} became ${last}`)
  assert.equal(result.layers, 2)
  return `loss ${first.toFixed(2)} to ${last.toFixed(2)}, ${(100 * result.accuracy).toFixed(0)} % right`
})

await tests.run("without WebGPU it says why and runs on the CPU", async () => {
  const without = await launch({ webgpu: false })
  try {
    const result = await inPage(
      async ({ Engine }) => {
        const error = await Engine.create({ backend: "gpu" }).catch(({ name, advice }) => ({ name, advice }))
        const engine = await Engine.create()
        const model = await engine.loadBuiltIn()
        let text = ""
        for await (const piece of model.generate("Once", { maxTokens: 4 })) text += piece
        return { error, info: engine.info, text }
      },
      null,
      { at: without },
    )
    assert.equal(result.error.name, "WebGpuUnavailableError", JSON.stringify(result.error))
    assert.ok(
      result.error.advice && result.info.backend === "cpu" && result.info.fallback && result.text,
      JSON.stringify(result),
    )
    return result.info.fallback
  } finally {
    await without.close()
  }
})

await browser.close()
close()
tests.report()
