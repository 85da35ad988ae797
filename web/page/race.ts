/**
 * Race: softmax and polysketch attention over growing texts, on one pair of axes; or a whole model and its
 * linear form on one text (`race_models.ts`).
 */
import { type BenchRow, InputError, type Suite } from "polysketch"
import { Chart, type Mark } from "./charts.js"
import { create, el, isChecked, numberIn, onChange, onClick, setText } from "./dom.js"
import { axisMilliseconds, count, nanoseconds, significant } from "./format.js"
import type { LinearChoice } from "./linear.js"
import { measure } from "./measure.js"
import { Part } from "./part.js"
import { RaceModels } from "./race_models.js"
import { measured, type Measured } from "./rows.js"

const SHORTEST = 512

/** Who runs; the suite measures further kinds, which are left to the benchmark. */
const RUNNERS = ["softmax", "learned", "random"] as const
type Runner = (typeof RUNNERS)[number]

function runnerOf(kind = ""): Runner | undefined {
  if (kind === "softmax") return kind
  if (!kind.startsWith("polysketch") || kind.includes("gated")) return undefined
  return kind.includes("gaussian") || kind.includes("random") ? "random" : "learned"
}

/** What all took over a length. */
type Lap = { n: number } & Partial<Record<Runner, Measured>>

/**
 * The length from which on b stays below a, straight between the points on log axes; none if it never does,
 * or always did.
 */
export function crossOver(laps: { n: number; a: number; b: number }[]): number | undefined {
  const at = laps.findLastIndex(({ a, b }) => b > a)
  const [p, q] = [laps[at], laps[at + 1]]
  if (!p || !q) return undefined
  const [from, to] = [Math.log(p.a / p.b), Math.log(q.a / q.b)]
  return Math.exp(Math.log(p.n) + (Math.log(q.n / p.n) * -from) / (to - from))
}

/** What was measured of a pass, by length, and the exponents fitted to it. */
interface Laps {
  laps: Lap[]
  exponents: Partial<Record<Runner, number>>
}

function lapsOf(rows: BenchRow[], pass: string): Laps {
  const byLength = new Map<number, Lap>()
  const exponents: Laps["exponents"] = {}
  for (const row of rows) {
    const told = measured(row)
    const runner = runnerOf(told.kind)
    if (!runner) continue
    if (row.name === "exponent" && told.operation === pass) exponents[runner] = told.exponent
    if (row.name !== pass || told.n === undefined) continue
    const lap = byLength.get(told.n) ?? { n: told.n }
    lap[runner] = told
    byLength.set(told.n, lap)
  }
  return { laps: [...byLength.values()].sort((a, b) => a.n - b.n), exponents }
}

/** Softmax and the learned sketch over a length that both have a time of, in nanoseconds. */
interface Pair {
  n: number
  a: number
  b: number
}

/** Who is ahead at the last length, and where they cross. */
function verdict(both: Pair[], last: Pair, meet: number | undefined): string {
  const ratio = last.a / last.b
  const ours = "polysketch with a learned sketch"
  const result =
    ratio >= 1
      ? `${ours} is ${significant(ratio, 2)} times as fast as softmax`
      : `softmax is ${significant(1 / ratio, 2)} times as fast as ${ours}`
  const ahead = both.every(({ a, b }) => a >= b)
  const apart = ahead ? "It is ahead at every length measured." : "They have not met up to here."
  const crossing = meet ? `They cross at about ${count(meet)}.` : apart
  return `At ${count(last.n)} tokens, ${result}. ${crossing}`
}

function slopes({ softmax, learned }: Laps["exponents"]): string {
  const grows = "Fitted over the lengths measured, time grows as n to the power of"
  return `${grows} ${softmax?.toFixed(2)} for softmax and ${learned?.toFixed(2)} for polysketch.`
}

/** A line of the table. */
function lineOf(lap: Lap): HTMLTableRowElement {
  const { n, softmax, learned, random } = lap
  const cell = (row?: Measured) => {
    if (row?.median !== undefined) return create("td", {}, nanoseconds(row.median))
    return create("td", { class: "reason" }, row ? (row.reason ?? "no time") : "")
  }
  const errors = RUNNERS.flatMap((runner) => lap[runner]?.error ?? [])
  const ofMedians = softmax?.median && learned?.median ? softmax.median / learned.median : undefined
  const ratio = learned?.speedup ?? ofMedians
  const ends = learned?.interval?.map((end) => significant(end, 2)).join("–")
  const times = ratio ? `${significant(ratio, 2)} ×` : ""
  return create(
    "tr",
    {},
    create("th", { scope: "row" }, count(n)),
    cell(softmax),
    cell(learned),
    cell(random),
    create("td", {}, times, create("small", {}, ratio && ends ? ` (${ends})` : "")),
    create("td", {}, errors.length ? significant(Math.max(...errors), 2) : ""),
  )
}

