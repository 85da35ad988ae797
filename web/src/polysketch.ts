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
import { builtIn, modelName } from "./built_in.js"
import { ask, configure, connect, type Connection, Handle, Queue, quietly } from "./connection.js"
import { ClosedError, InputError } from "./errors.js"
import type { BenchHost, EngineHost, ModelHost, Remote, SessionHost, TrainerHost } from "./host.js"
import { known, shown } from "./options.js"
import { address } from "./places.js"
import type {
  BenchEvent,
  BenchOptions,
  BuiltInOptions,
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
export { cachedFiles, clearCache } from "./cache.js"

/**
 * Says how engines run. Without a call they run in a worker where there can be one, with the WebAssembly
 * beside this module.
 * @throws InputError
 */
export default async function init(options: InitOptions = {}): Promise<void> {
  configure(options)
}

/** What must be a text. @throws InputError */
function text(what: string, given: unknown): string {
  if (typeof given === "string") return given
  throw new InputError(`${what} is ${shown(given)}, a text is expected`, "give a string")
}

/** What must be token ids. @throws InputError */
function ids(what: string, given: unknown): Int32Array {
  if (given instanceof Int32Array) return given
  const list =
    Array.isArray(given) || given instanceof Uint32Array ? Array.from(given as number[]) : undefined
  const bad = list?.find((id) => !Number.isInteger(id) || id < 0 || id >= 2 ** 31)
  if (list && bad === undefined) return Int32Array.from(list)
  const found = list ? `has ${shown(bad)}` : `is ${shown(given)}`
  throw new InputError(`${what} ${found}, token ids are expected`, "give the Int32Array that encode returns")
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
      const { worker, noWorker } = connection
      return new Engine(connection, host, { ...(await ask(connection, host.getInfo())), worker, noWorker })
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
    if (onProgress !== undefined && typeof onProgress !== "function")
      throw new InputError(`onProgress is ${shown(onProgress)}, a function is expected`, "give a callback")
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

  /**
   * Loads the built-in model: a small one trained on public-domain novels. `base` says where the package's
   * files are, where they do not lie beside this module.
   */
  loadBuiltIn(onProgress?: (progress: LoadProgress) => void, options?: LoadOptions): Promise<Model>
  loadBuiltIn(options: BuiltInOptions): Promise<Model>
  async loadBuiltIn(
    given?: ((progress: LoadProgress) => void) | BuiltInOptions,
    more: LoadOptions = {},
  ): Promise<Model> {
    if (given === undefined || typeof given === "function") return this.loadModel(builtIn(), given, more)
    const { onProgress, base, ...options } = known("built-in options", given)
    return this.loadModel(builtIn(base), onProgress, options)
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
    const { signal, base, ...rest } = known("bench options", options)
    signal?.throwIfAborted()
    const model = absolute(builtIn(base))
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
    if (!this.#connection.worker) quietly(this.#host.free())
    this.#connection.close(new ClosedError("the engine was closed", "create another one"))
  }
}

/** A loaded model. */
export class Model {
  readonly info: ModelInfo
  readonly #handle: Handle<ModelHost>

  private constructor(handle: Handle<ModelHost>, info: ModelInfo) {
    this.#handle = handle
    this.info = info
  }

  /** @internal */
  static async open(connection: Connection, host: Remote<ModelHost>): Promise<Model> {
    const handle = new Handle(connection, host, "model")
    return new Model(handle, await handle.ask((host) => host.getInfo()))
  }

  /** Token ids of a text. */
  async encode(given: string, options: EncodeOptions = {}): Promise<Int32Array> {
    const { specialAsText = false } = known("encode options", options)
    const whole = text("the text", given)
    return this.#handle.ask((host) => host.encode(whole, specialAsText))
  }

  /** The text of token ids. */
  async decode(given: Int32Array): Promise<string> {
    const list = ids("the ids", given)
    return this.#handle.ask((host) => host.decode(list))
  }

  /** The logits of every token of one sequence: `[ids.length, vocabulary]`, row by row. */
  async logits(given: Int32Array): Promise<Float32Array> {
    const list = ids("the ids", given)
    return this.#handle.ask((host) => host.logits(list))
  }

  /** A text of its own on this model. */
  async createSession(): Promise<Session> {
    const host = (await this.#handle.ask((host) => host.createSession())) as Remote<SessionHost>
    return Session.open(this.#handle.connection, host)
  }

  /** Continues a prompt, piece by piece; always whole characters. */
  async *generate(prompt: string, options: PromptOptions = {}): AsyncGenerator<string, Generated> {
    const { specialAsText, ...sampling } = known("prompt options", options)
    text("the prompt", prompt)
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
    await this.#handle.ask((host) => host.destroy())
  }

  /** Frees the model. Its sessions keep what they need until they are closed too. */
  close() {
    if (this.#handle.close()) quietly(this.#handle.last((host) => host.free()))
  }
}

/**
 * A text and its state, of constant size however long the text is. Calls wait for one another; only while a
 * continuation is being written, what would change the text under it is refused at once with an `InputError`.
 */
export class Session {
  readonly #handle: Handle<SessionHost>
  readonly #queue = new Queue()
  /** The continuation that is being written. */
  #writing: object | undefined
  #where: { position: number; stateBytes: number }
  /** Negative log-likelihood of everything scored, and of how many tokens. */
  #nll = 0
  #scored = 0

  private constructor(handle: Handle<SessionHost>, where: { position: number; stateBytes: number }) {
    this.#handle = handle
    this.#where = where
  }

  /** @internal */
  static async open(connection: Connection, host: Remote<SessionHost>): Promise<Session> {
    const handle = new Handle(connection, host, "session")
    return new Session(handle, await handle.ask((host) => host.where()))
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
    this.#where = await this.#handle.last((host) => host.where())
  }

  /** Refuses what would change the text under a continuation. */
  #free(what: string) {
    this.#handle.check()
    if (this.#writing)
      throw new InputError(
        `this session is being continued: it cannot ${what} meanwhile`,
        "end that loop first (leave it, or abort its signal), or use a session of its own for each text",
      )
  }

  /**
   * Reads a text, or token ids, on top of what was read and written before. What was read when it is
   * cancelled stays read.
   */
  async read(given: string | Int32Array, options: ReadOptions = {}): Promise<void> {
    const { score = false, specialAsText = false, onProgress, signal } = known("read options", options)
    const whole = typeof given === "string" ? given : ids("the text", given)
    this.#free("read")
    return this.#queue.run(async () => {
      signal?.throwIfAborted()
      let left = await this.#handle.last((host) => host.begin(whole, specialAsText))
      while (left > 0) {
        signal?.throwIfAborted()
        const part = await this.#handle.last((host) => host.readPart(score))
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
   * A second one meanwhile, or a `read`, is refused with an `InputError`; it ends when its loop is left, or
   * its signal aborts.
   * What the last tokens begin, a character or a stop string, comes first when the text is continued, here or
   * from a saved state, or from `finishText`.
   */
  async *generate(options: GenerateOptions = {}): AsyncGenerator<string, Generated> {
    const { signal, ...sampling } = known("generate options", options)
    signal?.throwIfAborted()
    this.#free("be continued again")
    const mine = (this.#writing = {})
    // Also where nobody asks for more.
    const end = () => {
      if (this.#writing === mine) this.#writing = undefined
    }
    signal?.addEventListener("abort", end, { once: true })
    try {
      await this.#queue.run(() => this.#handle.ask((host) => host.generate(sampling)))
      let text = ""
      for (;;) {
        signal?.throwIfAborted()
        const piece = await this.#queue.run(() => this.#handle.ask((host) => host.advance()))
        this.#where.position = piece.position
        text += piece.text
        if (piece.text) yield piece.text
        if (piece.ended) return { text, tokens: piece.tokens, reason: piece.reason }
      }
    } finally {
      signal?.removeEventListener("abort", end)
      end()
    }
  }

  /** What the last generation held back, for a text that is not continued: mostly nothing. */
  async finishText(): Promise<string> {
    this.#free("finishText")
    return this.#queue.run(() => this.#handle.last((host) => host.finishText()))
  }

  /** The state as bytes: to keep, or to go on from elsewhere, also with the native program's `--state-in`. */
  async saveState(): Promise<Uint8Array> {
    this.#handle.check()
    return this.#queue.run(() => this.#handle.last((host) => host.saveState()))
  }

  /**
   * Goes on from a saved state.
   * @throws StateError if it is damaged, or another model's; the text is then as before.
   */
  async loadState(bytes: Uint8Array): Promise<void> {
    if (!(bytes instanceof Uint8Array))
      throw new InputError("a saved state must be a Uint8Array", "give the bytes that saveState returned")
    this.#free("load a state")
    return this.#queue.run(async () => {
      await this.#handle.last((host) => host.loadState(bytes))
      await this.#settle()
      this.#nll = this.#scored = 0
    })
  }

  /**
   * What each head of a layer remembers of the text before its last block; nothing for kinds with a key-value
   * cache.
   */
  async headStates(layer = 0): Promise<HeadState[]> {
    this.#handle.check()
    return this.#queue.run(() => this.#handle.last((host) => host.headStates(layer)))
  }

  /** Empties the text. */
  async reset(): Promise<void> {
    this.#free("be emptied")
    return this.#queue.run(async () => {
      await this.#handle.last((host) => host.reset())
      await this.#settle()
      this.#nll = this.#scored = 0
    })
  }

  /** Frees the state, after the calls that wait. Later ones fail with a `ClosedError`. */
  close() {
    if (this.#handle.close()) quietly(this.#queue.run(() => this.#handle.last((host) => host.free())))
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
    return typeof source === "string" || source instanceof URL ? address(source) : source
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
