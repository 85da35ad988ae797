/**
 * Chat: a model of the visitor's, and a conversation with it. Here is what the buttons do; `chat_view.ts` shows
 * it, `own_model.ts` holds the model.
 */
import type { Message, Model, Session } from "polysketch"
import { abortable, isAbort } from "./abort.js"
import { ChatView } from "./chat_view.js"
import { el, numberIn, onClick, setText, value } from "./dom.js"
import { forgetLost, isLost } from "./engine.js"
import { bytes, count, significant } from "./format.js"
import { LinearChoice } from "./linear.js"
import { type Given, ofAddress, ofFiles, onlyAdapter, onModelDrop, opensFiles } from "./model_choice.js"
import { kept, sizesOfText } from "./memory_picture.js"
import { Opened } from "./opened.js"
import { getOwn, openOwn, type Origin, ownOrigin, titleOf } from "./own_model.js"
import { explain, Part } from "./part.js"

/** How often a turn is tried again after a lost device. */
const TRIES = 2

/** Returns the choice of what makes a model linear. */
export function startChat(): LinearChoice {
  const part = new ChatPart()
  part.start()
  return part.linear
}

class ChatPart {
  private readonly part = new Part("chat", "Chat")
  private readonly view = new ChatView()
  private readonly session = new Opened(async () => {
    const model = await getOwn({ onProgress: (progress) => this.view.loading(progress) })
    return { model, session: await model.createSession() }
  })
  private messages: Message[] = []
  /** What was opened last, if only in vain. */
  private last: Given | undefined
  readonly linear = new LinearChoice(() => this.openAgain())

