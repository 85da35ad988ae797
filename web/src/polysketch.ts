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
import { ask, configure, connect, type Connection, Handle, quietly } from "./connection.js"
import { ClosedError, InputError } from "./errors.js"
import { ids, text } from "./given.js"
import type { BenchHost, EngineHost, Loading, ModelHost, Remote, SessionHost, TrainerHost } from "./host.js"
import type { AnyModel } from "./model_files.js"
import { known, shown } from "./options.js"
import { address } from "./places.js"
import { Session } from "./session.js"
import type {
  Answered,
  BenchEvent,
  BenchOptions,
  BuiltInOptions,
  ChatOptions,
  EncodeOptions,
  EngineInfo,
  EngineOptions,
  Generated,
  GgufModel,
  InitOptions,
  LoadOptions,
  LoadProgress,
  Message,
  ModelFiles,
  ModelFolder,
  ModelInfo,
  PromptOptions,
  Results,
  ResultsFile,
  Trained,
  TrainOptions,
  TrainStep,
} from "./types.js"

export * from "./errors.js"
export type * from "./types.js"
export { cachedFiles, clearCache } from "./cache.js"
export { Session } from "./session.js"

/**
 * Says how engines run. Without a call they run in a worker where there can be one, with the WebAssembly
 * beside this module.
 * @throws InputError
 */
export default async function init(options: InitOptions = {}): Promise<void> {
  configure(options)
}

/**
 * Checks files of benchmark rows and puts those that are taken beside each other: shares of the peak by kernel
 * and device. A file that is refused is told by file, line and field.
 * @throws InputError
 */
export async function compareResults(files: ResultsFile[]): Promise<Results> {
  const connection = await connect()
  try {
    return await ask(connection, connection.host.results(files))
  } finally {
    connection.close(new ClosedError("the results are there"))
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
      const { worker, noWorker } = connection
      return new Engine(connection, host, { ...(await ask(connection, host.getInfo())), worker, noWorker })
    } catch (error) {
      connection.close(new ClosedError("the engine was not created"))
      throw error
    }
  }

  /**
   * Loads a model: a GGUF file, a folder, or a folder's files by name. Files are bytes, Files and Blobs, or
   * addresses, which are downloaded with progress and kept in this browser. Weights go to the device piece by
   * piece. What is too large for the device is refused before they are read. An `adapter` beside it makes its
   * softmax attention linear.
   * @throws DownloadError, IntegrityError, ConfigError, ModelFormatError, TokenizerError, LimitError,
   * OutOfMemoryError
   */
  async loadModel(
    model: ModelFiles | GgufModel | ModelFolder,
    onProgress?: (progress: LoadProgress) => void,
    options: LoadOptions = {},
  ): Promise<Model> {
    if (onProgress !== undefined && typeof onProgress !== "function")
      throw new InputError(`onProgress is ${shown(onProgress)}, a function is expected`, "give a callback")
    const progress = onProgress && Comlink.proxy(onProgress)
    const host = await this.#load(model, options, (id, loading) =>
      this.#host.loadModel(id, loading, progress),
    )
    return Model.open(this.#connection, host as Remote<ModelHost>)
  }

  /**
   * What a model is and needs here, from what stands in front of its weights: of an address little is
   * downloaded. Whether an adapter was made from these very weights, only `loadModel` sees.
   * @throws as `loadModel`, for a model that cannot be loaded here.
   */
  async planModel(
    model: ModelFiles | GgufModel | ModelFolder,
    options: LoadOptions = {},
  ): Promise<ModelInfo> {
    return (await this.#load(model, options, (id, loading) => this.#host.planModel(id, loading))) as ModelInfo
  }

  async #load<T>(
    model: ModelFiles | GgufModel | ModelFolder,
    options: LoadOptions,
    work: (id: number, loading: Loading) => T | Promise<T>,
  ): Promise<Awaited<T>> {
    const { signal, cache = true, ...rest } = known("load options", options)
    const files = absolute(model)
    signal?.throwIfAborted()
    const id = Engine.#loads++
    const cancel = () => quietly(this.#host.cancelLoad(id))
    signal?.addEventListener("abort", cancel, { once: true })
    try {
      return await ask(this.#connection, work(id, { files, cache, options: rest }))
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

  /**
   * Answers a conversation, piece by piece, as the model's chat template writes it down. To go on with it, a
   * session's `chat` reads only what is new.
   * @throws ConfigError for a model without a template
   */
  async *chat(messages: Message[], options: ChatOptions = {}): AsyncGenerator<string, Answered> {
    const session = await this.createSession()
    try {
      return yield* session.chat(messages, options)
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
 * What a model is loaded from, with addresses as the page means them, because a worker has its own. A text that
 * is JSON already is no address. @throws InputError
 */
function absolute(model: ModelFiles | GgufModel | ModelFolder): AnyModel {
  const resolve = <T>(source: T) => {
    if (typeof source === "string" && source.trimStart().startsWith("{"))
      return new TextEncoder().encode(source)
    return typeof source === "string" || source instanceof URL ? address(source) : source
  }
  if (typeof model !== "object" || model === null)
    throw new InputError(`a model cannot be ${shown(model)}`, "give { gguf }, { folder } or a folder's files")
  const { adapter } = model
  const beside = <T extends AnyModel>(files: T): T =>
    adapter === undefined ? files : { ...files, adapter: resolve(adapter) }
  if ("gguf" in model) return beside({ gguf: resolve(known("a GGUF model", model).gguf) })
  if ("folder" in model) {
    const { folder } = known("a model folder", model)
    if (typeof folder === "string" || folder instanceof URL) return beside({ folder: address(folder) })
    if (typeof folder !== "object" || folder === null)
      throw new InputError(`a folder cannot be ${shown(folder)}`, "give its Files, its handle or its address")
    // A list of the page's does not cross to a worker everywhere; files do.
    return beside({ folder: "length" in folder ? Array.from(folder) : folder })
  }
  const { integrity, weights, ...files } = known("model files", model)
  const each = Object.entries(files).map(([name, source]) => [name, resolve(source)])
  return {
    ...(Object.fromEntries(each) as Omit<ModelFiles, "integrity" | "weights">),
    weights: Array.isArray(weights) ? weights.map(resolve) : resolve(weights),
    integrity,
  }
}
