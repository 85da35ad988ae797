/** Line charts: uPlot with this page's colours, axes with units, and marks. */
import uPlot from "uplot"
import { oncePerFrame } from "./dom.js"
import { axisLength, count, significant } from "./format.js"

export interface Line {
  label: string
  /** CSS variable of its colour. */
  colour: string
  width?: number
  dash?: number[]
  points?: boolean
}

export interface ChartOptions {
  x: {
    label: string
    log2?: boolean
    to?: () => number
    value?: (x: number) => string
    axis?: (x: number) => string
  }
  y: {
    label: string
    log?: boolean
    from?: number
    to?: number
    value?: (y: number) => string
    axis?: (y: number) => string
  }
  lines: Line[]
  height?: number
}

/** A vertical line with a word to it. */
export interface Mark {
  x: number
  text: string
}

export type Values = (number | null)[]

const colour = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim()
const FONT =
  '12px system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Liberation Sans", sans-serif'
const charts = new Set<Chart>()

/** Colours are read while drawing: a new theme only needs a new drawing. */
export const redrawCharts = () => charts.forEach((chart) => chart.redraw())

export class Chart {
  private plot: uPlot | undefined
  private data: [number[], ...Values[]]
  private marks: Mark[] = []
  private empty = true

  constructor(
    private readonly host: HTMLElement,
    private readonly options: ChartOptions,
  ) {
    this.data = [[], ...options.lines.map((): Values => [])]
    charts.add(this)
    // A part that is not shown has no width; it is drawn when it gets one. Not at once: an observer may not
    // change what it observes.
    new ResizeObserver(oncePerFrame(() => this.resize())).observe(host)
  }

  set(x: number[], lines: Values[], marks: Mark[] = []) {
    this.data = [x, ...lines]
    this.marks = marks
    const empty = x.length === 0
    this.plot?.setData(this.data)
    // The numbers of an axis whose range stays would stay as well: none.
    if (empty !== this.empty) this.plot?.redraw(false, true)
    this.empty = empty
    this.host.classList.toggle("empty", empty)
    this.tellLast()
  }

  /** Away from the pointer, the legend tells the last values. */
  private tellLast() {
    const { plot } = this
    if (plot && (plot.cursor.left ?? -1) < 0 && this.data[0].length > 0)
      plot.setLegend({ idx: this.data[0].length - 1 }, false)
  }

  redraw() {
    this.plot?.redraw(false, true)
  }

  private resize() {
    const width = Math.floor(this.host.clientWidth)
    if (width < 40) return
    const height = this.options.height ?? 230
    if (this.plot) this.plot.setSize({ width, height })
    else this.plot = new uPlot(this.settings(width, height), this.data, this.host)
    this.tellLast()
  }

