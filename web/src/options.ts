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
  "built-in options": types.BuiltInOptions
  "model files": types.ModelFiles
  "a GGUF model": types.GgufModel
  "a model folder": types.ModelFolder
  "encode options": types.EncodeOptions
  "prompt options": types.PromptOptions
  "read options": types.ReadOptions
  "generate options": types.GenerateOptions
  "chat options": types.ChatOptions
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
  "built-in options": { cache: true, maxContext: true, onProgress: true, base: true, signal },
  "model files": {
    config: true,
    weights: true,
    tokenizer: true,
    vocab: true,
    merges: true,
    generationConfig: true,
    tokenizerConfig: true,
    chatTemplate: true,
    adapter: true,
    integrity: true,
  },
  "a GGUF model": { gguf: true, adapter: true },
  "a model folder": { folder: true, adapter: true },
  "encode options": { specialAsText: true },
  "prompt options": { ...generate, specialAsText: true },
  "read options": { score: true, specialAsText: true, onProgress: true, signal },
  "generate options": generate,
  "chat options": { ...generate, template: true },
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
    base: true,
    signal,
  },
}

/** What was given, if its names are known, and what this end reads of it can be used. @throws InputError */
export function known<What extends keyof Given>(what: What, given: Given[What]): Given[What] {
  if (typeof given !== "object" || given === null || Array.isArray(given))
    throw new InputError(`${what}: ${shown(given)} is no object of options`, "give { name: value }")
  const names = Object.keys(NAMES[what])
  for (const [name, value] of Object.entries(given) as [string, unknown][]) {
    if (!names.includes(name)) {
      const near = nearest(name, names)
      const hint = near === undefined ? "" : `; did you mean ${near}?`
      throw new InputError(`${what}: unknown option ${name}${hint}`, `there are ${names.join(", ")}`)
    }
    const refuse = (expected: string, advice: string) => {
      throw new InputError(`${what}: ${name} is ${shown(value)}, ${expected} is expected`, advice)
    }
    if (value === undefined) continue
    if (name === "signal" && typeof (value as AbortSignal)?.throwIfAborted !== "function")
      refuse("an AbortSignal", "give the signal of an AbortController")
    if (name === "onProgress" && typeof value !== "function") refuse("a function", "give a callback")
    if ((name === "score" || name === "cache") && typeof value !== "boolean")
      refuse("true or false", "give one of the two")
    if (name === "template" && typeof value !== "string") refuse("a text", "give a Jinja template")
  }
  return given
}

/** A value as an error names it. */
export function shown(value: unknown): string {
  if (typeof value === "string") return `“${value.length > 40 ? `${value.slice(0, 40)}…` : value}”`
  if (typeof value === "object" && value !== null) return Array.isArray(value) ? "a list" : "an object"
  return typeof value === "function" ? "a function" : String(value)
}

/** The name that was probably meant: the same but for case and dashes, or a slip or two away. */
function nearest(name: string, names: string[]): string | undefined {
  const bare = (name: string) => name.replace(/[_-]/g, "").toLowerCase()
  const distances = names.map((known) => [distance(bare(name), bare(known)), known] as const)
  const [least, near] = distances.reduce((a, b) => (b[0] < a[0] ? b : a))
  return least <= Math.min(2, Math.floor(name.length / 3)) ? near : undefined
}

/** Letters to put in, take out or change. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++)
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)))
    row = next
  }
  return row[b.length]!
}
