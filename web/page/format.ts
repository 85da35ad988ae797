/** Numbers for people. The page is in English, so its numbers are too. */

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 })

export const count = (n: number) => whole.format(n)

/**
 * A number with so many significant digits, never in scientific notation unless it is very small or large.
 */
export function significant(x: number, digits = 3): string {
  if (x === 0) return "0"
  if (!Number.isFinite(x)) return "–"
  const size = Math.abs(x)
  if (size < 1e-3 || size >= 1e7)
    return x
      .toExponential(digits - 1)
      .replace("e+", "e")
      .replace("-", "−")
      .replace("e-", "e−")
  if (size >= 10 ** (digits - 1)) return whole.format(x)
  return x.toFixed(Math.max(0, digits - 1 - Math.floor(Math.log10(size)))).replace("-", "−")
}

/** Bytes in binary units, as [number, unit]. */
export function bytesParts(n: number): [string, string] {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"]
  let unit = 0
  while (n >= 1024 && unit < units.length - 1) {
    n /= 1024
    unit++
  }
  return [unit === 0 ? count(n) : n < 10 ? n.toFixed(2) : n < 100 ? n.toFixed(1) : count(n), units[unit]!]
}

export const bytes = (n: number) => bytesParts(n).join(" ")

/** A time, given in nanoseconds. */
export function nanoseconds(ns: number): string {
  if (ns < 1e3) return `${significant(ns)} ns`
  if (ns < 1e6) return `${significant(ns / 1e3)} µs`
  if (ns < 1e9) return `${significant(ns / 1e6)} ms`
  return `${significant(ns / 1e9)} s`
}

/** Milliseconds on an axis: 0.5 ms, 20 ms, 3 s. */
export const axisMilliseconds = (ms: number) =>
  ms >= 1000 ? `${trim(ms / 1000)} s` : ms >= 1 ? `${trim(ms)} ms` : `${trim(ms * 1000)} µs`

/** Lengths on an axis, as the field writes them: 512, 8k, 128k, 1M are powers of two. */
export const axisLength = (n: number) =>
  n >= 1 << 20 ? `${trim(n / (1 << 20))}M` : n >= 1024 ? `${trim(n / 1024)}k` : trim(n)

/** Seconds still to go, coarsely. */
export function remaining(seconds: number): string {
  if (!Number.isFinite(seconds)) return ""
  if (seconds < 60) return `${Math.max(1, Math.round(seconds))} s left`
  if (seconds < 3600) return `${Math.round(seconds / 60)} min left`
  return `${(seconds / 3600).toFixed(1)} h left`
}

export const percent = (part: number) => `${(part * 100).toFixed(part >= 0.9995 || part === 0 ? 0 : 1)} %`

/** Up to four digits after the point, none in vain. */
const trim = (x: number) => String(Number(x.toPrecision(4)))
