/**
 * polysketch in a browser: language models whose attention costs the same per token at any position, on
 * WebGPU or the CPU.
 *
 *     import init, { Engine } from "polysketch"
 *     await init()
 *     const engine = await Engine.create({ backend: "auto" })
 *     const model = await engine.loadBuiltIn(({ stage, done, total }) => …)
 *     for await (const piece of model.generate("She opened the letter, and", { maxTokens: 100 })) …
 *
 * Everything runs in a Web Worker. Errors are classes with a `message`, and with `advice` where there is
 * something to do.
 */

import * as Comlink from "comlink"
import { ClosedError, fromPlain, InputError, type PlainError } from "./errors.js"
import type { BenchHost, EngineHost, Host, ModelHost, Remote, SessionHost, TrainerHost } from "./host.js"
import { builtIn, modelName } from "./built_in.js"
import { known } from "./options.js"
import type {
  BenchEvent,
  BenchOptions,
  EncodeOptions,
  EngineInfo,
  EngineOptions,
  Generated,
  GenerateOptions,
  HeadState,
  InitOptions,
  LoadOptions,
  LoadProgress,
  ModelFiles,
  ModelInfo,
  PromptOptions,
  ReadOptions,
  ReadProgress,
  Trained,
  TrainOptions,
  TrainStep,
} from "./types.js"

export * from "./errors.js"
export type * from "./types.js"
export { clearCache } from "./downloads.js"

/**
 * The other end, and the promise that it is still there: it never resolves, and rejects when the end is
 * closed.
 */
interface Connection {
  host: Remote<Host>
  lost: Promise<never>
  close: (reason: Error) => void
}

let settings: InitOptions | undefined

/** Says how engines run. Without a call they run in a worker, with the WebAssembly beside this module. */
export default async function init(options: InitOptions = {}): Promise<void> {
  settings = known("init options", options)
}

async function connect(): Promise<Connection> {
  const { worker: inWorker = typeof Worker !== "undefined", wasm } = settings ?? {}
  const wasmUrl = wasm === undefined ? undefined : new URL(wasm, globalThis.location?.href).href
  let reject!: (reason: Error) => void
  const lost = new Promise<never>((_, fail) => (reject = fail))
  // Whoever waits for something hears of it; if nobody waits, nobody is missing anything.
  lost.catch(() => undefined)
  let connection: Connection
  if (inWorker) {
    const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module", name: "polysketch" })
    const close = (reason: Error) => {
      worker.terminate()
      reject(reason)
    }
    worker.onerror = (event) =>
      close(
        new ClosedError(
          `the engine's worker stopped: ${event.message || "it could not be loaded"}`,
          "reload the page",
        ),
      )
    connection = { host: Comlink.wrap<Host>(worker), lost, close }
  } else {
    const { host } = await import("./host.js")
    connection = { host, lost, close: reject }
  }
  await ask(connection, connection.host.start(wasmUrl))
  return connection
}

/** The answer of the other end, or its error as one of ours. */
async function ask<T>(connection: Connection, answer: T | Promise<T>): Promise<Awaited<T>> {
  try {
    return await Promise.race([answer, connection.lost])
  } catch (error) {
    throw error instanceof Error ? error : fromPlain(error as PlainError)
  }
}

/** For what is done on the way out, where nobody waits for an answer. */
function quietly(answer: unknown) {
  Promise.resolve(answer).catch(() => undefined)
}

/** One after the other: a text's calls must not overlap. */
class Queue {
  #last: Promise<unknown> = Promise.resolve()

  run<T>(work: () => Promise<T>): Promise<T> {
    const next = this.#last.then(work)
    this.#last = next.catch(() => undefined)
    return next
  }
}

/** Where models run. */
export class Engine {
  /** Backend, adapter, features and limits; why there is no GPU. */
  readonly info: EngineInfo
  readonly #connection: Connection
  readonly #host: Remote<EngineHost>
  static #loads = 0

  private constructor(connection: Connection, host: Remote<EngineHost>, info: EngineInfo) {
    this.#connection = connection
    this.#host = host
    this.info = info
  }

  /**
   * Chooses where to run: a real GPU, or else the CPU. `backend: "gpu"` takes a software GPU too.
   * @throws WebGpuUnavailableError for `backend: "gpu"` where there is none.
   */
  static async create(options: EngineOptions = {}): Promise<Engine> {
    known("engine options", options)
    const connection = await connect()
    try {
      const host = (await ask(connection, connection.host.createEngine(options))) as Remote<EngineHost>
      return new Engine(connection, host, await ask(connection, host.getInfo()))
    } catch (error) {
      connection.close(new ClosedError("the engine was not created"))
      throw error
    }
  }

