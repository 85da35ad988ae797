/** Chat, what is seen: the model and its plan, how far it is loaded, what was said. */
import type { LoadProgress, ModelInfo } from "polysketch"
import { create, el, growing, setText } from "./dom.js"
import { bytes, count } from "./format.js"

export class ChatView {
  private readonly log = el("chat-log")
  private answering: HTMLElement | undefined
  /** Shows what has come of the answer and is not drawn yet. */
  private draw = () => {}

  // The model
  // -------------------------------------------------------------------------------------------------------

  /** A model is looked at. */
  opening(name: string) {
    setText("chat-model", name)
    el("chat-plan").hidden = true
    el("chat-loading").hidden = false
    el<HTMLProgressElement>("chat-progress").removeAttribute("value")
    setText("chat-done", "Reading its header")
  }

  /** What it is and needs. */
  plan(info: ModelInfo) {
    const { memory, parameters, layers, context } = info
    const [scale, digits, word] =
      parameters >= 1e9 ? [1e9, 2, "billion"] : parameters >= 5e4 ? [1e6, 1, "million"] : [1e3, 0, "thousand"]
    const size = `${(parameters / scale).toFixed(digits)} ${word}`
    const family = String(info.config.model_type ?? "polysketch")
    const linear = info.linearized ? ", made linear" : ""
    setText("chat-shape", `${family}, ${size} parameters, ${layers} layers${linear}`)
    setText("chat-weights", `${bytes(memory.weights)} (${info.weights})`)
    setText("chat-state", bytes(memory.state))
    const kind =
      memory.cache > 0 ? `a cache for ${count(context)} tokens` : "constant, whatever the length of a text"
    setText("chat-state-kind", kind)
    setText("chat-scratch", bytes(memory.scratch))
    setText("chat-total", bytes(memory.weights + memory.state + memory.scratch))
    const notes = info.warnings.join(". ")
    setText("chat-notes", notes)
    el("chat-notes").hidden = notes === ""
    el("chat-plan").hidden = false
  }

  loading({ stage, done, total, cached }: LoadProgress) {
    el("chat-loading").hidden = false
    const bar = el<HTMLProgressElement>("chat-progress")
    // A server need not say how much there is; then all is what has come.
    const known = stage !== "download" || total > done
    bar.max = Math.max(1, total)
    if (known) bar.value = done
    else bar.removeAttribute("value")
    const words = {
      download: cached ? "Taken from this browser" : "Downloading",
      upload: "Loading",
      compile: "Compiling shaders",
    }[stage]
    const amount =
      stage === "compile"
        ? `${count(done)} of ${count(total)}`
        : known
          ? `${bytes(done)} of ${bytes(total)}`
          : bytes(done)
    setText("chat-done", `${words}, ${amount}`)
  }

  /** It is here, or (without a name) it is not. */
  loaded(name: string | undefined) {
    el("chat-loading").hidden = true
    if (name === undefined) {
      setText("chat-model", "none")
      el("chat-plan").hidden = true
    }
    // On a narrow screen what was opened stands above the conversation.
    if (name !== undefined && matchMedia("(max-width: 60rem)").matches)
      el<HTMLDetailsElement>("chat-setup").open = false
  }

  modelError(error: { message: string; advice?: string } | undefined) {
    const line = el("chat-model-error")
    line.hidden = error === undefined
    line.textContent = error ? [error.message, error.advice].filter(Boolean).join(" ") : ""
  }

  // The conversation
  // -------------------------------------------------------------------------------------------------------

  clear() {
    this.log.replaceChildren()
    this.log.removeAttribute("aria-busy")
    this.answering = undefined
    for (const id of ["chat-speed", "chat-kept"]) setText(id, "–")
    setText("chat-position", "0")
    setText("chat-kept-name", "Its state")
  }

  say(role: "user" | "assistant", text: string): HTMLElement {
    const words = create("p", { class: "words" }, text)
    const who = create("p", { class: "who" }, role === "user" ? "You" : "Model")
    this.log.append(create("div", { class: `turn ${role}` }, who, words))
    this.log.scrollTop = this.log.scrollHeight
    return words
  }

  /** Begins an answer. Returns what adds to it, and draws once a frame. */
  answer(): (text: string) => void {
    const { log } = this
    // Read out when it is whole, not word by word.
    log.setAttribute("aria-busy", "true")
    const words = this.say("assistant", "")
    words.parentElement!.classList.add("now")
    this.answering = words
    const { add, draw } = growing(words, log)
    this.draw = draw
    return add
  }

  endAnswer() {
    this.draw()
    this.answering?.parentElement!.classList.remove("now")
    this.log.removeAttribute("aria-busy")
  }

  /** The answer under way was not said. */
  takeBackAnswer() {
    this.answering?.parentElement!.remove()
    this.answering = undefined
    this.log.removeAttribute("aria-busy")
  }

  /** Nor the question before it. */
  takeBack() {
    this.takeBackAnswer()
    this.log.lastElementChild?.remove()
  }

  /** The field is as high as what stands in it, up to some lines. */
  fit(field: HTMLTextAreaElement) {
    field.style.height = "auto"
    field.style.height = `${Math.min(field.scrollHeight + 2, 200)}px`
  }
}
