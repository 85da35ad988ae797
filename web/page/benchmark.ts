/** Benchmark: the suites of the native command, its JSONL, and the results of other devices beside them. */
import { type BenchRow, InputError, type Suite } from "polysketch"
import {
  create,
  download,
  el,
  isChecked,
  numberIn,
  onChange,
  onClick,
  opensFile,
  setText,
  value,
} from "./dom.js"
import { count, nanoseconds, percent, significant } from "./format.js"
import { measure } from "./measure.js"
import { disable, Part } from "./part.js"
import { type Bundled, startResults } from "./results.js"
import {
  byDevice,
  isSoftware,
  keyOf,
  lastOfEach,
  measured,
  type Measured,
  parseRows,
  textOf,
} from "./rows.js"

const SUITES: Suite[] = ["peaks", "kernels", "attention", "model", "train"]
const TITLES: Record<Suite, string> = {
  peaks: "Peaks",
  kernels: "Kernels",
  attention: "Attention",
  model: "Model",
  train: "Train",
}

/** What a row of another device says of its time, or else of what it is. */
function timeOf({ median, reason, rate }: Measured): string {
  if (median !== undefined) return nanoseconds(median)
  return reason ? "no time" : (rate ?? "")
}

export function startBenchmark() {
  const part = new Part("benchmark", "Benchmark")
  let rows: BenchRow[] = []
  let other: { label: string; rows: BenchRow[] } | undefined

  // The table
  // -------------------------------------------------------------------------------------------------------

  function line(here: BenchRow | undefined, there: BenchRow | undefined): HTMLTableRowElement {
    const [mine, theirs] = [here && measured(here), there && measured(there)]
    const ratio = mine?.median && theirs?.median ? theirs.median / mine.median : undefined
    const times = (row: Measured | undefined): HTMLTableCellElement[] => {
      if (!row) return [create("td"), create("td"), create("td"), create("td")]
      if (row.reason) return [create("td", { class: "reason", colspan: 4 }, row.reason)]
      return [
        create("td", {}, row.median === undefined ? "" : nanoseconds(row.median)),
        create("td", {}, row.spread === undefined ? "" : percent(row.spread)),
        create("td", {}, row.rate ?? ""),
        create("td", {}, row.error === undefined ? "" : significant(row.error, 2)),
      ]
    }
    const { name, label } = (mine ?? theirs)!
    return create(
      "tr",
      {},
      create("th", { scope: "row" }, name, create("small", {}, ` ${label}`)),
      ...times(mine),
      ...(other ? compared(theirs, ratio) : []),
    )
  }

  const compared = (theirs: Measured | undefined, ratio: number | undefined) => [
    create("td", {}, theirs ? timeOf(theirs) : ""),
    create("td", {}, ratio ? `${significant(ratio)} ×` : ""),
  ]

  function draw() {
    const body = el("benchmark-table").querySelector("tbody")!
    const there = new Map(other?.rows.map((row) => [keyOf(row), row]))
    const here = new Set(rows.map(keyOf))
    const lines: HTMLTableRowElement[] = []
    const columns = other ? 7 : 5
    const title = (suite: Suite) => create("th", { scope: "rowgroup", colspan: columns }, TITLES[suite])
    for (const suite of SUITES) {
      const of = (all: BenchRow[]) => all.filter((row) => row.suite === suite)
      const mine = of(rows).map((row) => line(row, there.get(keyOf(row))))
      const others = of(other?.rows ?? []).filter((row) => !here.has(keyOf(row)))
      const theirs = others.map((row) => line(undefined, row))
      if (mine.length + theirs.length === 0) continue
      lines.push(create("tr", { class: "suite" }, title(suite)), ...mine, ...theirs)
    }
    const nothing = create("td", { colspan: columns }, "Nothing measured yet.")
    if (lines.length === 0) lines.push(create("tr", { class: "nothing" }, nothing))
    el("benchmark-table").classList.toggle("alone", !other)
    body.replaceChildren(...lines)
    for (const id of ["benchmark-copy", "benchmark-download"]) disable(el(id), rows.length === 0)
    el("benchmark-software").hidden = !rows.some(isSoftware)
  }

  // A run
  // -------------------------------------------------------------------------------------------------------

  const jsonl = () => rows.map((row) => `${JSON.stringify(row)}\n`).join("")

  onClick("benchmark-start", () =>
    part.run("measuring", async (signal) => {
      const suites = SUITES.filter((suite) => isChecked(`benchmark-${suite}`))
      if (suites.length === 0) throw new InputError("no suite is chosen", "choose one at least")
      const field = el<HTMLInputElement>("benchmark-budget")
      const budget =
        field.value === "" && field.checkValidity() ? {} : { budget: numberIn("benchmark-budget") }
      rows = []
      draw()
      const options = { suites, quick: isChecked("benchmark-quick"), ...budget, signal }
      const info = await measure(part, "benchmark", options, (row) => {
        rows.push(row)
        draw()
      })
      el<HTMLProgressElement>("benchmark-progress").value = 1
      setText("benchmark-rows", `${count(rows.length)} rows`)
      if (info.kind === "software") el("benchmark-software").hidden = false
      part.status(`Done on ${info.adapter}.`)
    }),
  )

  onClick("benchmark-copy", async () => {
    try {
      part.clearError()
      await navigator.clipboard.writeText(jsonl())
      part.status(`Copied ${count(rows.length)} rows.`)
    } catch (cause) {
      part.fail(new Error("the browser does not allow copying; download the rows instead", { cause }))
    }
  })
  onClick("benchmark-download", () => {
    const day = new Date().toISOString().slice(0, 10)
    download(`polysketch-bench-${day}.jsonl`, [jsonl()], "application/jsonl")
  })

  // Other devices
  // -------------------------------------------------------------------------------------------------------

  function compareWith(label: string, all: BenchRow[] | undefined, software: boolean) {
    const found = all && lastOfEach(all)
    other = found && { label, rows: found }
    const again = (all?.length ?? 0) - (found?.length ?? 0)
    const repeated = again ? ` ${count(again)} more were measured again later.` : ""
    const words = software ? " Software adapter: a GPU emulated on the CPU." : ""
    const above = "Above 1 ×, this device is the faster one."
    setText("benchmark-other-line", found ? `${label}: ${count(found.length)} rows.${repeated}${words} ${above}` : "")
    draw()
  }

  /** Asked for once, when the part is first looked at: most visitors never do. */
  let index: Promise<Bundled[]> | undefined
  async function loadIndex(): Promise<Bundled[]> {
    const response = await fetch("./results/index.json")
    if (!response.ok)
      throw new Error(`the bundled results cannot be loaded: the server says ${response.status}`)
    const found = (await response.json()) as Bundled[]
    const choice = el<HTMLSelectElement>("benchmark-other")
    for (const { file, label, date, software } of found) {
      choice.append(create("option", { value: file }, `${label}${software ? ", software" : ""}, ${date}`))
    }
    if (found.length === 0)
      setText("benchmark-other-line", "No results are bundled with this page; open a file instead.")
    return found
  }
  const bundled = () => (index ??= loadIndex())
  new IntersectionObserver(([entry]) => {
    if (!entry?.isIntersecting || index) return
    bundled().catch((error) => {
      index = undefined
      part.fail(error)
    })
  }).observe(el("benchmark"))
  startResults(part, bundled)

  /** The devices of files that the visitor opened, by the values of their choices. */
  const opened = new Map<string, { label: string; rows: BenchRow[] }>()

  onChange("benchmark-other", async () => {
    try {
      part.clearError()
      const file = value("benchmark-other")
      if (file === "") return compareWith("", undefined, false)
      const mine = opened.get(file)
      if (mine) return compareWith(mine.label, mine.rows, mine.rows.some(isSoftware))
      const chosen = (await index)?.find((line) => line.file === file)
      const response = await fetch(`./results/${file}`)
      if (!response.ok) throw new Error(`these results cannot be loaded: the server says ${response.status}`)
      const found = parseRows(await response.text())
      compareWith(chosen?.label ?? file, found, chosen?.software ?? found.some(isSoftware))
    } catch (error) {
      part.fail(error)
    }
  })
  opensFile("benchmark-open", "benchmark-file", async (file) => {
    try {
      part.clearError()
      const devices = byDevice(parseRows(await textOf(file)))
      const choice = el<HTMLSelectElement>("benchmark-other")
      for (const [i, [device, rows]] of [...devices].entries()) {
        const key = `opened:${opened.size}`
        const label = `“${file.name}”, ${device}`
        opened.set(key, { label, rows })
        choice.append(create("option", { value: key }, label))
        // Two devices are two: the first is shown, the others are there to be chosen.
        if (i > 0) continue
        choice.value = key
        compareWith(label, rows, rows.some(isSoftware))
      }
    } catch (error) {
      const why = `“${file.name}” cannot be compared with: ${(error as Error).message}`
      part.fail(new InputError(why, "choose a JSONL file of polysketch bench"))
    }
  })
  draw()
}