  /**
   * Loads a model folder's files: bytes, or addresses, which are downloaded with progress, checked and kept
   * in the browser's cache.
   * @throws DownloadError, IntegrityError, ConfigError, ModelFormatError, TokenizerError, LimitError,
   * OutOfMemoryError
   */
  async loadModel(
    files: ModelFiles,
    onProgress?: (progress: LoadProgress) => void,
    options: LoadOptions = {},
  ): Promise<Model> {
    const { signal, cache = true, ...rest } = known("load options", options)
    signal?.throwIfAborted()
    const id = Engine.#loads++
    const cancel = () => quietly(this.#host.cancelLoad(id))
    signal?.addEventListener("abort", cancel, { once: true })
    try {
      const progress = onProgress && Comlink.proxy(onProgress)
      const loading = { files: absolute(known("model files", files)), cache, options: rest }
      const host = (await ask(
        this.#connection,
        this.#host.loadModel(id, loading, progress),
      )) as Remote<ModelHost>
      return await Model.open(this.#connection, host)
    } finally {
      signal?.removeEventListener("abort", cancel)
    }
  }

  /** Loads the built-in model: a small one trained on public-domain novels. */
  loadBuiltIn(onProgress?: (progress: LoadProgress) => void, options: LoadOptions = {}): Promise<Model> {
    return this.loadModel(builtIn(import.meta.url), onProgress, options)
  }

  /** Trains a small model on a synthetic task, a step at a time. To stop, leave the loop. */
  async *train(options: TrainOptions = {}): AsyncGenerator<TrainStep, Trained> {
    const { signal, ...rest } = known("train options", options)
    signal?.throwIfAborted()
    const trainer = (await ask(this.#connection, this.#host.trainer(rest))) as Remote<TrainerHost>
    try {
      for (;;) {
        signal?.throwIfAborted()
        const step = await ask(this.#connection, trainer.step())
        yield step
        if (step.step >= step.steps) return await ask(this.#connection, trainer.model())
      }
    } finally {
      quietly(trainer.free())
    }
  }

  /**
   * Measures this device: the native program's suites and rows, one after the other, with the built-in model.
   * Leaving the loop stops it after the row that is being measured.
   */
  async *bench(options: BenchOptions = {}): AsyncGenerator<BenchEvent, void> {
    const { signal, ...rest } = known("bench options", options)
    signal?.throwIfAborted()
    const model = builtIn(import.meta.url)
    const bench = (await ask(this.#connection, this.#host.bench(rest, model, modelName))) as Remote<BenchHost>
    try {
      for (;;) {
        const events = await ask(this.#connection, bench.events())
        if (events.length === 0) return
        for (const event of events) {
          signal?.throwIfAborted()
          yield event
        }
      }
    } finally {
      quietly(bench.stop())
    }
  }

  /** Ends the engine's worker and everything in it. Calls that wait fail with a `ClosedError`. */
  close() {
    this.#connection.close(new ClosedError("the engine was closed", "create another one"))
  }
}

/** A loaded model. */
export class Model {
  readonly info: ModelInfo
  readonly #connection: Connection
  readonly #host: Remote<ModelHost>

  private constructor(connection: Connection, host: Remote<ModelHost>, info: ModelInfo) {
    this.#connection = connection
    this.#host = host
    this.info = info
  }

  /** @internal */
  static async open(connection: Connection, host: Remote<ModelHost>): Promise<Model> {
    return new Model(connection, host, await ask(connection, host.getInfo()))
  }

  /** Token ids of a text. */
  async encode(text: string, options: EncodeOptions = {}): Promise<Int32Array> {
    const { specialAsText = false } = known("encode options", options)
    return ask(this.#connection, this.#host.encode(text, specialAsText))
  }

  /** The text of token ids. */
  decode(ids: Int32Array): Promise<string> {
    return ask(this.#connection, this.#host.decode(ids))
  }

  /** The logits of every token of one sequence: `[ids.length, vocabulary]`, row by row. */
  logits(ids: Int32Array): Promise<Float32Array> {
    return ask(this.#connection, this.#host.logits(ids))
  }

  /** A text of its own on this model. */
  async createSession(): Promise<Session> {
    const host = (await ask(this.#connection, this.#host.createSession())) as Remote<SessionHost>
    return Session.open(this.#connection, host)
  }

  /** Continues a prompt, piece by piece; always whole characters. */
  async *generate(prompt: string, options: PromptOptions = {}): AsyncGenerator<string, Generated> {
    const { specialAsText, ...sampling } = known("prompt options", options)
    const session = await this.createSession()
    try {
      await session.read(prompt, { specialAsText, signal: sampling.signal })
      const generated = yield* session.generate(sampling)
      // The text is not continued: what it begins last is all there is of it.
      const rest = await session.finishText()
      if (rest) yield rest
      return { ...generated, text: generated.text + rest }
    } finally {
      session.close()
    }
  }

  /** Gives the device back at once, with all its memory. Later calls fail with a `DeviceLostError`. */
  async destroy(): Promise<void> {
    await ask(this.#connection, this.#host.destroy())
  }

  /** Frees the model. Its sessions keep what they need until they are closed too. */
  close() {
    quietly(this.#host.free())
  }
}

/** A text and its state, of constant size however long the text is. Calls wait for one another. */
export class Session {
  readonly #connection: Connection
  readonly #host: Remote<SessionHost>
  readonly #queue = new Queue()
  #where: { position: number; stateBytes: number }
  /** Negative log-likelihood of everything scored, and of how many tokens. */
  #nll = 0
  #scored = 0

  private constructor(
    connection: Connection,
    host: Remote<SessionHost>,
    where: { position: number; stateBytes: number },
  ) {
    this.#connection = connection
    this.#host = host
    this.#where = where
  }

  /** @internal */
  static async open(connection: Connection, host: Remote<SessionHost>): Promise<Session> {
    return new Session(connection, host, await ask(connection, host.where()))
  }

  /** Tokens of the text so far. */
  get position(): number {
    return this.#where.position
  }

  /** Bytes of the state. */
  get stateBytes(): number {
    return this.#where.stateBytes
  }

  async #settle() {
    this.#where = await ask(this.#connection, this.#host.where())
  }

  /**
   * Reads a text, or token ids, on top of what was read and written before. What was read when it is
   * cancelled stays read.
   */
  read(text: string | Int32Array, options: ReadOptions = {}): Promise<void> {
    return this.#queue.run(async () => {
      const { score = false, specialAsText = false, onProgress, signal } = known("read options", options)
      signal?.throwIfAborted()
      let left = await ask(this.#connection, this.#host.begin(text, specialAsText))
      while (left > 0) {
        signal?.throwIfAborted()
        const part = await ask(this.#connection, this.#host.readPart(score))
        left = part.total - part.done
        this.#where.position = part.position
        this.#nll += part.nll
        this.#scored += part.scored
        onProgress?.(progress(part, this.#nll, this.#scored))
      }
    })
  }

  /**
   * Continues the text, piece by piece; always whole characters. The iterator's last value says why it ended.
   * What the last tokens begin, a character or a stop string, comes first when the text is continued, here or
   * from a saved state, or from `finishText`.
   */
  async *generate(options: GenerateOptions = {}): AsyncGenerator<string, Generated> {
    const { signal, ...sampling } = known("generate options", options)
    signal?.throwIfAborted()
    await this.#queue.run(() => ask(this.#connection, this.#host.generate(sampling)))
    let text = ""
    for (;;) {
      signal?.throwIfAborted()
      const piece = await this.#queue.run(() => ask(this.#connection, this.#host.advance()))
      this.#where.position = piece.position
      text += piece.text
      if (piece.text) yield piece.text
      if (piece.ended) return { text, tokens: piece.tokens, reason: piece.reason }
    }
  }

  /** What the last generation held back, for a text that is not continued: mostly nothing. */
  finishText(): Promise<string> {
    return this.#queue.run(() => ask(this.#connection, this.#host.finishText()))
  }

  /** The state as bytes: to keep, or to go on from elsewhere, also with the native program's `--state-in`. */
  saveState(): Promise<Uint8Array> {
    return this.#queue.run(() => ask(this.#connection, this.#host.saveState()))
  }

  /**
   * Goes on from a saved state.
   * @throws StateError if it is damaged, or another model's; the text is then as before.
   */
  loadState(bytes: Uint8Array): Promise<void> {
    return this.#queue.run(async () => {
      if (!(bytes instanceof Uint8Array))
        throw new InputError("a saved state must be a Uint8Array", "give the bytes that saveState returned")
      await ask(this.#connection, this.#host.loadState(bytes))
      await this.#settle()
      this.#nll = this.#scored = 0
    })
  }

  /**
   * What each head of a layer remembers of the text before its last block; nothing for kinds with a key-value
   * cache.
   */
  headStates(layer = 0): Promise<HeadState[]> {
    return this.#queue.run(() => ask(this.#connection, this.#host.headStates(layer)))
  }

  /** Empties the text. */
  reset(): Promise<void> {
    return this.#queue.run(async () => {
      await ask(this.#connection, this.#host.reset())
      await this.#settle()
      this.#nll = this.#scored = 0
    })
  }

  /** Frees the state, after the calls that wait. */
  close() {
    quietly(this.#queue.run(async () => this.#host.free()))
  }
}

function progress(
  part: Awaited<ReturnType<SessionHost["readPart"]>>,
  nll: number,
  scored: number,
): ReadProgress {
  const mean = (sum: number, count: number) => (count > 0 ? sum / count : undefined)
  return {
    done: part.done,
    total: part.total,
    position: part.position,
    nll: mean(part.nll, part.scored),
    meanNll: mean(nll, scored),
    tokensPerSecond: (1000 * part.tokens) / part.milliseconds,
  }
}

/**
 * Addresses as the page means them, because a worker has its own. A text that is JSON already is no address.
 */
function absolute(files: ModelFiles): ModelFiles {
  const resolve = <T>(source: T) => {
    if (typeof source === "string" && source.trimStart().startsWith("{"))
      return new TextEncoder().encode(source)
    return typeof source === "string" || source instanceof URL
      ? new URL(source, globalThis.location?.href).href
      : source
  }
  return {
    ...files,
    config: resolve(files.config),
    weights: resolve(files.weights),
    tokenizer: resolve(files.tokenizer),
    generationConfig: resolve(files.generationConfig),
    tokenizerConfig: resolve(files.tokenizerConfig),
  }
}
