/**
 * Inside: the state of every head of a layer, as heat-maps that change while a text goes in. Here is what the
 * buttons do; `heads.ts` holds what was seen, `heads_view.ts` shows it.
 */
import type { Session } from "polysketch"
import { abortable, pause } from "./abort.js"
import { create, el, isChecked, numberIn, onChange, onClick, setText, value } from "./dom.js"
import { getModel, onDevice } from "./engine.js"
import { Feed } from "./feed.js"
import { bytesParts, count, percent } from "./format.js"
import { Heads } from "./heads.js"
import { HeadsView } from "./heads_view.js"
import { forgetColours } from "./heat.js"
import { Opened } from "./opened.js"
import { Part } from "./part.js"
import { bundledNovel, typed } from "./text.js"

/** Characters of the text that are shown. */
const TAIL = 600
/** Milliseconds of a picture, at least; eyes follow no more, and some want less. */
const FRAME = matchMedia("(prefers-reduced-motion: reduce)").matches ? 1000 : 60

let inside: InsidePart | undefined

export function startInside() {
  inside = new InsidePart()
  inside.start()
}

/** For a new theme. */
export function redrawHeads() {
  forgetColours()
  inside?.redraw()
}

class InsidePart {
  private readonly part = new Part("inside", "Inside")
  private readonly heads = new Heads()
  private readonly view = new HeadsView()
  private readonly feed = new Feed(async () =>
    isChecked("inside-novel") ? bundledNovel() : typed(value("inside-text")),
  )
  /** A new session reads from the start. */
  private readonly session = new Opened(async () => {
    this.feed.rewind()
    const model = await getModel()
    if (el<HTMLSelectElement>("inside-layer").options.length !== model.info.layers)
      offerLayers(model.info.layers)
    return model.createSession()
  })
  /** The end of the text before the last step. */
  private tail = ""

  start() {
    onClick("inside-start", () => this.play())
    onClick("inside-step", () => this.stepOnce())
    onClick("inside-reset", () => this.startOver())
    onChange("inside-layer", () => this.lookAgain())
    for (const choice of ["state", "change", "each", "shared"])
      onChange(`inside-${choice}`, () => this.redraw())
    for (const choice of ["novel", "own"]) {
      onChange(`inside-${choice}`, () => {
        el("inside-text").hidden = !isChecked("inside-own")
        // Another text begins with what is read next; what has been read stays in the state.
        this.feed.rewind()
      })
    }
    el("inside-text").addEventListener("input", () => this.feed.rewind())
    onDevice((event) => {
      if (event.event === "loaded") offerLayers(event.model.info.layers)
    })
    this.redraw()
  }

  redraw() {
    const { states, changes } = this.heads
    this.view.show(isChecked("inside-change") ? (changes ?? states) : states, isChecked("inside-shared"))
  }

  private async look(session: Session, compare: boolean) {
    const { heads } = this
    await heads.look(session, numberIn("inside-layer"), compare)
    setText("inside-changed", heads.changed === undefined ? "–" : percent(heads.changed))
    setText("inside-position", count(session.position))
    const [amount, unit] = bytesParts(heads.bytes)
    setText("inside-bytes", amount)
    setText("inside-bytes-unit", `${unit}, constant`)
    this.redraw()
  }

  private showTail(fresh: string) {
    const now = create("span", { class: "now" }, fresh.slice(-2 * TAIL))
    el("inside-tail").replaceChildren(create("span", {}, this.tail, now))
    this.tail = (this.tail + fresh).slice(-TAIL)
  }

  /** Reads and shows one step; whether there was anything left to read. */
  private async step(session: Session, signal: AbortSignal): Promise<boolean> {
    const taken = await this.feed.next(numberIn("inside-piece"), getModel)
    if (taken.length === 0) {
      this.part.status(`The text has ended, at position ${el("inside-position").textContent}.`)
      return false
    }
    await session.read(taken, { signal })
    this.showTail(await (await getModel()).decode(taken))
    await this.look(session, true)
    return true
  }

  private play() {
    return this.part.run("playing", async (signal) => {
      this.part.status("Loading the model.")
      const session = await abortable(this.session.get(), signal)
      this.part.status("Reading.")
      for (;;) {
        const next = performance.now() + FRAME
        if (!(await this.step(session, signal))) return
        await pause(Math.max(0, next - performance.now()), signal)
      }
    })
  }

  private stepOnce() {
    return this.part.run("one step", async (signal) => {
      const session = await abortable(this.session.get(), signal)
      if (!(await this.step(session, signal))) return
      this.part.status(`One step, to position ${count(session.position)}.`)
    })
  }

  private startOver() {
    return this.part.run("starting over", async (signal) => {
      const session = await abortable(this.session.get(), signal)
      await session.reset()
      this.feed.rewind()
      this.heads.forget()
      this.tail = ""
      this.showTail("")
      await this.look(session, false)
      this.part.status("At the start: nothing has been read, the state is empty.")
    })
  }

  private async lookAgain() {
    // While it plays, the next picture shows the other layer.
    if (this.part.running || !this.session.current) return
    await this.part.run("looking at another layer", async () => this.look(await this.session.get(), false))
  }
}

/** Layers to choose from; the one that is chosen stays. */
function offerLayers(layers: number) {
  const choice = el<HTMLSelectElement>("inside-layer")
  const chosen = choice.value
  const options = Array.from({ length: layers }, (_, i) =>
    create("option", { value: i, selected: String(i) === chosen }, String(i + 1)),
  )
  choice.replaceChildren(...options)
}
