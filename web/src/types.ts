/**
 * Types of the public face. Shapes stand in brackets; times are in milliseconds unless a name says otherwise.
 */

/** Where to run: the best GPU or else the CPU, a GPU, or the CPU. */
export type Backend = "auto" | "gpu" | "cpu"

export interface InitOptions {
  /**
   * Run in a Web Worker, so that the page never stalls; an address says where `worker.js` lies, if not beside
   * this module. Without a word: a worker if one can be had, or else the page (`EngineInfo.noWorker` says
   * why).
   */
  worker?: boolean | string | URL
  /** The WebAssembly: where `polysketch_bg.wasm` lies, if not beside this module, its bytes, or compiled. */
  wasm?: string | URL | BufferSource | WebAssembly.Module
}

export interface EngineOptions {
  /** Default: "auto". */
  backend?: Backend
}

export interface EngineInfo {
  backend: "webgpu" | "cpu"
  /** Name for people. */
  adapter: string
  kind: "discrete" | "integrated" | "virtual" | "software" | "other" | "cpu"
  features: Record<string, unknown>
  limits: Record<string, number>
  /** Why there is no GPU, where one was looked for. */
  fallback?: string
  /** Whether it runs in a worker; why not, where one was looked for. */
  worker: boolean
  noWorker?: string
}

/** Bytes, or where they are: an address, and in Node a path too. */
export type Source = string | URL | Uint8Array | ArrayBuffer | Blob

/** The files of a model folder (SPEC §2), each named. */
export interface ModelFiles {
  /** `config.json`: its text, the object in it, or where it is. */
  config: Source | Record<string, unknown>
  /** `model.safetensors`, or its shards. */
  weights: Source | Source[]
  /** `tokenizer.json`; none: `vocab` and `merges`, or else the model reads bytes. */
  tokenizer?: Source
  /** `vocab.json` and `merges.txt`. */
  vocab?: Source
  merges?: Source
  /**
   * `generation_config.json` and `tokenizer_config.json`, which may name the tokens that end a text, and say how
   * to sample and to chat.
   */
  generationConfig?: Source
  tokenizerConfig?: Source
  /** `chat_template.jinja`. */
  chatTemplate?: Source
  /** As of a GGUF model. */
  adapter?: Source
  /** SHA-256 of the files, in hexadecimal; checked after a download and whenever they come from the cache. */
  integrity?: { config?: string; weights?: string; tokenizer?: string }
}

/** A model in one file, as llama.cpp has them. */
export interface GgufModel {
  gguf: Source
  /**
   * What makes its softmax attention linear, with a state of constant size: a file that `polysketch linearize`
   * wrote for this very model. Any other is refused with a `ModelFormatError`.
   */
  adapter?: Source
}

/**
 * A model folder as Hugging Face has them: its files as they were chosen or dropped, a folder's handle, or the
 * address that they lie under.
 */
export interface ModelFolder {
  folder: File[] | FileList | FileSystemDirectoryHandle | string | URL
  /** As of a GGUF model: one that lies in the folder is not taken by itself. */
  adapter?: Source
}

export interface LoadProgress {
  stage: "download" | "upload" | "compile"
  /** Bytes (or shaders) done, and in all. */
  done: number
  total: number
  /** The bytes came from this browser's cache. */
  cached?: boolean
}

export interface LoadOptions {
  /**
   * Keep downloads in this browser: large files in the origin's private file system, others in the Cache API. A
   * kept file is used again if it has the `integrity` asked for, or else if the server still names the same
   * version (ETag or Last-Modified). Default: true.
   */
  cache?: boolean
  /** Tokens of the key-value cache, for the kinds that have one. Default: 8192. */
  maxContext?: number
  signal?: AbortSignal
}

export interface BuiltInOptions extends LoadOptions {
  onProgress?: (progress: LoadProgress) => void
  /** The folder where the package's `novels-2m` lies, if not beside this module. */
  base?: string | URL
}

/** A download that is kept in this browser. */
export interface CachedFile {
  url: string
  bytes: number
  /** When it was kept. */
  saved?: Date
}