  start() {
    opensFiles("chat-open", "chat-file", (files) => this.openFiles(files))
    onModelDrop("chat-drop", (files, folder) => this.openFiles(files, folder))
    el("chat-address-form").addEventListener("submit", (event) => {
      event.preventDefault()
      void this.open(async () => ofAddress(value("chat-address")))
    })
    onClick("chat-new", () => this.startOver())
    el("chat-form").addEventListener("submit", (event) => {
      event.preventDefault()
      void this.ask()
    })
    const input = el<HTMLTextAreaElement>("chat-input")
    input.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return
      event.preventDefault()
      void this.ask()
    })
    input.addEventListener("input", () => this.view.fit(input))
  }

  // The model
  // -------------------------------------------------------------------------------------------------------

  private openFiles(files: File[], folder?: Promise<Given | undefined>) {
    void this.open(async () => {
      const given = await folder
      if (given) return given
      const adapter = onlyAdapter(files)
      if (!adapter) return ofFiles(files)
      this.linear.give(adapter)
      return this.last && { ...this.last, adapter }
    })
  }

  /** The model at hand, made linear or as it was. */
  private openAgain() {
    const { last } = this
    if (last) void this.open(async () => ({ ...last, adapter: undefined }))
  }

  /** Opens what is chosen; nothing, where an adapter came before its model. */
  private async open(choose: () => Promise<Given | undefined>) {
    if (this.part.running) return
    this.view.modelError(undefined)
    await this.part.run(
      "loading a model",
      async (signal) => {
        try {
          const given = await choose()
          if (!given) return this.part.status("The adapter waits for its model: open that too.")
          this.last = given
          if (given.adapter) this.linear.give(given.adapter)
          const { name, from } = given
          const maxContext = numberIn("chat-context")
          await this.load({ name, from, linear: this.linear.chosen, maxContext }, signal)
        } catch (error) {
          this.view.loaded(undefined)
          if (isAbort(error) || isLost(error)) throw error
          // Beside what was pressed.
          this.view.modelError(explain(error))
          this.part.status("")
        }
      },
      { reveal: false },
    )
  }

  private async load(origin: Origin, signal: AbortSignal) {
    const title = titleOf(origin)
    this.part.status(`Opening ${title}.`)
    this.view.opening(title)
    // An address is that of the model, or none.
    if (!("gguf" in origin.from && typeof origin.from.gguf === "string"))
      el<HTMLInputElement>("chat-address").value = ""
    const started = performance.now()
    const model = await openOwn(origin, {
      signal,
      onPlan: (plan) => this.view.plan(plan),
      onProgress: (progress) => this.view.loading(progress),
    })
    this.forget()
    this.view.plan(model.info)
    this.view.loaded(title)
    const seconds = significant((performance.now() - started) / 1000)
    const loaded = `${title} is loaded, after ${seconds} s`
    this.part.status(
      model.info.chat
        ? `Say something: ${loaded}.`
        : `No chat template, but it continues texts, under Read: ${loaded}.`,
    )
    el("chat-input").focus()
  }

  // The conversation
  // -------------------------------------------------------------------------------------------------------

  /** Forgets what was said; the next turn begins with an empty text. */
  private forget() {
    void this.session.current?.then(({ session }) => session.close()).catch(() => {})
    this.session.close()
    this.messages = []
    this.view.clear()
  }

  private startOver() {
    if (this.part.running) return
    this.part.clearError()
    this.forget()
    this.part.status(ownOrigin() ? "A new conversation. Say something." : "Open a model.")
    el("chat-input").focus()
  }

  private async ask() {
    const input = el<HTMLTextAreaElement>("chat-input")
    const question = input.value.trim()
    if (this.part.running || !question) return
    await this.part.run("answering", async (signal) => {
      if (!ownOrigin()) throw new TypeError("no model is open yet: open one first")
      const options = this.options(signal)
      const before = this.messages
      const system = value("chat-system").trim()
      const begun = before.length > 0 || !system ? before : [{ role: "system", content: system }]
      const messages = [...begun, { role: "user", content: question }]
      input.value = ""
      this.view.fit(input)
      this.view.say("user", question)
      try {
        this.messages = await this.answered(messages, options)
      } catch (error) {
        const said = isAbort(error) ? await this.said() : []
        // As far as it came, it was said.
        if (said.length > messages.length) this.messages = said
        else {
          this.view.takeBack()
          input.value ||= question
          this.view.fit(input)
        }
        throw error
      }
    })
    input.focus()
  }

  private options(signal: AbortSignal) {
    const some = (id: string) => (value(id).trim() === "" ? undefined : numberIn(id))
    const given = {
      maxTokens: some("chat-max-tokens"),
      temperature: some("chat-temperature"),
      topP: some("chat-top-p"),
      seed: some("chat-seed") ?? Math.floor(Math.random() * 2 ** 32),
      signal,
    }
    return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
  }

  /** All that was said, with the answer; after a lost device it is asked once more. */
  private async answered(messages: Message[], options: { signal?: AbortSignal }): Promise<Message[]> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.answer(messages, options)
      } catch (error) {
        if (!isLost(error) || options.signal?.aborted || tries >= TRIES) throw error
        forgetLost()
        this.part.status("The device was lost; starting it again.")
        this.view.takeBackAnswer()
      }
    }
  }

  private async answer(messages: Message[], options: { signal?: AbortSignal }): Promise<Message[]> {
    const signal = options.signal!
    const { model, session } = await abortable(this.session.get(), signal)
    this.part.status("Reading.")
    const started = performance.now()
    let first: { at: number; position: number } | undefined
    const more = this.view.answer()
    const stream = session.chat(messages, options)
    try {
      let next = await stream.next()
      for (; !next.done; next = await stream.next()) {
        if (!first) {
          first = { at: performance.now(), position: session.position }
          this.part.status("Answering.")
        }
        more(next.value)
        this.meter(model, session, rate(session.position - first.position, first.at))
      }
      const { read, tokens, reason } = next.value
      const writing = first && tokens > 1 ? rate(session.position - first.position, first.at) : undefined
      const reading = first && read > 0 ? (1000 * read) / (first.at - started) : undefined
      this.meter(model, session, writing)
      const speed = [
        `Read ${count(read)} tokens${reading ? ` at ${significant(reading)}/s` : ""}`,
        `wrote ${count(tokens)}${writing ? ` at ${significant(writing)}/s` : ""}`,
      ].join(", ")
      const full = model.info.context > 0 && session.position >= model.info.context
      const why = full
        ? " Its cache is full: begin a new conversation, or open it with a longer one."
        : reason === "max_tokens"
          ? " The answer reached its longest."
          : ""
      this.part.status(`${speed}.${why}`)
      return [...messages, { role: "assistant", content: next.value.text }]
    } finally {
      this.view.endAnswer()
    }
  }

  /** What was said, as the text has it. */
  private async said(): Promise<Message[]> {
    try {
      return (await (await this.session.current)?.session.messages()) ?? []
    } catch {
      return []
    }
  }

  /** Where the text stands, and what it keeps. */
  private meter({ info }: Model, session: Session, perSecond?: number) {
    const { position } = session
    setText("chat-speed", perSecond ? significant(perSecond) : "–")
    setText("chat-position", count(position))
    setText("chat-kept", bytes(kept(sizesOfText(info, session), position)))
    setText("chat-kept-name", info.memory.cache > 0 ? "Its cache, growing" : "Its state, constant")
  }
}

const rate = (tokens: number, since: number) => (1000 * tokens) / (performance.now() - since)
