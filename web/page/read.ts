/**
 * Read a book: a text streams through the model; its state and what softmax would need; the continuation; the
 * state as a file. Here is what the buttons do; `reading.ts` holds the state, `read_view.ts` shows it.
 */
import { InputError, type Model, type Session } from "polysketch"
import { abortable } from "./abort.js"
import { download, el, isChecked, numberIn, onChange, onClick, opensFile, setText, value } from "./dom.js"
import { forgetLost, getModel, isLost, onDevice, onSwitch } from "./engine.js"
import { bytes, count } from "./format.js"
import { Opened } from "./opened.js"
import { getOwn, onOwn, ownOrigin, titleOf } from "./own_model.js"
import { activity, Part } from "./part.js"
import { ReadView } from "./read_view.js"
import { Reading } from "./reading.js"
import { bundledNovel, fromFile, type Text } from "./text.js"
import { onDrop, textField } from "./text_inputs.js"

/** How often one place is tried again after a lost device. */
const TRIES = 3

/** What the built-in model is called in a sentence. */
const BUILT_IN = "the built-in model, a small one trained on public-domain novels"

export function startRead() {
  new ReadPart().start()
}

class ReadPart {
  private readonly part = new Part("read", "Read")
  private readonly reading = new Reading()
  private readonly view = new ReadView(this.reading, () => this.part.running)
  private readonly session = new Opened(async () => this.reading.open(await this.model()))

  start() {
    const given = textField("read-text")
    onClick("read-novel", () => this.read(bundledNovel))
    onClick("read-paste", () => this.read(async () => given()))
    opensFile("read-open", "read-file", (file) => this.read(() => fromFile(file)))
    onDrop("read-drop", (open) => void this.read(open))
    onClick("read-resume", () => this.resume())
    onClick("read-reset", () => this.run("forgetting", (session) => this.forget(session)))
    onClick("read-write", () => this.run("writing", (session, signal) => this.write(session, signal)))
    onClick("read-save", () => this.run("saving the state", (session) => this.save(session)))
    opensFile("read-load", "read-state", (file) =>
      this.run("loading a state", (session) => this.load(session, file)),
    )
    onClick("read-lose", () => this.lose())
    onChange("read-model", () => this.anotherModel())
    onOwn(() => this.offerModels())
    // Another backend goes on where this one stopped.
    onSwitch(() => this.keep())
    onDevice((event) => {
      if (event.event !== "loaded" || this.part.running) return
      void this.session.get().then(this.view.draw, (error) => this.part.fail(error))
    })
    this.view.draw()
  }

  /** The built-in model, or the one that was opened under Chat. */
  private model(): Promise<Model> {
    return value("read-model") === "own" ? getOwn() : getModel()
  }

  private offerModels() {
    const choice = el<HTMLSelectElement>("read-model")
    const origin = ownOrigin()
    el("read-model-choice").hidden = origin === undefined
    setText("read-model-own", origin ? `${titleOf(origin)}, as opened under Chat` : "")
    if (choice.value !== "own") return
    if (!origin) choice.value = "builtin"
    this.anotherModel()
  }

  /** What was read is in the state of the other one. */
  private anotherModel() {
    if (this.part.running) this.part.stop()
    const origin = value("read-model") === "own" ? ownOrigin() : undefined
    setText("read-through", origin ? `your model, ${titleOf(origin)}` : BUILT_IN)
    void this.session.current?.then((session) => session.close()).catch(() => {})
    this.session.close()
    this.reading.another()
    this.view.showTail()
    this.part.status("Another model, which has read nothing yet. Choose a text.")
    void this.session.get().then(this.view.draw, (error) => this.part.fail(error))
  }

  /**
   * Runs `work` with the session; if the device is lost meanwhile, starts it again and calls `work` again, at
   * the kept state.
   */
  private async run(what: string, work: (session: Session, signal: AbortSignal) => Promise<void>) {
    await this.part.run(what, async (signal) => {
      for (let tries = 0, failedAt = -1; ;) {
        try {
          return await work(await abortable(this.session.get(), signal), signal)
        } catch (error) {
          if (!isLost(error) || signal.aborted) throw error
          tries = this.reading.keptAt > failedAt ? 1 : tries + 1
          failedAt = this.reading.keptAt
          if (tries > TRIES) throw error
          await this.startAgain(signal)
        }
      }
    })
    this.view.draw()
  }