function drawTable(laps: Lap[]) {
  const lines = laps.map(lineOf)
  const nothing = create("td", { colspan: 6 }, "Nothing measured yet.")
  if (lines.length === 0) lines.push(create("tr", { class: "nothing" }, nothing))
  const body = el("race-table").querySelector("tbody")!
  body.replaceChildren(...lines)
}

function newChart(): Chart {
  return new Chart(el("race-chart"), {
    x: { label: "length, tokens", log2: true, value: count },
    y: { label: "median time", log: true, axis: axisMilliseconds, value: (ms) => nanoseconds(ms * 1e6) },
    lines: [
      { label: "softmax", colour: "--base", points: true, width: 2 },
      { label: "polysketch, learned sketch", colour: "--accent", points: true, width: 2.25 },
      { label: "polysketch, random sketch", colour: "--accent", points: true, width: 1.25, dash: [6, 4] },
    ],
    height: 360,
  })
}

export function startRace(linear: LinearChoice) {
  const part = new Part("race", "Race")
  const models = new RaceModels(part, linear)
  const attention = startAttention(part)
  const ofModels = () => isChecked("race-of-models")
  const choose = () => {
    for (const id of ["race-attention-course", "race-shown", "race-attention"]) el(id).hidden = ofModels()
    for (const id of ["race-models-course", "race-models"]) el(id).hidden = !ofModels()
    if (part.running) return
    part.clearError()
    part.status("Not started.")
    setText("race-rows", "")
    el<HTMLProgressElement>("race-progress").value = 0
  }
  onChange("race-of-attention", choose)
  onChange("race-of-models", choose)
  onClick("race-start", () =>
    part.run("racing", (signal) => (ofModels() ? models.run(signal) : attention(signal))),
  )
  choose()
}

/** Returns what races attention. */
function startAttention(part: Part): (signal: AbortSignal) => Promise<void> {
  const chart = newChart()
  let rows: BenchRow[] = []

  function draw() {
    const pass = isChecked("race-pass-both") ? "forward_backward" : "forward"
    const { laps, exponents } = lapsOf(rows, pass)
    const timed = laps.filter((lap) => RUNNERS.some((runner) => lap[runner]?.median))
    const both = laps.flatMap(({ n, softmax, learned }) =>
      softmax?.median && learned?.median ? [{ n, a: softmax.median, b: learned.median }] : [],
    )
    const meet = crossOver(both)
    const marks: Mark[] = meet ? [{ x: meet, text: `cross-over at ${count(meet)}` }] : []
    const lengths = timed.map((lap) => lap.n)
    const milliseconds = (runner: Runner) =>
      timed.map((lap) => (lap[runner]?.median ? lap[runner].median / 1e6 : null))
    chart.set(lengths, RUNNERS.map(milliseconds), marks)

    const last = both.at(-1)
    el("race-verdict").hidden = !last
    if (last) {
      const words = verdict(both, last, meet)
      setText("race-verdict", words)
      const title = `Time against length, ${pass.replace("_", " and ")}.`
      el("race-chart").setAttribute("aria-label", `${title} ${words}`)
    }
    // Two lengths make a slope, but no fit.
    const fitted = exponents.softmax !== undefined && exponents.learned !== undefined
    el("race-slopes").hidden = both.length < 3 || !fitted
    setText("race-slopes", slopes(exponents))
    drawTable(laps)
  }

  onChange("race-pass-forward", draw)
  onChange("race-pass-both", draw)
  draw()
  return async (signal) => {
    const longest = numberIn("race-longest")
    const lengths: number[] = []
    for (let n = SHORTEST; n <= longest; n *= 2) lengths.push(n)
    const suites: Suite[] = ["attention"]
    const options = { suites, lengths, budget: numberIn("race-budget"), quick: true, signal }
    rows = []
    draw()
    const info = await measure(part, "race", options, (row) => {
      rows.push(row)
      draw()
    })
    if (rows.length === 0) throw new InputError("this device has no rows of attention to measure")
    el<HTMLProgressElement>("race-progress").value = 1
    setText("race-rows", `${count(rows.length)} measurements`)
    const software = " This adapter is software: the ratio says something, the times do not."
    part.status(`Done on ${info.adapter}.${info.kind === "software" ? software : ""}`)
  }
}
