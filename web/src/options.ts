/**
 * The names that options may have. Another one is refused: what is misspelt would do nothing, and say
 * nothing.
 */

import { InputError } from "./errors.js"
import type * as types from "./types.js"

/** What a page gives, by the words for it. */
interface Given {
  "init options": types.InitOptions
  "engine options": types.EngineOptions
  "load options": types.LoadOptions
  "model files": types.ModelFiles
  "encode options": types.EncodeOptions
  "prompt options": types.PromptOptions
  "read options": types.ReadOptions
  "generate options": types.GenerateOptions
  "train options": types.TrainOptions
  "bench options": types.BenchOptions
}

const signal = true
const generate = {
  maxTokens: true,
  temperature: true,
  topK: true,
  topP: true,
  minP: true,
  repetitionPenalty: true,
  seed: true,
  stop: true,
  signal,
} as const

/**
 * Every name of the types and no other, as the compiler sees to; that Rust has them too, a test of its own
 * does.
 */
const NAMES: { [What in keyof Given]: Record<keyof Given[What], true> } = {
  "init options": { worker: true, wasm: true },
  "engine options": { backend: true },
  "load options": { cache: true, maxContext: true, signal },
  "model files": { config: true, weights: true, tokenizer: true, generationConfig: true, tokenizerConfig: true, integrity: true },
  "encode options": { specialAsText: true },
  "prompt options": { ...generate, specialAsText: true },
  "read options": { score: true, specialAsText: true, onProgress: true, signal },
  "generate options": generate,
  "train options": {
    config: true,
    task: true,
    items: true,
    vocabulary: true,
    context: true,
    batch: true,
    steps: true,
    lr: true,
    seed: true,
    evalEvery: true,
    signal,
  },
  "bench options": {
    suites: true,
    quick: true,
    budget: true,
    most: true,
    samples: true,
    lengths: true,
    heads: true,
    head: true,
    sketch: true,
    block: true,
    segment: true,
    allKinds: true,
    checkWork: true,
    depths: true,
    readWrite: true,
    trainLengths: true,
    memory: true,
    seed: true,
    signal,
  },
}

/** What was given, if its names are known. @throws InputError */
export function known<What extends keyof Given>(what: What, given: Given[What]): Given[What] {
  const names = NAMES[what]
  const unknown = Object.keys(given).find((name) => !Object.hasOwn(names, name))
  if (unknown === undefined) return given
  throw new InputError(`${what}: there is no “${unknown}”`, `there are ${Object.keys(names).join(", ")}`)
}