  private settings(width: number, height: number): uPlot.Options {
    const { x, y, lines } = this.options
    const grid = { stroke: () => colour("--rule"), width: 1 }
    // uPlot would hide labels of log axes that it finds too close; the splits here are not.
    const filter = (_: uPlot, splits: number[]) => splits
    const axis = {
      filter,
      stroke: () => colour("--ink-2"),
      font: FONT,
      labelFont: FONT,
      grid,
      ticks: { ...grid, size: 4 },
      gap: 6,
    }
    const writeX = x.axis ?? (x.log2 ? axisLength : count)
    const writeY = y.axis ?? ((v: number) => String(Number(v.toPrecision(4))))
    const none = "–"
    return {
      width,
      height,
      padding: [14, 14, 0, 0],
      legend: {
        live: true,
        markers: { width: 2, dash: (_, i) => (lines[i - 1]?.dash ? "dashed" : "solid") },
      },
      cursor: { drag: { setScale: false, x: false, y: false }, points: { size: 7, width: 2 }, y: false },
      scales: {
        x: x.log2
          ? { time: false, distr: 3, log: 2, range: (_, min, max) => wide(min, max, 2 ** 0.35) }
          : { time: false, range: (plot) => [0, Math.max(x.to?.() ?? 0, plot.data[0].at(-1) ?? 0) || 1] },
        y: y.log
          ? { distr: 3, log: 10, range: (_, min, max) => wide(min, max, 1.6) }
          : {
              range: (_, min, max) => {
                if (min === null || min === undefined) return [y.from ?? 0, y.to ?? 1]
                const room = (max - min || Math.abs(max) || 1) * 0.08
                return [y.from ?? min - room, y.to ?? max + room]
              },
            },
      },
      axes: [
        {
          ...axis,
          label: x.label,
          labelSize: 22,
          labelGap: 4,
          size: 28,
          space: 56,
          ...(x.log2 && { splits: octaves }),
          values: (plot, splits) => splits.map((v) => (plot.data[0].length ? writeX(v) : "")),
        },
        {
          ...axis,
          label: y.label,
          labelSize: 20,
          labelGap: 2,
          size: 58,
          space: 34,
          ...(y.log && { splits: decades }),
          values: (plot, splits) => splits.map((v) => (plot.data[0].length ? writeY(v) : "")),
        },
      ],
      series: [
        { label: x.label, value: (_, v) => (v === null ? none : (x.value ?? count)(v)) },
        ...lines.map((line): uPlot.Series => ({
          label: line.label,
          stroke: () => colour(line.colour),
          width: line.width ?? 1.75,
          dash: line.dash,
          spanGaps: true,
          points: line.points
            ? { show: true, size: 7, width: 1.75, fill: () => colour("--paper") }
            : { show: false },
          value: (_, v) => (v === null || v === undefined ? none : (y.value ?? significant)(v)),
        })),
      ],
      hooks: { draw: [(plot) => this.drawMarks(plot)], setCursor: [() => this.tellLast()] },
    }
  }

  private drawMarks(plot: uPlot) {
    const { ctx, bbox } = plot
    const dpr = uPlot.pxRatio
    for (const { x, text } of this.marks) {
      const at = plot.valToPos(x, "x", true)
      if (!(at >= bbox.left && at <= bbox.left + bbox.width)) continue
      ctx.save()
      ctx.strokeStyle = ctx.fillStyle = colour("--ink")
      ctx.lineWidth = dpr
      ctx.setLineDash([3 * dpr, 3 * dpr])
      ctx.beginPath()
      ctx.moveTo(at, bbox.top)
      ctx.lineTo(at, bbox.top + bbox.height)
      ctx.stroke()
      ctx.font = FONT.replace("12px", `600 ${12 * dpr}px`)
      const right = at + ctx.measureText(text).width + 12 * dpr > bbox.left + bbox.width
      ctx.textAlign = right ? "right" : "left"
      ctx.textBaseline = "top"
      ctx.fillText(text, at + (right ? -7 : 7) * dpr, bbox.top + 4 * dpr)
      ctx.restore()
    }
  }
}

/** A log scale with some room; one point or none makes a scale too. */
function wide(min: number | null, max: number | null, room: number): [number, number] {
  if (!min || !max) return [1, 100]
  return [min / room, max * room]
}

/** Powers of two in a range, where there is room for them. */
const octaves: uPlot.Axis.Splits = (plot, _, min, max) => {
  const [from, to] = [Math.ceil(Math.log2(min)), Math.floor(Math.log2(max))]
  const stride = Math.max(1, Math.ceil((to - from + 1) / Math.max(1, plot.width / 70)))
  const splits: number[] = []
  for (let i = from; i <= to; i += stride) splits.push(2 ** i)
  return splits
}

/** 1, 2 and 5 in each decade of a range, or only 1 where there are many. */
const decades: uPlot.Axis.Splits = (_, __, min, max) => {
  const steps = Math.log10(max / min) > 3.2 ? [1] : [1, 2, 5]
  const splits: number[] = []
  for (let power = Math.floor(Math.log10(min)); 10 ** power <= max; power++) {
    for (const step of steps)
      if (step * 10 ** power >= min && step * 10 ** power <= max) splits.push(step * 10 ** power)
  }
  return splits
}