/** What a model is, and what it needs on a device: known before any of its weights is read. */
export interface ModelInfo {
  /** The model's configuration, as in `config.json`. */
  config: Record<string, unknown>
  parameters: number
  /**
   * Bytes: parameters on the device, state of one text (of it the key-value cache, 0 where a state is constant),
   * scratch of all plans.
   */
  memory: { weights: number; state: number; cache: number; scratch: number; largestBuffer: number }
  /** Types of the large matrices on the device: "f32", "f16", "q8", "q4", or several of them. */
  weights: string
  /** Tokens of one prefill call. */
  segment: number
  /** Most tokens of a text, where a key-value cache bounds it; else 0. */
  context: number
  vocabulary: number
  layers: number
  heads: number
  /** Heads of keys and values, each with a state of its own. */
  keyHeads: number
  headDim: number
  /** Bytes a softmax model of this shape keeps per token of its text: keys and values of all layers, f32. */
  cacheBytesPerToken: number
  /** Whether it has a chat template. */
  chat: boolean
  /** Whether an adapter made its attention linear. */
  linearized: boolean
  warnings: string[]
}

/** What somebody said in a conversation. */
export interface Message {
  /** "system", "user", "assistant", or what else the model's template knows. */
  role: string
  content: string
}

/**
 * Sampling, named as in Hugging Face and llama.cpp. A default gives way to what the model's makers say
 * (`generation_config.json`).
 */
export interface GenerateOptions {
  /** Most tokens to generate. Default: 128. */
  maxTokens?: number
  /** 0: greedy. Default: 0.8. */
  temperature?: number
  /** Only so many of the likeliest tokens; 0: all. Default: 40. */
  topK?: number
  /** Only the likeliest tokens that together have this probability; 1: all. Default: 0.95. */
  topP?: number
  /** Only tokens at least this share as likely as the likeliest; 0: all. Default: 0.05. */
  minP?: number
  /** Makes tokens that occurred less likely; 1: off. Default: 1.1, and 1 at temperature 0. */
  repetitionPenalty?: number
  /** Of the draws. Default: 0. */
  seed?: number
  /** Texts that end generation; they are not part of the result. */
  stop?: string[]
  signal?: AbortSignal
}

/**
 * Of an answer. Where neither these nor the model's makers say otherwise, it has 4096 tokens at most, and no
 * repetition penalty.
 */
export interface ChatOptions extends GenerateOptions {
  /** A Jinja template in place of the model's own. */
  template?: string
}

export type StopReason = "max_tokens" | "end_of_text" | "stop_string"

/** What is left when a generation has ended: the value of the iterator's last `next()`. */
export interface Generated {
  text: string
  tokens: number
  reason: StopReason
}

/** What is left of an answer. */
export interface Answered extends Generated {
  /** Tokens that were read before it was written: those of the conversation that were new. */
  read: number
}

export interface EncodeOptions {
  /**
   * Special tokens in the text (`<|endoftext|>`) are text like any other. Default: they are tokens, which is
   * for texts that are trusted.
   */
  specialAsText?: boolean
}

/** Of a prompt and its continuation. */
export interface PromptOptions extends GenerateOptions, EncodeOptions {}

export interface ReadOptions extends EncodeOptions {
  /** Also score every token by what came before it. */
  score?: boolean
  onProgress?: (progress: ReadProgress) => void
  signal?: AbortSignal
}

export interface ReadProgress {
  /** Tokens of this text read so far, and in all. */
  done: number
  total: number
  /** Tokens the state has seen. */
  position: number
  /**
   * Mean negative log-likelihood, nats a token: of the tokens of this call, and of all tokens read with
   * `score`.
   */
  nll?: number
  meanNll?: number
  tokensPerSecond: number
}

/** A head's state: what it remembers of everything before its last block. */
export interface HeadState {
  layer: number
  head: number
  /** Z [features, headDim + 1], row by row; the last column is the normaliser. */
  values: Float32Array
  rows: number
  columns: number
}

export type Task = "copy" | "induction" | "mqar"

