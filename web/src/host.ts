/**
 * The engine's end of the package: owns the WebAssembly and does what the page's end asks for, in a worker
 * or, without one, in the page itself. Every call is short, so whoever stops asking has cancelled.
 */

import * as Comlink from "comlink"
import initWasm, * as wasm from "../generated/wasm/polysketch.js"
import { DownloadError, InputError, toPlain } from "./errors.js"
import { type AnyModel, glimpsed, isElsewhere, opened } from "./model_files.js"
import { inNode } from "./places.js"
import type {
  BenchEvent,
  BenchOptions,
  EngineInfo,
  EngineOptions,
  GenerateOptions,
  HeadState,
  LoadOptions,
  LoadProgress,
  Message,
  ModelInfo,
  Results,
  ResultsFile,
  StopReason,
  Trained,
  TrainOptions,
  TrainStep,
} from "./types.js"
import { compiled, type WasmSource } from "./wasm_file.js"

/** What a submission of a continuation brought. */
export interface Piece {
  text: string
  ended: boolean
  tokens: number
  reason: StopReason
  position: number
}

/** What a call of a text that is being read brought. */
export interface Part {
  done: number
  total: number
  position: number
  /** Sum of the negative log-likelihoods of this part, and of how many tokens. */
  nll: number
  scored: number
  tokens: number
  milliseconds: number
}

export type Remote<T> = Comlink.Remote<T> | T
export type Sampling = Omit<GenerateOptions, "signal">
export type Loading = {
  files: AnyModel
  cache: boolean
  options: Omit<LoadOptions, "cache" | "signal">
}

/** Lets a worker hear what came in meanwhile: on the CPU a call waits for nothing. */
const breathe = () => new Promise<void>((resolve) => setTimeout(resolve))

/** An object for the other side, whose errors cross as plain data, with kind and advice. */
function guarded<T extends object>(host: T): T {
  const call =
    (method: (...args: unknown[]) => unknown) =>
    async (...args: unknown[]) => {
      try {
        return await method.apply(host, args)
      } catch (error) {
        throw toPlain(error)
      }
    }
  const get = (_: T, name: string | symbol) => {
    const value = Reflect.get(host, name)
    return typeof value === "function" && typeof name === "string"
      ? call(value as (...args: unknown[]) => unknown)
      : value
  }
  return Comlink.proxy(new Proxy(host, { get }))
}

/** Where the other side begins. */
export class Host {
  async start(source?: WasmSource): Promise<void> {
    await initWasm({ module_or_path: await compiled(source) })
  }

  async createEngine(options: EngineOptions): Promise<EngineHost> {
    const engine = await wasm.Engine.create({ ...options })
    const info: EngineInfo = engine.info
    if (info.backend === "cpu" && (options.backend ?? "auto") === "auto") info.fallback = await whyNoGpu()
    return guarded(new EngineHost(engine, info))
  }

  /** Needs no engine. */
  async results(files: ResultsFile[]): Promise<Results> {
    return wasm.results(files)
  }
}

async function whyNoGpu(): Promise<string> {
  if (inNode) return "Node.js has no WebGPU"
  const gpu = (navigator as Navigator & { gpu?: GPU }).gpu
  if (!globalThis.isSecureContext) return "WebGPU needs a secure page: https, or localhost"
  if (!gpu) return "this browser has no WebGPU, or it is switched off"
  const adapter = await gpu.requestAdapter().catch(() => null)
  if (!adapter) return "WebGPU found no graphics adapter that it may use"
  const name = adapter.info?.description || adapter.info?.architecture || "no name"
  return `the only adapter is a software one (${name}), which the CPU beats`
}

/** What a model's warnings say when there was no room to keep it. */
const FULL = "the browser has no room to keep the model: it is downloaded again next time"

/** A look that failed for the server's sake tells nothing of the model; anything else does. */
const unlessRefused = (signal: AbortSignal) => (error: unknown) => {
  if (signal.aborted || !(error instanceof DownloadError)) throw error
}

export class EngineHost {
  #loads = new Map<number, AbortController>()

  constructor(
    readonly engine: wasm.Engine,
    readonly info: EngineInfo,
  ) {}

  getInfo(): EngineInfo {
    return this.info
  }

