/** Inside, what is seen: a picture a head, the scale below them, and the value under the pointer. */
import type { HeadState } from "polysketch"
import { create, el, setText } from "./dom.js"
import { significant } from "./format.js"
import { type Extremes, extremes, GAP, paintHead, paintScale, position, widthOf } from "./heat.js"

interface Shown {
  head: HeadState
  canvas: HTMLCanvasElement
  words: HTMLElement
}

export class HeadsView {
  private shown: Shown[] = []

  /** Shows heads, on one scale for all or each on its own; none: the scale alone. */
  show(heads: HeadState[], shared: boolean) {
    if (heads.length === 0) return this.legend(undefined)
    if (!this.fits(heads)) this.layOut(heads)
    const each = heads.map(extremes)
    const all: Extremes = {
      value: Math.max(...each.map(({ value }) => value)),
      normaliser: Math.max(...each.map(({ normaliser }) => normaliser)),
    }
    heads.forEach((head, i) => {
      const { canvas, words } = this.shown[i]!
      this.shown[i]!.head = head
      paintHead(canvas, head, shared ? all : each[i]!)
      const largest = significant(each[i]!.value, 2)
      words.textContent = `± ${largest}`
      const size = `${head.rows} features by ${head.columns - 1} value dimensions`
      canvas.setAttribute("aria-label", `Head ${head.head + 1}: ${size}, largest value ${largest}`)
    })
    this.legend(shared ? all.value : undefined)
  }

  private fits(heads: HeadState[]): boolean {
    const same = (a: HeadState, b: HeadState) => a.rows === b.rows && a.columns === b.columns
    return this.shown.length === heads.length && this.shown.every(({ head }, i) => same(head, heads[i]!))
  }

  private layOut(heads: HeadState[]) {
    const figures = heads.map((head) => {
      const canvas = create("canvas", { width: widthOf(head), height: head.rows, role: "img" })
      const words = create("small")
      const entry = { head, canvas, words }
      const point = (event: PointerEvent) => pointAt(entry, event)
      canvas.addEventListener("pointermove", point)
      canvas.addEventListener("pointerdown", point)
      const caption = create("figcaption", {}, `Head ${head.head + 1}`, words)
      return { entry, figure: create("figure", {}, caption, canvas) }
    })
    this.shown = figures.map(({ entry }) => entry)
    el("inside-heads").replaceChildren(...figures.map(({ figure }) => figure))
  }

  /**
   * The scale: in values where it is one for all heads, in parts of a head's largest where each has its own.
   */
  private legend(most: number | undefined) {
    paintScale(el<HTMLCanvasElement>("inside-legend"))
    const ticks = [-1, -0.01, 0, 0.01, 1].map((t) => {
      const words = most === undefined ? partOfLargest(t) : significant(t * most, 1)
      const tick = create("span", {}, words)
      // Not as an attribute, which a Content-Security-Policy may forbid.
      tick.style.left = `${50 + 50 * position(t, 1)}%`
      return tick
    })
    el("inside-ticks").replaceChildren(...ticks)
  }
}

function partOfLargest(t: number): string {
  if (t === 0) return "0"
  const sign = t < 0 ? "−" : ""
  return Math.abs(t) === 1 ? `${sign}max` : `${sign}${Math.abs(t) * 100} %`
}

/** Says the value under the pointer. */
function pointAt({ head, canvas }: Shown, event: PointerEvent) {
  const box = canvas.getBoundingClientRect()
  const down = Math.floor(((event.clientY - box.top) / box.height) * head.rows)
  const row = Math.min(head.rows - 1, Math.max(0, down))
  const across = Math.floor(((event.clientX - box.left) / box.width) * canvas.width)
  const last = head.columns - 1
  if (across >= last && across < last + GAP) return
  const column = Math.max(0, Math.min(across, last))
  const where = column === last ? "normaliser" : `value dimension ${column}`
  const value = significant(head.values[row * head.columns + column]!, 4)
  setText("inside-cell", `Head ${head.head + 1}, feature ${row}, ${where}: ${value}`)
}
