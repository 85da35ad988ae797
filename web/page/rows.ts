/**
 * Rows of a benchmark, as far as this page reads them (src/bench/schema.rs). A row of another version may
 * lack anything.
 */
import type { BenchRow } from "polysketch"
import { count, significant } from "./format.js"

export interface Measured {
  name: string
  /** The workload, for people. */
  label: string
  /** Of the attention suite. */
  kind?: string
  n?: number
  /** What a fitted row is of. */
  operation?: string
  /**
   * Nanoseconds; none if the row was skipped, or its result is wrong, or it is no measurement but follows
   * from others.
   */
  median?: number
  /** Interquartile range over median. */
  spread?: number
  error?: number
  /** Why there is no time. */
  reason?: string
  /** What is derived, with its unit. */
  rate?: string
  /** Softmax over this one, with a 95 % interval. */
  speedup?: number
  interval?: [number, number]
  exponent?: number
}

type Fields = Record<string, unknown>
const fields = (value: unknown): Fields =>
  typeof value === "object" && value !== null ? (value as Fields) : {}
const number = (value: unknown) => (typeof value === "number" && Number.isFinite(value) ? value : undefined)
const string = (value: unknown) => (typeof value === "string" && value !== "" ? value : undefined)

/** What a row tells besides its time: the first of these that it has. */
const DERIVED: [field: string, text: (value: number) => string][] = [
  ["tokens_per_second", (v) => `${significant(v)} tokens/s`],
  ["gflops", (v) => `${significant(v)} GFLOP/s`],
  ["gbps", (v) => `${significant(v)} GB/s`],
  ["exponent", (v) => `time ∝ n^${v.toFixed(2)}`],
  ["crossover_tokens", (v) => `${count(v)} tokens`],
]

export function measured(row: BenchRow): Measured {
  const [workload, statistics, derived, check] = [
    fields(row.workload),
    fields(row.statistics),
    fields(row.derived),
    fields(row.check),
  ]
  const reason = string(row.skipped)
  const [low, high] = [number(derived.speedup_low), number(derived.speedup_high)]
  const told = DERIVED.find(([field]) => number(derived[field]) !== undefined)
  const named = (name: string, value: unknown) =>
    number(value) === undefined ? undefined : `${name} ${count(value as number)}`
  const label = [
    string(workload.kind),
    string(workload.operation),
    string(workload.plan),
    Array.isArray(workload.shape) ? workload.shape.join("×") : undefined,
    number(workload.bytes) === undefined ? undefined : `${count((workload.bytes as number) / 2 ** 20)} MiB`,
    named("n", workload.tokens),
    named("at", workload.depth),
  ]
  return {
    name: String(row.name).replaceAll("_", " and "),
    label: label
      .filter((part) => part !== undefined)
      .join(", ")
      .replaceAll("_", " and "),
    kind: string(workload.kind),
    n: number(workload.tokens),
    operation: string(workload.operation),
    median: reason ? undefined : number(statistics.median_ns),
    spread: number(statistics.spread),
    error: number(check.error),
    reason,
    rate: told && told[1](derived[told[0]] as number),
    speedup: number(derived.speedup),
    interval: low !== undefined && high !== undefined ? [low, high] : undefined,
    exponent: number(derived.exponent),
  }
}

/** Rows of the same work have the same key, on any device. */
export const keyOf = (row: BenchRow) => `${row.suite}\n${row.name}\n${stable(row.workload)}`

/** JSON whose fields are in order. */
function stable(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(stable).join()}]`
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? ""
  const entries = Object.entries(value as Fields).sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${entries.map(([name, field]) => `${JSON.stringify(name)}:${stable(field)}`).join()}}`
}

/** The rows of a JSONL file; a line that is none is an error that says which. */
export function parseRows(jsonl: string): BenchRow[] {
  const rows: BenchRow[] = []
  for (const [i, line] of jsonl.split("\n").entries()) {
    if (line.trim() === "") continue
    let row: BenchRow
    try {
      row = JSON.parse(line) as BenchRow
    } catch {
      throw new Error(`line ${i + 1} is not JSON`)
    }
    if (typeof row?.schema !== "string" || !row.schema.startsWith("polysketch.bench/"))
      throw new Error(`line ${i + 1} is not a row of polysketch.bench`)
    rows.push(row)
  }
  if (rows.length === 0) throw new Error("it holds no rows")
  return rows
}

/** Whether a row was measured on a device that is software. */
export const isSoftware = (row: BenchRow) => fields(row.device).kind === "software"

/** The device of a row for people; of several of one name, which one, and where it is. */
export function deviceOf(row: BenchRow): string {
  const device = fields(row.device)
  const which = number(device.number)
  const name = `${string(device.name) ?? "another device"}${which === undefined ? "" : ` #${which}`}`
  const [backend, bus] = [string(device.backend), string(device.bus)]
  const precision = string(fields(row.method).precision) ?? "f32"
  const words = [backend && ` (${backend})`, bus && `, bus ${bus}`, precision !== "f32" && `, ${precision}`]
  return name + words.filter(Boolean).join("")
}

/** Rows by device, in the order they come. */
export function byDevice(rows: BenchRow[]): Map<string, BenchRow[]> {
  const devices = new Map<string, BenchRow[]>()
  for (const row of rows) {
    const device = deviceOf(row)
    devices.set(device, [...(devices.get(device) ?? []), row])
  }
  return devices
}

/** The last row of each work: what was measured again replaces what was measured before. */
export const lastOfEach = (rows: BenchRow[]): BenchRow[] => [
  ...new Map(rows.map((row) => [keyOf(row), row])).values(),
]

/** The text of a file; one of another encoding than UTF-8 is an error that names it. */
export async function textOf(file: Blob): Promise<string> {
  const [first, second] = new Uint8Array(await file.slice(0, 2).arrayBuffer())
  if ((first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff))
    throw new Error("it is UTF-16, must be UTF-8")
  // The browser drops a byte order mark of UTF-8.
  return file.text()
}