  /** `id` is for `cancelLoad`. */
  async loadModel(
    id: number,
    { files, cache, options }: Loading,
    onProgress?: (progress: LoadProgress) => void,
  ): Promise<ModelHost> {
    return this.#cancellable(id, async (signal) => {
      const notes: string[] = []
      const onFull = () => void (notes.includes(FULL) || notes.push(FULL))
      // What does not fit is refused before it is downloaded, where a server lets one look.
      if (isElsewhere(files)) await this.#plan({ files, cache, options }, signal).catch(unlessRefused(signal))
      const loaded = await opened(files, { cache, signal, onFull, onProgress })
      const report = (stage: LoadProgress["stage"]) => (done: number, total: number) => {
        signal.throwIfAborted()
        onProgress?.({ stage, done, total })
      }
      const model = await this.engine.loadModel(loaded, report("upload"), options)
      await model.warmUp(report("compile"))
      return guarded(new ModelHost(model, notes))
    })
  }

  /** What a model is and needs here. */
  async planModel(id: number, loading: Loading): Promise<ModelInfo> {
    return this.#cancellable(id, (signal) => this.#plan(loading, signal))
  }

  async #plan({ files, cache, options }: Loading, signal: AbortSignal): Promise<ModelInfo> {
    return this.engine.plan(await glimpsed(files, { cache, signal }), options)
  }

  cancelLoad(id: number) {
    this.#loads.get(id)?.abort()
  }

  async #cancellable<T>(id: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const abort = new AbortController()
    this.#loads.set(id, abort)
    try {
      return await work(abort.signal)
    } finally {
      this.#loads.delete(id)
    }
  }

  async trainer(options: Omit<TrainOptions, "signal">): Promise<TrainerHost> {
    return guarded(new TrainerHost(await wasm.Trainer.create(this.engine, options)))
  }

  async bench(options: Omit<BenchOptions, "signal">, files: AnyModel, name: string): Promise<BenchHost> {
    const model = await opened(files, { cache: true })
    return guarded(new BenchHost(this.engine, options, { name, ...model }))
  }

  free() {
    this.engine.free()
  }
}

/** A benchmark under way: what happened since it was last asked. */
export class BenchHost {
  #events: BenchEvent[] = []
  #wake: () => void = () => undefined
  #ended = false
  #failed: unknown
  #stopped = false

  constructor(engine: wasm.Engine, options: Omit<BenchOptions, "signal">, model: object) {
    const tell = (event: BenchEvent) => {
      this.#events.push(event)
      this.#wake()
      return this.#stopped
    }
    const end = (error?: unknown) => {
      this.#failed = error
      this.#ended = true
      this.#wake()
    }
    engine.bench(options, model, tell).then(() => end(), end)
  }

