// The state behind the page's parts, without a page: a model of words in the place of the real one.
import assert from "node:assert/strict"
import { fileURLToPath } from "node:url"
import { build } from "esbuild"
import { Tests } from "./harness.mjs"

const tests = new Tests()
const page = fileURLToPath(new URL("../page/", import.meta.url))
const contents = `
  export { Reading } from "./reading.js"; export { Feed } from "./feed.js"
  export { Course, milestones, speedAt } from "./course.js"
`
const { outputFiles } = await build({
  stdin: { contents, resolveDir: page },
  absWorkingDir: fileURLToPath(new URL("..", import.meta.url)),
  bundle: true,
  write: false,
  format: "esm",
  platform: "node",
})
const code = Buffer.from(outputFiles[0].contents).toString("base64")
const { Reading, Feed, Course, milestones, speedAt } = await import(`data:text/javascript;base64,${code}`)

/** 60 000 words on lines that end as on Windows: several pieces. */
const words = Array.from({ length: 60_000 }, (_, i) => `word${i}${i % 9 === 8 ? "\r\n" : " "}`).join("")
const text = { name: "words", data: new Blob([words]) }
const asRead = words.replaceAll("\r\n", "\n")

/** A word with the white space before it is a token. */
class Model {
  info = { cacheBytesPerToken: 10, context: 0, memory: { state: 100, cache: 0 } }
  #known = []
  #ids = new Map()

