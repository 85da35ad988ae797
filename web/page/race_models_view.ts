/** Race of two models, what is seen: speed, memory in bars and curves, a table, all of it in words. */
import { Chart } from "./charts.js"
import { type Course, milestones, type Name, type Post, RUNNERS, speedAt } from "./course.js"
import { create, el, oncePerFrame, setText } from "./dom.js"
import { bytes, count, significant } from "./format.js"

const MIB = 1 << 20
const LINES = [
  { label: "softmax", colour: "--base", width: 2, points: true },
  { label: "made linear", colour: "--accent", width: 2.25, points: true },
]

export class RaceModelsView {
  course: Course | undefined
  /** What ends softmax: the length it was made for, or what fits here. */
  private why: "made" | "fits" = "made"
  /** Shows what there is, once a frame. */
  readonly draw = oncePerFrame(() => this.drawNow())
  private readonly speed = chart("race-speed-chart", "tokens per second", count)
  private readonly memory = chart("race-memory-chart", "MiB kept of the text", (v) => bytes(v * MIB))

  begin(course: Course, why: "made" | "fits") {
    this.course = course
    this.why = why
    this.draw()
  }

  private drawNow() {
    const posts = this.course?.posts ?? []
    const x = posts.map((post) => post.position)
    const total = this.course?.tokens ?? 0
    this.speed.set(x, RUNNERS.map((name) => posts.map((post) => post[name]?.tokensPerSecond ?? null)), total)
    const mib = (post: Post, name: Name) => (post[name] ? post[name].kept / MIB : null)
    this.memory.set(x, RUNNERS.map((name) => posts.map((post) => mib(post, name))), total)
    setText("race-position", count(this.course?.position ?? 0))
    const latest = (name: Name) => posts.findLast((post) => post[name])?.[name]
    const last = { softmax: latest("softmax"), linear: latest("linear") }
    const most = Math.max(1, ...RUNNERS.map((name) => last[name]?.kept ?? 0))
    for (const name of RUNNERS) {
      setText(`race-${name}-speed`, last[name] ? significant(last[name].tokensPerSecond) : "–")
      setText(`race-${name}-bytes`, last[name] ? bytes(last[name].kept) : "–")
      el(`race-${name}-bar`).style.width = `${(100 * (last[name]?.kept ?? 0)) / most}%`
    }
    this.tell(posts)
    drawTable(posts, this.course?.stopped)
  }

  private tell(posts: Post[]) {
    const both = posts.filter((post) => post.softmax && post.linear)
    const say = (id: string, words: string) => {
      setText(id, words)
      el(id).hidden = words === ""
    }
    const last = both.at(-1)
    say("race-models-verdict", last ? verdict(posts, last) : "")
    say("race-models-length", both.length > 3 ? whatLengthDoes(posts) : "")
    const { stopped } = this.course ?? {}
    const reason =
      this.why === "made"
        ? "the model was made for texts no longer than that"
        : "a cache for more tokens does not fit on this device"
    const words = stopped === undefined ? "" : `Softmax stopped at ${count(stopped)} tokens: ${reason}.`
    say("race-models-stop", words)
  }
}

/** A chart whose axis reaches to the end of the course from the beginning. */
function chart(id: string, label: string, value: (y: number) => string) {
  let total = 0
  const plot = new Chart(el(id), {
    x: { label: "position, tokens", to: () => total },
    y: { label, from: 0, axis: (v) => count(v) === "0" && v > 0 ? significant(v, 2) : count(v), value },
    lines: LINES,
  })
  return {
    set(x: number[], lines: (number | null)[][], to: number) {
      total = to
      plot.set(x, lines)
    },
  }
}

const times = (ratio: number) => `${significant(ratio, 2)} times`

/** Who is ahead where both have come to. */
function verdict(posts: Post[], post: Post): string {
  const { position, softmax, linear } = post
  const fast = speedAt(posts, post, "linear")! / speedAt(posts, post, "softmax")!
  const small = softmax!.kept / linear!.kept
  const reads =
    fast >= 1 ? `reads ${times(fast)} as fast as softmax` : `takes ${times(1 / fast)} as long as softmax`
  const keeps = small >= 1 ? `keeps ${times(small)} less` : `keeps ${times(1 / small)} as much`
  return `At ${count(position)} tokens the linear form ${reads} and ${keeps} of the text.`
}

/** How either changed from its first stretches to its last. */
function whatLengthDoes(posts: Post[]): string {
  const told = (name: Name) => {
    const run = posts.filter((post) => post[name])
    const [first, last] = [run[0]!, run.at(-1)!]
    const [least, most] = [first[name]!.kept, last[name]!.kept]
    const keeps =
      most > least
        ? `what it keeps grew from ${bytes(least)} to ${bytes(most)}`
        : `it keeps ${bytes(most)} all the way`
    const speed = (post: Post) => `${significant(speedAt(posts, post, name)!)}/s`
    const early = run[Math.min(2, run.length - 1)]!
    const at = (post: Post) => `${speed(post)} at ${count(post.position)}`
    return `${at(early)} tokens and ${at(last)}, and ${keeps}`
  }
  return `Softmax reads ${told("softmax")}. The linear form reads ${told("linear")}.`
}

function drawTable(posts: Post[], stopped = Infinity) {
  const lines = milestones(posts).map((post) => {
    const cells = (tell: (name: Name) => string) =>
      RUNNERS.map((name) => {
        const none = name === "softmax" && post.position > stopped ? "stopped" : ""
        return create("td", post[name] ? {} : { class: "quiet" }, post[name] ? tell(name) : none)
      })
    return create(
      "tr",
      {},
      create("th", { scope: "row" }, count(post.position)),
      ...cells((name) => significant(speedAt(posts, post, name)!)),
      ...cells((name) => bytes(post[name]!.kept)),
    )
  })
  const nothing = create("td", { colspan: 5 }, "Nothing measured yet.")
  if (lines.length === 0) lines.push(create("tr", { class: "nothing" }, nothing))
  el("race-models-table").querySelector("tbody")!.replaceChildren(...lines)
}
