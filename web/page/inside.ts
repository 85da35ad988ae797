/** Inside: the state of every head of a layer, as heat-maps that change while a text goes in. */
import { type HeadState, InputError, type Session } from "polysketch"
import { abortable, create, el, isChecked, numberIn, onChange, onClick, pause, setText, value } from "./dom.js"
import { epoch, getModel, onDevice } from "./engine.js"
import { bytesParts, count, percent, significant } from "./format.js"
import { Part } from "./part.js"
import { bundledNovel, piece, type Text, typed } from "./text.js"

/** Below this part of the largest value, the colour scale is linear; above it, logarithmic. */
const KNEE = 1e-3
/** Columns between the values and the normaliser, and how wide the latter is drawn. */
const [GAP, STRIP] = [2, 3]
/** Characters of the text that are shown. */
const TAIL = 600
/** Pictures a second, at most; eyes follow no more, and some want less. */
const FRAME = matchMedia("(prefers-reduced-motion: reduce)").matches ? 1000 : 60

/** −1 … 1 for a value, where the largest is `most`: a symmetric logarithm. */
const position = (v: number, most: number) => (most === 0 ? 0 : (Math.sign(v) * Math.log1p(Math.abs(v) / (KNEE * most))) / Math.log1p(1 / KNEE))

type Rgb = [number, number, number]
let palette: Uint32Array | undefined

/** 511 colours from the lowest value through zero to the highest, as pixels. */
function colours(): Uint32Array {
  if (palette) return palette
  const style = getComputedStyle(document.documentElement)
  const rgb = (name: string): Rgb => {
    const hex = style.getPropertyValue(name).trim().slice(1)
    return [0, 2, 4].map((i) => parseInt(hex.slice(i, i + 2), 16)) as Rgb
  }
  const [low, zero, high] = [rgb("--heat-low"), rgb("--heat-zero"), rgb("--heat-high")]
  palette = new Uint32Array(511)
  for (let i = -255; i <= 255; i++) {
    const [to, t] = [i < 0 ? low : high, Math.abs(i) / 255]
    const [r, g, b] = zero.map((from, c) => Math.round(from + (to[c]! - from) * t)) as Rgb
    palette[i + 255] = (255 << 24) | (b << 16) | (g << 8) | r
  }
  return palette
}

let redraw = () => {}

/** For a new theme. */
export function redrawHeads() {
  palette = undefined
  redraw()
}

interface Shown {
  head: HeadState
  canvas: HTMLCanvasElement
  words: HTMLElement
}