  async encode(text) {
    const tokens = text.match(/\s*\S+|\s+$/g) ?? []
    return Int32Array.from(tokens, (token) => {
      if (!this.#ids.has(token)) this.#ids.set(token, this.#known.push(token) - 1)
      return this.#ids.get(token)
    })
  }

  async decode(ids) {
    return Array.from(ids, (id) => this.#known[id]).join("")
  }

  async createSession() {
    return new Session()
  }
}

/** Remembers everything. `fail.error` is thrown once, where the position has come to `fail.position`. */
class Session {
  static fail
  stateBytes = 100
  seen = []

  get position() {
    return this.seen.length
  }

  async read(ids, { signal, onProgress }) {
    // Two calls, as a long text takes.
    const half = Math.ceil(ids.length / 2)
    for (const [from, to] of [
      [0, half],
      [half, ids.length],
    ]) {
      signal.throwIfAborted()
      if (Session.fail && this.position >= Session.fail.position) {
        const { error } = Session.fail
        Session.fail = undefined
        throw error
      }
      this.seen.push(...ids.subarray(from, to))
      onProgress({ done: to, total: ids.length, position: this.position, nll: 2, tokensPerSecond: 2000 })
    }
  }

  async *generate({ maxTokens }) {
    for (let i = 0; i < maxTokens; i++) {
      this.seen.push(-1)
      yield "so "
    }
    return { text: "", tokens: maxTokens, reason: "max_tokens" }
  }

  async saveState() {
    return [...this.seen]
  }

  async loadState(state) {
    this.seen = [...state]
  }

  async reset() {
    this.seen = []
  }
}

const never = { signal: new AbortController().signal, changed: () => undefined }

async function begun() {
  const [model, reading] = [new Model(), new Reading()]
  const session = await reading.open(model)
  await reading.begin(session, text)
  return { model, reading, session }
}

const textOf = (model, session) => model.decode(session.seen)

await tests.run("a text is read once, from end to end", async () => {
  const { model, reading, session } = await begun()
  await reading.readOn(session, model, text, never)
  assert.equal(await textOf(model, session), asRead)
  assert.equal(reading.tail, asRead.slice(-600))
  assert.deepEqual([reading.fraction, reading.meanLoss, reading.passing], [1, 2, ""])
  assert.equal(reading.keptAt, session.position)
  return `${session.position} tokens`
})

await tests.run("a stop and reading on miss nothing and repeat nothing", async () => {
  const { model, reading, session } = await begun()
  let [stops, most] = [0, 0]
  for (let done = false; !done;) {
    const abort = new AbortController()
    let calls = 0
    const changed = () => {
      assert.ok(reading.fraction >= most, "it goes backwards")
      most = reading.fraction
      if (++calls === 5 && stops < 7) abort.abort()
    }
    try {
      await reading.readOn(session, model, text, { signal: abort.signal, changed })
      done = true
    } catch (error) {
      assert.equal(error.name, "AbortError")
      stops++
      assert.equal(reading.keptAt, session.position, "a stop keeps the state")
      assert.equal(reading.tail, (await textOf(model, session)).slice(-600))
    }
  }
  assert.equal(stops, 7)
  assert.equal(await textOf(model, session), asRead)
})

await tests.run("after a lost device it goes on from the state that was kept", async () => {
  const { model, reading, session } = await begun()
  const lost = new Error("lost")
  // Beyond the first state that is kept in between.
  Session.fail = { position: 50_000, error: lost }
  await assert.rejects(reading.readOn(session, model, text, never), lost)
  const before = reading.position
  assert.ok(32_768 <= reading.keptAt && reading.keptAt <= before)
  const again = await reading.open(model)
  assert.equal(again.position, reading.keptAt)
  assert.equal(reading.position, reading.keptAt)
  assert.ok((reading.loss.x.at(-1) ?? 0) <= reading.keptAt, "the curve is cut")
  await reading.readOn(again, model, text, never)
  assert.equal(await textOf(model, again), asRead)
  assert.equal(reading.meanLoss, 2)
})

await tests.run("writing goes on after the text, and is kept", async () => {
  const { model, reading, session } = await begun()
  let said = ""
  const options = { maxTokens: 3, signal: never.signal }
  const done = await reading.write(session, options, (fresh) => (said += fresh))
  assert.deepEqual([said, done.tokens, reading.position, reading.keptAt], ["so so so ", 3, 3, 3])
  assert.ok(reading.tail.endsWith(said))
  await reading.forget(session)
  assert.deepEqual([reading.position, reading.tail, reading.meanLoss, reading.keptAt], [0, "", undefined, 0])
  assert.equal((await reading.open(model)).position, 0)
})

await tests.run("a feed gives the tokens of the whole text, so many at a time", async () => {
  const model = new Model()
  const feed = new Feed(async () => text)
  let all = ""
  for (let taken; (taken = await feed.next(999, async () => model)).length > 0;)
    all += await model.decode(taken)
  assert.equal(all, asRead)
  feed.rewind()
  assert.equal((await model.decode(await feed.next(1, async () => model))).trim(), "word0")
  const empty = new Feed(async () => ({ name: "nothing", data: new Blob([]) }))
  await assert.rejects(
    empty.next(1, async () => model),
    /there is no text/,
  )
})

/** A runner that keeps 1,000 bytes, and 10 a token where it has a cache. */
function runner(most, cache) {
  const session = {
    stateBytes: 1000 + cache,
    calls: [],
    async read(ids) {
      this.calls.push(ids.length)
    },
  }
  return { session, most, model: { info: { cacheBytesPerToken: 10, memory: { cache } } } }
}

await tests.run("race: two models read one text in turns, softmax as far as it can", async () => {
  const runners = { softmax: runner(4000, 10 * 4000), linear: runner(Infinity, 0) }
  const order = []
  const course = new Course(8200)
  await course.run(runners, new Int32Array(8200), {
    signal: new AbortController().signal,
    changed: (name) => order.push(name),
  })
  assert.equal(course.stopped, 4000)
  assert.equal(course.position, 8200)
  // 32 stretches of 256, and what is left; softmax to its very end.
  const before = [...Array(15).fill(256), 160]
  assert.deepEqual(runners.softmax.session.calls, before)
  assert.deepEqual(runners.linear.session.calls, [...before, 96, ...Array(16).fill(256), 8])
  assert.deepEqual(order.slice(0, 6), ["softmax", "softmax", "linear", "linear", "softmax", "softmax"])
  const [first, at, last] = [course.posts[0], course.posts[15], course.posts[33]]
  assert.deepEqual([first.softmax.kept, first.linear.kept], [3560, 1000])
  assert.deepEqual([at.position, at.softmax.kept, at.linear.kept], [4000, 41_000, 1000])
  assert.deepEqual([last.position, last.softmax, last.linear.kept], [8200, undefined, 1000])
  assert.ok(course.posts.every((post) => post.linear.tokensPerSecond > 0))
  assert.deepEqual(
    milestones(course.posts).map((post) => post.position),
    [512, 1024, 2048, 4000, 4096, 8192, 8200],
  )
  assert.deepEqual(milestones([]), [])
  const posts = [9, 2, 3, 1].map((tokensPerSecond, i) => ({ position: i, linear: { tokensPerSecond } }))
  assert.deepEqual(
    posts.map((post) => speedAt(posts, post, "linear")),
    [9, 9, 3, 2],
  )
  assert.equal(speedAt(posts, posts[1], "softmax"), undefined)
})

await tests.run("race: a stop falls between two stretches", async () => {
  const abort = new AbortController()
  const runners = { softmax: runner(Infinity, 10 * 1024), linear: runner(Infinity, 0) }
  const course = new Course(1024)
  const changed = (name) => name === "linear" && course.posts[0]?.linear && abort.abort()
  await assert.rejects(course.run(runners, new Int32Array(1024), { signal: abort.signal, changed }), {
    name: "AbortError",
  })
  assert.equal(course.position, 128)
  assert.equal(course.stopped, undefined)
})

tests.report()