  private async startAgain(signal: AbortSignal) {
    const lost = `The device was lost at position ${count(this.reading.position)}`
    forgetLost()
    this.part.status(`${lost}; starting it again.`)
    await abortable(this.session.get(), signal)
    this.view.draw()
    const from = count(this.reading.keptAt)
    this.part.status(`${lost}. It runs again, and goes on from the state kept at ${from}.`)
  }

  // Reading
  // -------------------------------------------------------------------------------------------------------

  private read(open: () => Promise<Text>) {
    let text: Text | undefined
    return this.run("reading", async (session, signal) => {
      // Once: after a lost device it goes on with the same text.
      text ??= await this.begin(session, open)
      await this.readOn(session, signal, text)
    })
  }

  private async begin(session: Session, open: () => Promise<Text>): Promise<Text> {
    this.part.status("Opening the text.")
    const text = await open()
    if (text.data.size === 0) throw new InputError("there is no text", "type or paste one first")
    if (isChecked("read-append")) this.reading.clear()
    else await this.reading.forget(session)
    this.view.showTail()
    await this.reading.begin(session, text)
    this.part.status(`Reading ${text.name}.`)
    this.view.draw()
    return text
  }

  private resume() {
    const { text } = this.reading
    if (!text) return
    this.part.status(`Reading ${text.name}.`)
    return this.run("reading", (session, signal) => this.readOn(session, signal, text))
  }

  private async readOn(session: Session, signal: AbortSignal, text: Text) {
    try {
      await this.reading.readOn(session, await this.model(), text, { signal, changed: this.view.draw })
    } finally {
      this.view.showTail()
    }
    const stands = `The state stands at position ${count(this.reading.position)}`
    this.part.status(`Read ${text.name}. ${stands}: let it continue the text, or save it.`)
  }

  private async forget(session: Session) {
    await this.reading.forget(session)
    this.view.showTail()
    this.part.status("All forgotten. Choose a text.")
  }

  // Writing
  // -------------------------------------------------------------------------------------------------------

  private async write(session: Session, signal: AbortSignal) {
    const options = {
      maxTokens: numberIn("read-max-tokens"),
      temperature: numberIn("read-temperature"),
      topP: numberIn("read-top-p"),
      seed: numberIn("read-seed"),
      signal,
    }
    if (session.position === 0)
      throw new InputError("nothing has been read yet", "read a text first, or load a state")
    this.part.status("Writing.")
    const { tokens, reason } = await this.reading.write(session, options, this.view.continuation())
    const end = reason === "end_of_text" ? ", to the end of the text" : ""
    const stands = `the state stands at position ${count(session.position)}`
    this.part.status(`Wrote ${count(tokens)} tokens${end}. What it writes it has read too: ${stands}.`)
  }

  // The state
  // -------------------------------------------------------------------------------------------------------

  private async save(session: Session) {
    if (session.position === 0) throw new InputError("there is no state yet", "read a text first")
    const state = await session.saveState()
    download(`polysketch-${session.position}.state`, [state as Uint8Array<ArrayBuffer>])
    this.part.status(`Saved the state at position ${count(session.position)}, ${bytes(state.length)}.`)
  }

  private async load(session: Session, file: File) {
    await this.reading.load(session, new Uint8Array(await file.arrayBuffer()))
    this.view.showTail()
    const stands = `The state stands at position ${count(this.reading.position)}`
    this.part.status(`Loaded “${file.name}”. ${stands}.`)
  }

  private async keep() {
    await this.session.current
      ?.then((session) => this.reading.keep(session))
      .catch((error) => {
        // What is lost already goes on from what was kept before.
        if (!isLost(error)) throw error
      })
  }

  /** Takes the device away, to show what happens then. */
  private async lose() {
    try {
      this.part.clearError()
      const model = await this.model()
      await model.destroy()
      // Whoever is at work with it notices by itself; at rest, nobody does.
      if (activity()) return
      forgetLost()
      await this.session.get()
      const stands = `The state stands at position ${count(this.reading.position)}`
      this.part.status(`The device was lost and runs again. ${stands}, as before.`)
      this.view.draw()
    } catch (error) {
      this.part.fail(error)
    }
  }
}