export function startInside() {
  const part = new Part("inside", "Inside")
  let opening: Promise<Session> | undefined
  let openingEpoch = -1
  /** The text at hand: tokens not read yet, and where the next piece of it begins. */
  let text: Text | undefined
  let ids = new Int32Array()
  let used = 0
  let from = 0
  let states: HeadState[] = []
  let changes: HeadState[] | undefined
  let shown: Shown[] = []
  let tail = ""

  async function open(): Promise<Session> {
    const model = await getModel()
    const layers = el<HTMLSelectElement>("inside-layer")
    if (layers.options.length !== model.info.layers) {
      layers.replaceChildren(...Array.from({ length: model.info.layers }, (_, i) => create("option", { value: i }, String(i + 1))))
    }
    return model.createSession()
  }

  /** The session of this part; a new one reads from the start. */
  async function ready(): Promise<Session> {
    if (!opening || openingEpoch !== epoch()) {
      openingEpoch = epoch()
      text = undefined
      const mine = (opening = open())
      mine.catch(() => {
        if (opening === mine) opening = undefined
      })
    }
    return opening
  }

  // Pictures
  // -----------------------------------------------------------------------------------------------------------------------

  /** Largest magnitudes of the values and of the normaliser. */
  function extremes({ values, rows, columns }: HeadState): [number, number] {
    let [most, last] = [0, 0]
    for (let r = 0; r < rows; r++) {
      for (let c = 0; c < columns - 1; c++) most = Math.max(most, Math.abs(values[r * columns + c]!))
      last = Math.max(last, Math.abs(values[r * columns + columns - 1]!))
    }
    return [most, last]
  }

  function picture(heads: HeadState[]) {
    const area = el("inside-heads")
    const fits = shown.length === heads.length && shown.every(({ head }, i) => head.rows === heads[i]!.rows && head.columns === heads[i]!.columns)
    if (!fits) {
      shown = heads.map((head) => {
        const width = head.columns - 1 + GAP + STRIP
        const canvas = create("canvas", { width, height: head.rows, role: "img" })
        const words = create("small")
        area.append(create("figure", {}, create("figcaption", {}, `Head ${head.head + 1}`, words), canvas))
        const entry = { head, canvas, words }
        const point = (event: PointerEvent) => pointAt(entry, event)
        canvas.addEventListener("pointermove", point)
        canvas.addEventListener("pointerdown", point)
        return entry
      })
      area.replaceChildren(...shown.map(({ canvas }) => canvas.parentElement!))
    }
    const all = heads.map(extremes)
    const shared: [number, number] = [Math.max(...all.map(([v]) => v)), Math.max(...all.map(([, n]) => n))]
    const table = colours()
    heads.forEach((head, i) => {
      const entry = shown[i]!
      entry.head = head
      const [most, last] = isChecked("inside-shared") ? shared : all[i]!
      const { values, rows, columns } = head
      const { width } = entry.canvas
      const pixels = new Uint32Array(width * rows)
      for (let r = 0; r < rows; r++) {
        for (let c = 0; c < columns - 1; c++) pixels[r * width + c] = table[255 + Math.round(255 * position(values[r * columns + c]!, most))]!
        pixels.fill(table[255 + Math.round(255 * position(values[r * columns + columns - 1]!, last))]!, r * width + columns - 1 + GAP, (r + 1) * width)
      }
      entry.canvas.getContext("2d")!.putImageData(new ImageData(new Uint8ClampedArray(pixels.buffer), width, rows), 0, 0)
      entry.words.textContent = `± ${significant(all[i]![0], 2)}`
      entry.canvas.setAttribute("aria-label", `Head ${head.head + 1}: ${rows} features by ${columns - 1} value dimensions, largest value ${significant(all[i]![0], 2)}`)
    })
    legend(isChecked("inside-shared") ? shared[0] : undefined)
  }

  /** The scale: in values where it is one for all heads, in parts of a head's largest where each has its own. */
  function legend(most: number | undefined) {
    const canvas = el<HTMLCanvasElement>("inside-legend")
    const table = colours()
    const pixels = Uint32Array.from({ length: canvas.width }, (_, i) => table[Math.round((510 * i) / (canvas.width - 1))]!)
    canvas.getContext("2d")!.putImageData(new ImageData(new Uint8ClampedArray(pixels.buffer), canvas.width, 1), 0, 0)
    const ticks = [-1, -0.01, 0, 0.01, 1]
    el("inside-ticks").replaceChildren(
      ...ticks.map((t) => {
        const words = most === undefined ? (Math.abs(t) === 1 ? `${t < 0 ? "−" : ""}max` : t === 0 ? "0" : `${t < 0 ? "−" : ""}${Math.abs(t) * 100} %`) : significant(t * most, 1)
        return create("span", { style: `left: ${50 + 50 * position(t, 1)}%` }, words)
      }),
    )
  }

  function pointAt({ head, canvas }: Shown, event: PointerEvent) {
    const box = canvas.getBoundingClientRect()
    const row = Math.min(head.rows - 1, Math.max(0, Math.floor(((event.clientY - box.top) / box.height) * head.rows)))
    const at = Math.floor(((event.clientX - box.left) / box.width) * canvas.width)
    const last = head.columns - 1
    if (at >= last && at < last + GAP) return
    const column = Math.max(0, Math.min(at, last))
    const where = column === last ? "normaliser" : `value dimension ${column}`
    setText("inside-cell", `Head ${head.head + 1}, feature ${row}, ${where}: ${significant(head.values[row * head.columns + column]!, 4)}`)
  }

  redraw = () => {
    const heads = isChecked("inside-change") ? (changes ?? states) : states
    if (heads.length) picture(heads)
    else legend(undefined)
  }

  function showTail(fresh: string) {
    el("inside-tail").replaceChildren(create("span", {}, tail, create("span", { class: "now" }, fresh.slice(-2 * TAIL))))
    tail = (tail + fresh).slice(-TAIL)
  }

  async function look(session: Session, keepChanges: boolean) {
    const before = states
    states = await session.headStates(numberIn("inside-layer"))
    const comparable = keepChanges && before.length === states.length && before.every((head, i) => head.layer === states[i]!.layer)
    changes = comparable ? states.map((head, i) => ({ ...head, values: head.values.map((v, j) => v - before[i]!.values[j]!) })) : undefined
    const norm = (heads: HeadState[]) => Math.sqrt(heads.reduce((sum, { values }) => values.reduce((s, v) => s + v * v, sum), 0))
    const size = norm(states)
    setText("inside-changed", changes && size > 0 ? percent(norm(changes) / size) : "–")
    setText("inside-position", count(session.position))
    const [amount, unit] = bytesParts(states.reduce((sum, { values }) => sum + values.byteLength, 0))
    setText("inside-bytes", amount)
    setText("inside-bytes-unit", `${unit}, constant`)
    redraw()
  }

  // Reading
  // ------------------------------------------------------------------------------------------------------------------------

  /** The next tokens of the text; none at its end. */
  async function nextPiece(tokens: number): Promise<Int32Array> {
    if (!text) {
      text = isChecked("inside-novel") ? await bundledNovel() : typed(value("inside-text"))
      if (text.data.size === 0) throw ((text = undefined), new InputError("there is no text", "type or paste one first"))
      from = used = 0
      ids = new Int32Array()
    }
    if (used === ids.length && from < text.data.size) {
      const here = await piece(text, from)
      ids = new Int32Array(await (await getModel()).encode(here.text))
      used = 0
      from = here.next
    }
    const taken = ids.slice(used, used + tokens)
    used += taken.length
    return taken
  }

  /** Reads and shows one step; whether there was anything left to read. */
  async function step(session: Session, signal: AbortSignal): Promise<boolean> {
    const taken = await nextPiece(numberIn("inside-piece"))
    if (taken.length === 0) return false
    await session.read(taken, { signal })
    showTail(await (await getModel()).decode(taken))
    await look(session, true)
    return true
  }

  async function startOver(session: Session) {
    await session.reset()
    text = undefined
    tail = ""
    states = []
    showTail("")
    await look(session, false)
  }

  const ended = () => part.status(`The text has ended, at position ${el("inside-position").textContent}.`)

  onClick("inside-start", () =>
    part.run("playing", async (signal) => {
      part.status("Loading the model.")
      const session = await abortable(ready(), signal)
      part.status("Reading.")
      for (;;) {
        const next = performance.now() + FRAME
        if (!(await step(session, signal))) return ended()
        await pause(Math.max(0, next - performance.now()), signal)
      }
    }),
  )
  onClick("inside-step", () =>
    part.run("one step", async (signal) => {
      const session = await abortable(ready(), signal)
      if (!(await step(session, signal))) return ended()
      part.status(`One step, to position ${count(session.position)}.`)
    }),
  )
  onClick("inside-reset", () =>
    part.run("starting over", async (signal) => {
      await startOver(await abortable(ready(), signal))
      part.status("At the start: nothing has been read, the state is empty.")
    }),
  )

  onChange("inside-layer", async () => {
    // While it plays, the next picture shows the other layer.
    if (part.running || !opening || openingEpoch !== epoch()) return
    await part.run("looking at another layer", async () => look(await ready(), false))
  })
  for (const id of ["inside-state", "inside-change", "inside-each", "inside-shared"]) onChange(id, redraw)
  for (const id of ["inside-novel", "inside-own"]) {
    onChange(id, () => {
      el("inside-text").hidden = !isChecked("inside-own")
      // Another text begins with what is read next; what has been read stays in the state.
      text = undefined
    })
  }
  el("inside-text").addEventListener("input", () => (text = undefined))
  onDevice((event) => {
    if (event.event !== "loaded") return
    const layers = el<HTMLSelectElement>("inside-layer")
    layers.replaceChildren(...Array.from({ length: event.model.info.layers }, (_, i) => create("option", { value: i, selected: String(i) === layers.value }, String(i + 1))))
  })
  redraw()
}