export interface TrainOptions {
  /** Of a new model; default: two layers of 64. */
  config?: Record<string, unknown>
  task?: Task
  /** Things to remember. Default: as in the literature. */
  items?: number
  /** Tokens the task uses. Default: 16. */
  vocabulary?: number
  /** Tokens of a sequence. Default: 32. */
  context?: number
  /** Sequences of a step. Default: 32. */
  batch?: number
  /** Steps of the optimiser. Default: 1000. */
  steps?: number
  /** Largest learning rate. Default: 0.004. */
  lr?: number
  /** Of the initial weights and of the sequences. Default: 0. */
  seed?: number
  /** Steps between evaluations on sequences that are not trained on; 0: only at the end. Default: 25. */
  evalEvery?: number
  signal?: AbortSignal
}

/** A step, or an evaluation after it. */
export interface TrainStep {
  step: number
  steps: number
  /** Nats a scored token, before the step. */
  loss: number
  lr: number
  gradientNorm: number
  tokensPerSecond: number
  /** Part of the held-out answers that are right; where it was measured. */
  accuracy?: number
}

/** What training leaves: a model folder, as bytes. */
export interface Trained {
  config: string
  weights: Uint8Array
}

export type Suite = "peaks" | "kernels" | "attention" | "model" | "train"

export interface BenchOptions {
  /** Default: all. */
  suites?: Suite[]
  /** Small sizes: within about a minute on a software GPU. */
  quick?: boolean
  /** Seconds of a row. Default: 5, and 0.25 where `quick`. */
  budget?: number
  /**
   * Seconds of everything, about: rows that would begin too late are left out, with that reason. Default: 55
   * where `quick`, else any.
   */
  most?: number
  /** Most samples of a row. Default: 9, and 5 where `quick`. */
  samples?: number
  /** Lengths of the attention suite; its heads, the size of each, of a sketch and of a block. */
  lengths?: number[]
  heads?: number
  head?: number
  sketch?: number
  block?: number
  /** Tokens of one call of attention. */
  segment?: number
  /** All kinds of attention, or the few that matter most. */
  allKinds?: boolean
  /** Multiply-adds that the check of a row may take. */
  checkWork?: number
  /** Tokens that the model has seen before it reads and writes. */
  depths?: number[]
  /** Tokens that it reads and writes there. */
  readWrite?: [number, number]
  /** Lengths of the train suite. */
  trainLengths?: number[]
  /** Bytes that a plan may need. Default: what the device says. */
  memory?: number
  /** Of all random numbers. Default: 1. */
  seed?: number
  /** As for `loadBuiltIn`. */
  base?: string
  signal?: AbortSignal
}

/** A line of the benchmark's JSONL; `polysketch.bench/1`, the same as the native command's. */
export interface BenchRow {
  schema: string
  suite: Suite
  name: string
  [field: string]: unknown
}

/** What happens in a benchmark: a row begins, or is done. */
export type BenchEvent =
  { event: "started"; name: string; index: number; of: number } | { event: "row"; row: BenchRow }

/** A file of rows, to be set beside others. */
export interface ResultsFile {
  /** What errors call it. */
  name: string
  text: string
  /** It stands among results that others see: what a submission needs must be there. */
  published?: boolean
}

/** What became of a file. */
export interface ResultsTold {
  name: string
  /** 0 if it was refused. */
  rows: number
  /** Why: file, line, field. */
  refused: string | null
  /** Why it could not be published as it is. */
  missing: string | null
}

/** A device on a board of results, with its build and precision. */
export interface ResultsColumn {
  maker: string
  device: string
  software: boolean
  about: string
  driver: string
  build: string
  precision: string
  date: string
  note: string
  /** Sizes, which times depend on. */
  sizes: string
  peak_gflops: number | null
  peak_gbps: number | null
}

/** A kernel on a device. */
export interface ResultsCell {
  /** Of the device's own roofline; none of what is faster than memory and multiplies nothing. */
  share: number | null
  /** `compute`, `memory` or `cache`. */
  bound: string
  ns: number
  steps: number
  /** The cost model's, of the same work: measured by nobody. */
  estimate_ns: number | null
  estimate_of: string | null
}

/** Files of results beside each other. */
export interface Results {
  board: {
    columns: ResultsColumn[]
    lines: { plan: string; kernel: string; cells: (ResultsCell | null)[] }[]
  }
  /** The file of each column, by its place in `files`. */
  file_of: number[]
  files: ResultsTold[]
}