  /** Waits until something has happened; nothing when it is over. */
  async events(): Promise<BenchEvent[]> {
    while (this.#events.length === 0) {
      if (this.#failed !== undefined) throw this.#failed
      if (this.#ended) return []
      await new Promise<void>((resolve) => (this.#wake = resolve))
    }
    return this.#events.splice(0)
  }

  stop() {
    this.#stopped = true
  }
}

export class ModelHost {
  /** Its sessions need it until the last of them is closed. */
  #users = 1

  constructor(
    readonly model: wasm.Model,
    readonly notes: string[],
  ) {}

  getInfo(): ModelInfo {
    const info: ModelInfo = this.model.info
    return { ...info, warnings: [...info.warnings, ...this.notes] }
  }

  encode(text: string, specialAsText: boolean): Int32Array {
    return new Int32Array(this.model.encode(text, specialAsText))
  }

  decode(ids: Int32Array): string {
    return this.model.decode(new Uint32Array(ids))
  }

  logits(ids: Int32Array): Promise<Float32Array> {
    return this.model.logits(ids)
  }

  async createSession(): Promise<SessionHost> {
    const session = await this.model.createSession()
    this.#users++
    return guarded(new SessionHost(this.model, session, () => this.free()))
  }

  destroy() {
    this.model.destroy()
  }

  free() {
    if (--this.#users === 0) this.model.free()
  }
}

export class SessionHost {
  /** What is being read, and how far. */
  #ids: Uint32Array = new Uint32Array()
  #done = 0
  readonly #segment: number

  constructor(
    readonly model: wasm.Model,
    readonly session: wasm.Session,
    readonly closed: () => void,
  ) {
    this.#segment = (model.info as ModelInfo).segment
  }

  where() {
    return { position: this.session.position, stateBytes: this.session.stateBytes }
  }

  /** Begins to read; `readPart` does it. Returns the number of tokens. */
  begin(text: string | Int32Array, specialAsText: boolean): number {
    this.#ids = typeof text === "string" ? this.session.encode(text, specialAsText) : new Uint32Array(text)
    this.#done = 0
    return this.#ids.length
  }

  async readPart(score: boolean): Promise<Part> {
    const ids = this.#ids.subarray(this.#done, this.#done + this.#segment)
    const started = performance.now()
    let [nll, scored] = [0, 0]
    if (score) {
      const each = await this.session.score(ids)
      for (const x of each) nll += x
      scored = each.length
    } else {
      await this.session.read(ids)
    }
    this.#done += ids.length
    const part = {
      done: this.#done,
      total: this.#ids.length,
      position: this.session.position,
      nll,
      scored,
      tokens: ids.length,
      milliseconds: performance.now() - started,
    }
    if (this.#done >= this.#ids.length) this.#ids = new Uint32Array()
    await breathe()
    return part
  }

  generate(options: Sampling, chat: boolean) {
    this.session.generate(options, chat)
  }

  /** Begins to read what is new of a conversation; `readPart` does it. Returns the number of tokens. */
  ask(messages: Message[], template?: string): number {
    this.#ids = this.session.ask(messages, template)
    this.#done = 0
    return this.#ids.length
  }

  /** Takes what was written as the answer. Returns the rest of its text. */
  answered(): string {
    return this.session.answered()
  }

  messages(): Message[] {
    return this.session.messages() as Message[]
  }

  async advance(): Promise<Piece> {
    const piece: Omit<Piece, "position"> = await this.session.advance()
    await breathe()
    return { ...piece, position: this.session.position }
  }

  finishText(): string {
    return this.session.finishText()
  }

  async saveState(): Promise<Uint8Array> {
    const bytes = await this.session.saveState()
    return Comlink.transfer(bytes, [bytes.buffer])
  }

  async loadState(bytes: Uint8Array) {
    await this.session.loadState(bytes)
  }

  async headStates(layer: number): Promise<HeadState[]> {
    const { keyHeads: heads, headDim, layers } = this.model.info as ModelInfo
    if (!(Number.isInteger(layer) && layer >= 0 && layer < layers))
      throw new InputError(`layer ${layer} of a model of ${layers}`, `use 0 to ${layers - 1}`)
    const state = await this.session.attentionState(layer)
    if (!state) return []
    const { sums, normaliser } = state as { sums: Float32Array; normaliser: Float32Array }
    const rows = normaliser.length / heads
    return Array.from({ length: heads }, (_, head) => {
      const values = new Float32Array(rows * (headDim + 1))
      for (let f = 0; f < rows; f++) {
        const from = (head * rows + f) * headDim
        values.set(sums.subarray(from, from + headDim), f * (headDim + 1))
        values[f * (headDim + 1) + headDim] = normaliser[head * rows + f]!
      }
      return { layer, head, values, rows, columns: headDim + 1 }
    })
  }

  reset() {
    this.session.reset()
  }

  free() {
    this.session.free()
    this.closed()
  }
}

export class TrainerHost {
  constructor(readonly trainer: wasm.Trainer) {}

  async step(): Promise<TrainStep> {
    const started = performance.now()
    const step: { step: number; loss: number; lr: number; gradientNorm: number } = await this.trainer.step()
    const tokensPerSecond = (1000 * this.trainer.tokensPerStep) / (performance.now() - started)
    const { steps, evalEvery } = this.trainer
    const evaluated = step.step % evalEvery === 0 || step.step === steps
    const accuracy = evaluated ? await this.trainer.accuracy() : undefined
    await breathe()
    return { ...step, steps, tokensPerSecond, accuracy }
  }

  async model(): Promise<Trained> {
    return this.trainer.model()
  }

  free() {
    this.trainer.free()
  }
}

/** The host for the other side. */
export const host = guarded(new Host())
