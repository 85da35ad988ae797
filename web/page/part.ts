/**
 * What the parts share: a line of status, a line for errors, and the rule that one thing runs at a time.
 * They share one device, and a measurement beside a running text would measure both.
 *
 * In index.html, `data-run` marks a control that must wait while anything runs, `data-stop="PART"` the button
 * that stops that part.
 */
import {
  ClosedError,
  DeviceLostError,
  DownloadError,
  IntegrityError,
  PolysketchError,
  StateError,
} from "polysketch"
import { isAbort } from "./abort.js"
import { el, setText } from "./dom.js"
import { forgetLost, isLost } from "./engine.js"

interface Active {
  part: Part
  what: string
  controller: AbortController
  done: Promise<void>
}

let active: Active | undefined
const watchers = new Set<(running?: string) => void>()

/** Stops whatever runs, and waits until it has. */
export async function stopAll() {
  active?.controller.abort()
  await active?.done
}

/** Calls back with the id of the part that runs, whenever that changes. */
export const onActivity = (watch: (running?: string) => void) => watchers.add(watch)

/** What runs, for people. */
export const activity = () => (active ? `${active.part.title}: ${active.what}` : "")

/** What a visitor can do, where the package's advice is for whoever builds with it. */
function adviceOf(error: PolysketchError): string | undefined {
  if (error instanceof DownloadError || error instanceof IntegrityError)
    return "check the connection, and load the page again"
  if (error instanceof StateError) return "choose a state that was saved from this model"
  if (error instanceof DeviceLostError || error instanceof ClosedError)
    return "start again: the page gets it back"
  return error.advice
}

/** One line, and one of advice where there is any. */
export function explain(thrown: unknown): { message: string; advice?: string } {
  const error = thrown instanceof Error || thrown instanceof DOMException ? thrown : new Error(String(thrown))
  const sentence = (text: string) => {
    // An address stays as it is.
    const begun = /^[a-z]+:/.test(text) ? text : text.charAt(0).toUpperCase() + text.slice(1)
    return /[.!?…”]$/.test(begun) ? begun : `${begun}.`
  }
  const advice = error instanceof PolysketchError ? adviceOf(error) : undefined
  return { message: sentence(error.message), advice: advice && sentence(advice) }
}

export class Part {
  constructor(
    readonly id: string,
    readonly title: string,
  ) {
    for (const stop of document.querySelectorAll(`[data-stop="${id}"]`))
      stop.addEventListener("click", () => this.stop())
    refresh()
  }

  /** Says what goes on; read out by screen readers, so not for every number. */
  status(text: string) {
    setText(`${this.id}-status`, text)
  }

  /** Shows an error and its advice; a stop is none. */
  fail(thrown: unknown) {
    if (isAbort(thrown)) return
    const { message, advice } = explain(thrown)
    const line = el(`${this.id}-error`)
    line.hidden = false
    line.textContent = advice ? `${message} ${advice}` : message
  }

  clearError() {
    const line = el(`${this.id}-error`)
    line.hidden = true
    line.textContent = ""
  }

  get running() {
    return active?.part === this
  }

  stop() {
    if (this.running) active!.controller.abort()
  }

  /** On a narrow screen, what a click starts may lie below it. */
  private reveal() {
    const display = document.querySelector(`#${this.id} .display`)
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches
    if (display && display.getBoundingClientRect().top > innerHeight - 120)
      display.scrollIntoView({ behavior: calm ? "auto" : "smooth", block: "start" })
  }

  /**
   * Runs `body` unless something runs already. Errors end up in this part's line; resolves to whether it went
   * through. `reveal`: whether what it does is seen in the display.
   */
  async run(
    what: string,
    body: (signal: AbortSignal) => Promise<void>,
    { reveal = true } = {},
  ): Promise<boolean> {
    if (active) {
      if (active.part !== this)
        this.status(`${active.part.title} is running. Stop it first, there is one device.`)
      return false
    }
    this.clearError()
    const controller = new AbortController()
    let finish = () => {}
    active = { part: this, what, controller, done: new Promise((resolve) => (finish = resolve)) }
    refresh()
    if (reveal) this.reveal()
    try {
      await body(controller.signal)
      return true
    } catch (error) {
      if (isAbort(error)) this.status("Stopped.")
      else {
        this.status("")
        this.fail(error)
        // The next start finds a new device.
        if (isLost(error)) forgetLost()
      }
      return false
    } finally {
      active = undefined
      refresh()
      finish()
    }
  }
}

/** Controls follow what runs. They keep the focus: `disabled` would throw it away under a keyboard. */
function refresh() {
  for (const control of document.querySelectorAll<HTMLElement>("[data-run]"))
    disable(control, active !== undefined)
  for (const stop of document.querySelectorAll<HTMLElement>("[data-stop]"))
    disable(stop, active?.part.id !== stop.dataset.stop)
  for (const watch of watchers) watch(active?.part.id)
}

export function disable(control: HTMLElement, off: boolean) {
  if (off) control.setAttribute("aria-disabled", "true")
  else control.removeAttribute("aria-disabled")
}

// A control that must wait does nothing, whoever listens to it.
document.addEventListener(
  "click",
  (event) => {
    const control = (event.target as Element).closest('button[aria-disabled="true"]')
    if (!control) return
    event.preventDefault()
    event.stopImmediatePropagation()
    const panel = control.closest<HTMLElement>("[role=tabpanel]")
    if (panel && active && active.part.id !== panel.id)
      setText(`${panel.id}-status`, `${active.part.title} is running. Stop it first, there is one device.`)
  },
  { capture: true },
)
