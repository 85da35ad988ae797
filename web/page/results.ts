/** Results of many devices beside each other: shares of the peak by kernel and vendor. Files are checked. */
import { compareResults, InputError, type Results, type ResultsCell, type ResultsColumn } from "polysketch"
import { create, el, opensFile, setText } from "./dom.js"
import { nanoseconds, percent } from "./format.js"
import type { Part } from "./part.js"
import { textOf } from "./rows.js"

/** A line of results/index.json, which the build writes from the files. */
export interface Bundled {
  file: string
  label: string
  date: string
  software: boolean
}

interface Given {
  name: string
  text: string
  published: boolean
}

const small = (text: string) => create("small", {}, text)

/** The lines of a column's head. */
function heading(c: ResultsColumn, own: boolean): HTMLTableCellElement {
  const tags = [c.software && "software", own && "yours"].filter((tag) => tag !== false)
  const about = [c.about, c.driver, c.build, c.date, c.sizes, c.note].filter((line) => line !== "")
  return create(
    "th",
    { scope: "col", class: own ? "of-device own" : "of-device" },
    c.device,
    ...tags.map((tag) => create("span", { class: "tag" }, tag)),
    ...about.map(small),
  )
}

function cellOf(cell: ResultsCell | null, { device }: ResultsColumn): HTMLTableCellElement {
  if (!cell) return create("td", {}, "–")
  const { share, bound, ns, steps, estimate_ns: estimate, estimate_of: of } = cell
  const words = share === null ? "cached" : share < 0.01 ? "< 1 %" : percent(share)
  const time = `${share === null ? "" : `${bound} `}${nanoseconds(ns)}`
  const title = [device, steps > 1 && `${steps} steps of different shape`, of && `estimate: ${of}`]
  const drawn = create(
    "td",
    { class: "part-of-peak", title: title.filter(Boolean).join("; ") },
    words,
    small(estimate === null ? time : `${time}, est. ${nanoseconds(estimate)}`),
  )
  drawn.style.setProperty("--share", `${(100 * Math.min(share ?? 0, 1)).toFixed(1)}%`)
  return drawn
}

function draw({ board, file_of: fileOf }: Results, given: Given[]) {
  const { columns, lines } = board
  const makers = create("tr", {}, create("td"))
  for (const [i, { maker }] of columns.entries()) {
    if (maker === columns[i - 1]?.maker) continue
    const after = columns.findIndex((c, j) => j > i && c.maker !== maker)
    const colspan = (after < 0 ? columns.length : after) - i
    makers.append(create("th", { scope: "colgroup", colspan, class: "maker" }, maker))
  }
  const isOwn = (column: number) => !given[fileOf[column]!]!.published
  const names = create("tr", {}, create("th", { scope: "col" }, "Kernel"))
  names.append(...columns.map((column, i) => heading(column, isOwn(i))))
  const rows: HTMLTableRowElement[] = []
  for (const [i, { plan, kernel, cells }] of lines.entries()) {
    if (plan !== lines[i - 1]?.plan) {
      const title = create("th", { scope: "rowgroup", colspan: columns.length + 1 }, plan)
      rows.push(create("tr", { class: "suite" }, title))
    }
    const drawn = cells.map((cell, j) => cellOf(cell, columns[j]!))
    rows.push(create("tr", {}, create("th", { scope: "row" }, kernel), ...drawn))
  }
  const table = el("results-table")
  table.querySelector("thead")!.replaceChildren(makers, names)
  table.querySelector("tbody")!.replaceChildren(...rows)
}

/** `index`: the files beside this page, asked for once. */
export function startResults(part: Part, index: () => Promise<Bundled[]>) {
  let given: Given[] = []

  /** Checks and draws; a visitor's own file that is refused is an error, and leaves the board as it is. */
  async function show(files: Given[]) {
    const results = await compareResults(files)
    const told = results.files
    const mine = told.find((file, i) => file.refused && !files[i]!.published)
    if (mine)
      throw new InputError(
        `the file is refused: ${mine.refused}`,
        "choose a JSONL file of polysketch bench, as it was written",
      )
    given = files
    draw(results, given)
    const refused = told.flatMap((file) => (file.refused ? [file.refused] : []))
    const own = told.filter((_, i) => !files[i]!.published)
    const lacking = own.flatMap(({ name, missing }) =>
      missing ? [`“${name}” is shown to you, but could not be added: ${missing}`] : [],
    )
    const taken = told.length - refused.length
    setText("results-line", `${taken} of ${told.length} files were checked and taken.`)
    el("results-notes").replaceChildren(
      ...[...refused.map((why) => `Refused: ${why}`), ...lacking].map((line) => create("li", {}, line)),
    )
  }

  async function bundled(): Promise<Given[]> {
    const load = async ({ file }: Bundled) => {
      const response = await fetch(`./results/${file}`)
      if (!response.ok) throw new Error(`${file} cannot be loaded: the server says ${response.status}`)
      return { name: file, text: await response.text(), published: true }
    }
    return Promise.all((await index()).map(load))
  }

  let first: Promise<void> | undefined
  const start = () =>
    (first ??= bundled()
      .then(show)
      .catch((error: unknown) => {
        first = undefined
        throw error
      }))

  async function add(file: File) {
    try {
      part.clearError()
      await start()
      await show([...given, { name: file.name, text: await textOf(file), published: false }])
    } catch (error) {
      part.fail(error)
    }
  }

  new IntersectionObserver(([entry]) => {
    if (entry?.isIntersecting) start().catch((error: unknown) => part.fail(error))
  }).observe(el("results"))
  opensFile("results-open", "results-file", add)
  const place = el("results-drop")
  const over = (on: boolean) => place.classList.toggle("over", on)
  place.addEventListener("dragover", (event) => {
    event.preventDefault()
    over(true)
  })
  place.addEventListener("dragleave", () => over(false))
  place.addEventListener("drop", (event) => {
    event.preventDefault()
    over(false)
    const file = event.dataTransfer?.files[0]
    if (file) void add(file)
  })
}
