// Downloads as networks and servers are: broken off, changed meanwhile, busy, not what they should be; and
// what the browser keeps of them.
import assert from "node:assert/strict"
import { createHash } from "node:crypto"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { answering, golden, inPage as inAnyPage, launch, serveAll, Tests } from "./harness.mjs"

const tests = new Tests()
const { address, close } = await serveAll()
const browser = await launch({ webgpu: false })
const weights = await readFile(join(golden, "default-gated/model.safetensors"))
const config = await readFile(join(golden, "default-gated/config.json"), "utf8")
const HALF = Math.floor(weights.length / 2)
const CORS = {
  "access-control-allow-origin": "*",
  "access-control-allow-headers": "*",
  "access-control-expose-headers": "*",
}

const inPage = (body, argument, options = {}) =>
  inAnyPage(body, argument, { at: browser, url: `${address}/test/blank.html`, complain: true, ...options })

/** Loads the golden model, whose weights come from `url`; the error, or the first logit. */
const load = (url, options = {}, more = {}) =>
  inPage(
    async ({ default: init, Engine, cachedFiles }, { url, config, options, integrity }) => {
      await init({ worker: false })
      const engine = await Engine.create({ backend: "cpu" })
      let cached
      try {
        const onProgress = (progress) => (cached = progress.cached ?? cached)
        const model = await engine.loadModel({ config, weights: url, integrity }, onProgress, options)
        const [first] = await model.logits(new Int32Array([5, 6, 7]))
        return { first, cached, kept: await cachedFiles(), warnings: model.info.warnings }
      } catch ({ name, message, advice }) {
        return { name, message, advice }
      }
    },
    { url, config, options: { cache: false, ...options }, integrity: more.integrity },
    more,
  )

/** A server of which each request takes the next step; what it was asked for. */
async function stepping(steps) {
  const asked = []
  const server = await answering((request, response) => {
    if (request.method === "OPTIONS") return response.writeHead(204, CORS).end()
    const step = steps[Math.min(asked.length, steps.length - 1)]
    asked.push({ method: request.method, range: request.headers.range, if: request.headers["if-range"] })
    step(request, response)
  })
  return { ...server, url: `${server.address}/model.safetensors`, asked }
}

const whole = (body, headers) => (_, response) =>
  response.writeHead(200, { ...CORS, "content-length": body.length, ...headers }).end(body)
/** All headers, half the body, and an end. */
const half = (body, headers) => (_, response) => {
  response.writeHead(200, { ...CORS, "content-length": body.length, ...headers })
  response.write(body.subarray(0, HALF), () => setTimeout(() => response.destroy(), 50))
}
const part =
  (body, from, headers, range = `bytes ${from}-${body.length - 1}/${body.length}`) =>
  (_, response) => {
    const rest = body.subarray(from)
    response
      .writeHead(206, { ...CORS, "content-length": rest.length, "content-range": range, ...headers })
      .end(rest)
  }
const status = (code, headers) => (_, response) => response.writeHead(code, { ...CORS, ...headers }).end()

/** Another file of the same length, and its first logit. */
const other = Buffer.from(weights)
for (let at = other.length - 4000; at < other.length; at += 4) other.writeFloatLE(0.01 * (at % 7), at)
const want = {}

await tests.run("what the two files give", async () => {
  for (const [name, body] of Object.entries({ weights, other })) {
    const server = await stepping([whole(body)])
    want[name] = (await load(server.url)).first
    server.close()
  }
  assert.notEqual(want.weights, want.other)
})

/** Loads in steps, and what must come of it. */
async function goes(name, steps, check, more) {
  await tests.run(name, async () => {
    const server = await stepping(steps)
    try {
      return await check(await load(server.url, {}, more), server)
    } finally {
      server.close()
    }
  })
}

const digest = createHash("sha256").update(weights).digest("hex")
const [one, two] = [{ etag: '"1"' }, { etag: '"2"' }]

await goes("goes on where it broke", [half(weights, one), part(weights, HALF, one)], (got, { asked }) => {
  assert.equal(got.first, want.weights, JSON.stringify(got))
  assert.deepEqual(
    asked.map((request) => request.range),
    [undefined, `bytes=${HALF}-`],
  )
})

await goes(
  "a file that changed starts over: another tag",
  [half(weights, one), part(other, HALF, two), whole(other, two)],
  (got, { asked }) => {
    assert.equal(got.first, want.other, JSON.stringify(got))
    assert.deepEqual(
      asked.map((request) => request.range),
      [undefined, `bytes=${HALF}-`, undefined],
    )
  },
)

await goes(
  "a part that begins elsewhere starts over",
  [half(weights, one), part(weights, HALF + 4, one), whole(weights, one)],
  (got) => assert.equal(got.first, want.weights, JSON.stringify(got)),
)

await goes(
  "another length starts over",
  [
    half(weights, one),
    part(weights, HALF, one, `bytes ${HALF}-${weights.length - 1}/${weights.length + 8}`),
    whole(weights, one),
  ],
  (got) => assert.equal(got.first, want.weights, JSON.stringify(got)),
)

await goes("what has no version starts over", [half(weights), whole(other)], (got, { asked }) => {
  assert.equal(got.first, want.other, JSON.stringify(got))
  assert.deepEqual(
    asked.map((request) => request.range),
    [undefined, undefined],
  )
})

await goes(
  "two versions joined unseen are found by the digest, and loaded anew",
  [half(other), part(weights, HALF), whole(weights)],
  (got) => assert.equal(got.first, want.weights, JSON.stringify(got)),
  { integrity: { weights: digest } },
)

