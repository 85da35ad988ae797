/**
 * Two models on one text: a softmax model and its linear form read it in turns, stretch by stretch. What
 * either needs for a stretch, and keeps of the text, is written down. No DOM here: that is `race_models.ts`.
 */
import type { Model, Session } from "polysketch"
import { kept, sizesOfText } from "./memory_picture.js"

/** Tokens are read in multiples of this. */
const BLOCK = 128
/** Stretches of the whole course, where it is long enough. */
const STRETCHES = 32

export const RUNNERS = ["softmax", "linear"] as const
export type Name = (typeof RUNNERS)[number]

export interface Runner {
  model: Model
  session: Session
  /** Tokens that it can read. */
  most: number
}

/** What a runner showed over a stretch. */
export interface Lap {
  tokensPerSecond: number
  /** Bytes that it keeps of the text after it. */
  kept: number
}

/** The end of a stretch, and the laps of those that came so far. */
export type Post = { position: number } & Partial<Record<Name, Lap>>

export interface Watching {
  signal: AbortSignal
  /** Who runs, and what is new. */
  changed: (running: Name) => void
}

export class Course {
  readonly posts: Post[] = []
  /** Where softmax could read no further. */
  stopped: number | undefined

  constructor(readonly tokens: number) {}

  get position(): number {
    return this.posts.at(-1)?.position ?? 0
  }

  async run(runners: Record<Name, Runner>, ids: Int32Array, { signal, changed }: Watching) {
    const ends = stretches(ids.length, runners.softmax.most)
    for (const [i, to] of ends.entries()) {
      const from = ends[i - 1] ?? 0
      for (const name of RUNNERS) {
        signal.throwIfAborted()
        const { model, session, most } = runners[name]
        if (to > most) {
          this.stopped ??= from
          continue
        }
        changed(name)
        const started = performance.now()
        await session.read(ids.subarray(from, to), { signal })
        const tokensPerSecond = (1000 * (to - from)) / (performance.now() - started)
        // A post stands where one of the two has come.
        if (this.position < to) this.posts.push({ position: to })
        this.posts.at(-1)![name] = { tokensPerSecond, kept: kept(sizesOfText(model.info, session), to) }
        changed(name)
      }
    }
  }
}

/** Where the stretches of a course end; one of them where a runner can read no further. */
function stretches(length: number, most: number): number[] {
  const stretch = Math.max(BLOCK, Math.floor(length / STRETCHES / BLOCK) * BLOCK)
  const ends = new Set([Math.min(most, length), length])
  for (let to = stretch; to < length; to += stretch) ends.add(to)
  return [...ends].sort((a, b) => a - b)
}

/** Tokens a second at a post: the median of its stretch and the two before; one may have been disturbed. */
export function speedAt(posts: Post[], at: Post, name: Name): number | undefined {
  const to = posts.indexOf(at) + 1
  const speeds = posts.slice(Math.max(0, to - 3), to).flatMap((post) => post[name]?.tokensPerSecond ?? [])
  return at[name] && speeds.toSorted((a, b) => a - b)[speeds.length >> 1]
}

/** The posts at lengths that double, the last that softmax came to, and the last. */
export function milestones(posts: Post[]): Post[] {
  const last = posts.at(-1)
  const found = new Set([posts.findLast((post) => post.softmax), last])
  for (let n = 512; last && n < last.position; n *= 2)
    found.add(posts.findLast(({ position }) => position <= n))
  return posts.filter((post) => found.has(post))
}
