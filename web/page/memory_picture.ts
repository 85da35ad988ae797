/** What a model keeps of a text, in two bars and in words. */
import type { ModelInfo, Session } from "polysketch"
import { el, setText } from "./dom.js"
import { bytes, count, significant } from "./format.js"

export interface Sizes {
  /** Bytes of the state of a text, its key-value cache included. */
  state: number
  /** Of it, the cache: 0 where the state is constant. */
  cache: number
  /** Bytes of keys and values of a token. */
  cachePerToken: number
  /** Tokens that the cache holds. */
  context: number
}

const sizesOf = ({ memory, cacheBytesPerToken, context }: ModelInfo): Sizes => ({
  state: memory.state,
  cache: memory.cache,
  // Of a linear model with layers that keep their softmax, those alone.
  cachePerToken: memory.cache > 0 && context ? memory.cache / context : cacheBytesPerToken,
  context,
})

/** The same of a text at hand. */
export const sizesOfText = (info: ModelInfo, { stateBytes }: Session): Sizes => ({
  ...sizesOf(info),
  state: stateBytes,
})

/** Bytes that a model keeps of so many tokens. */
export const kept = ({ state, cache, cachePerToken }: Sizes, position: number) =>
  cache > 0 ? state - cache + cachePerToken * position : state

interface Bar {
  name: string
  bytes: number
}

/** The bar of this model, the one to compare it with, and the words below. */
export function picture(sizes: Sizes, position: number): { bars: [Bar, Bar]; words: string; rule: string } {
  return sizes.cache > 0 ? growing(sizes, position) : constant(sizes, position)
}

function constant({ state, cachePerToken }: Sizes, position: number) {
  const cache = cachePerToken * position
  const equal = Math.ceil(state / cachePerToken)
  return {
    bars: [
      { name: "State of this model, constant", bytes: state },
      { name: "Key-value cache of a softmax model", bytes: cache },
    ] as [Bar, Bar],
    words: compared(state, cache),
    rule:
      `A softmax model of this shape keeps ${bytes(cachePerToken)} of keys and values for every token ` +
      `(all layers, f32; f16 would halve it). The two are equal at ${count(equal)} tokens.`,
  }
}

/** A softmax model: nothing is spared, and the bar says so. */
function growing(sizes: Sizes, position: number) {
  const { state, cachePerToken, context } = sizes
  const used = kept(sizes, position)
  return {
    bars: [
      { name: "Key-value cache of this model, so far", bytes: used },
      { name: `Reserved for ${count(context)} tokens`, bytes: state },
    ] as [Bar, Bar],
    words:
      position === 0
        ? "Nothing has been read yet."
        : `This is a softmax model: every token added ${bytes(cachePerToken)} to its cache.`,
    rule: `It keeps keys and values of all layers in f32. ${count(Math.max(0, context - position))} tokens are left.`,
  }
}

/** What softmax would keep, beside the state. */
function compared(state: number, cache: number): string {
  const times = (ratio: number) => significant(ratio, ratio < 10 ? 2 : 3)
  if (cache === 0) return "Nothing has been read yet."
  return cache < state
    ? `At this position, a softmax model would still keep less, by a factor of ${times(state / cache)}.`
    : `At this position, a softmax model would keep ${times(cache / state)} times as much.`
}

/** Draws it into the elements `#ID-state-…`, `#ID-cache-…` and `#ID-memory-…`. */
export function drawPicture(id: string, sizes: Sizes, position: number) {
  const { bars, words, rule } = picture(sizes, position)
  const most = Math.max(...bars.map((bar) => bar.bytes))
  ;["state", "cache"].forEach((name, i) => {
    el(`${id}-${name}-bar`).style.width = `${(100 * bars[i]!.bytes) / most}%`
    setText(`${id}-${name}-name`, bars[i]!.name)
    setText(`${id}-${name}-bytes`, bytes(bars[i]!.bytes))
  })
  setText(`${id}-memory-rule`, rule)
  setText(`${id}-memory-words`, words)
}