await goes(
  "complete but broken off: nothing is behind it",
  [
    (_, response) => {
      response.writeHead(200, { ...CORS, ...one, "transfer-encoding": "chunked" })
      response.write(weights, () => setTimeout(() => response.destroy(), 50))
    },
    status(416, { "content-range": `bytes */${weights.length}`, ...one }),
  ],
  (got) => assert.equal(got.first, want.weights, JSON.stringify(got)),
)

await goes(
  "a busy server is asked again when it says",
  [status(503, { "retry-after": "1" }), status(429), whole(weights)],
  (got, { asked }) => {
    assert.equal(got.first, want.weights, JSON.stringify(got))
    assert.equal(asked.length, 3)
  },
)

await goes(
  "a server that is busy for long is not waited for",
  [status(429, { "retry-after": "3600" })],
  (got) => {
    assert.equal(got.name, "DownloadError", JSON.stringify(got))
    assert.match(got.message, /answers 429/)
    assert.match(got.advice, /3600 seconds/)
  },
)

await goes(
  "a page in place of a file is called that",
  [whole(Buffer.from("\n<!DOCTYPE html><title>app</title>"), { "content-type": "text/html" })],
  (got, { url }) => {
    assert.equal(got.name, "DownloadError", JSON.stringify(got))
    assert.equal(got.message, `this is an HTML page, not the file; the server answered 200 for ${url}`)
  },
)

await tests.run("If-Range goes to the page's own origin", async () => {
  const asked = []
  const got = await inAnyPage(
    async ({ default: init, Engine }, { config, url }) => {
      await init({ worker: false })
      const engine = await Engine.create({ backend: "cpu" })
      const model = await engine.loadModel({ config, weights: url }, undefined, { cache: false })
      return (await model.logits(new Int32Array([5, 6, 7])))[0]
    },
    { config, url: "/test/model.safetensors" },
    {
      url: `${address}/test/blank.html`,
      complain: true,
      at: {
        newPage: async () => {
          const page = await browser.newPage()
          // Half of it with the length of all, and then the rest, or what a change would bring.
          await page.addInitScript(
            ({ half, length }) => {
              const real = globalThis.fetch
              let first = true
              globalThis.fetch = (url, options) => {
                if (!String(url).endsWith("/test/model.safetensors") || !first) return real(url, options)
                first = false
                const bytes = Uint8Array.from(atob(half), (c) => c.charCodeAt(0))
                const headers = { "content-length": String(length), etag: '"1"' }
                return Promise.resolve(new Response(bytes, { headers }))
              }
            },
            { half: weights.subarray(0, HALF).toString("base64"), length: weights.length },
          )
          await page.route("**/test/model.safetensors", (route) => {
            asked.push(route.request().headers())
            const rest = weights.subarray(HALF)
            const headers = {
              etag: '"1"',
              "content-range": `bytes ${HALF}-${weights.length - 1}/${weights.length}`,
            }
            return route.fulfill({ status: 206, headers, body: rest })
          })
          return page
        },
      },
    },
  )
  assert.equal(got, want.weights)
  assert.deepEqual(
    asked.map((headers) => [headers.range, headers["if-range"]]),
    [[`bytes=${HALF}-`, '"1"']],
  )
})

await tests.run("models of one's own are kept by their version, listed and forgotten", async () => {
  let [body, tag] = [weights, '"1"']
  const methods = []
  const server = await answering((request, response) => {
    if (request.method === "OPTIONS") return response.writeHead(204, CORS).end()
    methods.push(request.method)
    const headers = { ...CORS, etag: tag, "content-length": body.length }
    response.writeHead(200, headers).end(request.method === "HEAD" ? undefined : body)
  })
  const url = `${server.address}/own.safetensors`
  const context = await browser.newContext()
  try {
    const own = () => load(url, { cache: true }, { at: context })
    const [first, second] = [await own(), await own()]
    assert.deepEqual(methods, ["GET", "HEAD"], "the second comes from the cache")
    assert.deepEqual([first.cached, second.cached], [false, true])
    assert.deepEqual(
      second.kept.map(({ url, bytes }) => ({ url, bytes })),
      [{ url, bytes: weights.length }],
    )
    ;[body, tag] = [other, '"2"']
    const third = await own()
    assert.deepEqual([third.first, third.cached], [want.other, false], "another version is loaded")
    // Without its server, the kept one is the best there is.
    server.close()
    const offline = await own()
    assert.deepEqual([offline.first, offline.cached], [want.other, true], JSON.stringify(offline))
    const left = await inPage(
      async ({ cachedFiles, clearCache }, url) => {
        const some = await clearCache("https://example.org/another")
        const mine = await clearCache(url)
        const left = await cachedFiles()
        return { some, mine, left, all: await clearCache() }
      },
      url,
      { at: context },
    )
    assert.deepEqual(left, { some: false, mine: true, left: [], all: true })
  } finally {
    await context.close()
    server.close()
  }
})

await tests.run("a full disk costs the cache, not the model", async () => {
  const server = await stepping([whole(weights, one)])
  const prepare = () => {
    const full = () => Promise.reject(new DOMException("full", "QuotaExceededError"))
    Cache.prototype.put = full
    FileSystemWritableFileStream.prototype.write = full
  }
  try {
    // With a digest it is taken whole, and kept in the Cache API.
    for (const integrity of [undefined, { weights: digest }]) {
      const got = await load(server.url, { cache: true }, { prepare, integrity })
      assert.equal(got.first, want.weights, JSON.stringify(got))
      assert.match(got.warnings.join(), /no room/)
    }
  } finally {
    server.close()
  }
})

await browser.close()
close()
tests.report()
