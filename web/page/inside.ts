/**
 * Inside: the state of every head of a layer, as heat-maps that change while a text goes in. Here is what the
 * buttons do; `heads.ts` holds what was seen, `heads_view.ts` shows it.
 */
import type { Session } from "polysketch"
import { abortable, pause } from "./abort.js"
import { create, el, isChecked, numberIn, onChange, onClick, setText, value } from "./dom.js"
import { forgetLost, getModel, isLost, onDevice } from "./engine.js"
import { Feed, type FeedPlace } from "./feed.js"
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

/** Milliseconds between two states that are kept for a device that is lost. */
const KEEP_EVERY = 2000
/** How often one place is tried again after a lost device. */
const TRIES = 3

/** All that is needed to go on from here. */
interface Kept {
  state: Uint8Array
  /** None: another text was chosen since, to begin with what is read next. */
  place?: FeedPlace
  tail: string
}

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
  /** A new session goes on where the last state was kept, or else reads from the start. */
  private readonly session = new Opened(async () => {
    const model = await getModel()
    if (el<HTMLSelectElement>("inside-layer").options.length !== model.info.layers)
      offerLayers(model.info.layers)
    const session = await model.createSession()
    if (this.kept) {
      await session.loadState(this.kept.state)
      this.tail = this.kept.tail
      if (this.kept.place) this.feed.return(this.kept.place)
    } else {
      this.feed.rewind()
      this.tail = ""
    }
    return session
  })
  /** The end of the text before the last step. */
  private tail = ""
  private kept: Kept | undefined
  private keptAt = 0

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
        this.anotherText()
      })
    }
    el("inside-text").addEventListener("input", () => this.anotherText())
    onDevice((event) => {
      if (event.event === "loaded") offerLayers(event.model.info.layers)
    })
    this.redraw()
  }

  /** Another text begins with what is read next; what has been read stays in the state. */
  private anotherText() {
    this.feed.rewind()
    if (this.kept) this.kept.place = undefined
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
    if (performance.now() - this.keptAt > KEEP_EVERY) await this.keep(session)
    return true
  }

  /** Keeps the state as it is, for a device that is lost later. */
  private async keep(session: Session) {
    const { place } = this.feed
    if (!place) return
    this.kept = { state: await session.saveState(), place, tail: this.tail }
    this.keptAt = performance.now()
  }

  /** Runs `work` with the session; if the device is lost meanwhile, starts it again, and `work` too. */
  private run(what: string, work: (session: Session, signal: AbortSignal) => Promise<void>) {
    return this.part.run(what, async (signal) => {
      this.part.status("Loading the model.")
      for (let tries = 1; ; tries++) {
        try {
          return await work(await abortable(this.session.get(), signal), signal)
        } catch (error) {
          if (!isLost(error) || signal.aborted || tries > TRIES) throw error
          forgetLost()
          this.part.status("The device was lost; starting it again.")
        }
      }
    })
  }

  private play() {
    return this.run("playing", async (session, signal) => {
      this.part.status("Reading.")
      for (;;) {
        const next = performance.now() + FRAME
        if (!(await this.step(session, signal))) return
        await pause(Math.max(0, next - performance.now()), signal)
      }
    })
  }

  private stepOnce() {
    return this.run("one step", async (session, signal) => {
      if (!(await this.step(session, signal))) return
      this.part.status(`One step, to position ${count(session.position)}.`)
    })
  }

  private startOver() {
    return this.run("starting over", async (session) => {
      await session.reset()
      this.feed.rewind()
      this.kept = undefined
      this.heads.forget()
      this.tail = ""
      this.showTail("")
      await this.look(session, false)
      this.part.status("At the start: nothing has been read, the state is empty.")
    })
  }

  private async lookAgain() {
    // While it plays, the next picture shows the other layer. A device that was lost since is started again.
    if (this.part.running || (!this.session.current && !this.kept)) return
    await this.run("looking at another layer", (session) => this.look(session, false))
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
