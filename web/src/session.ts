/** A text of a model: what is read, written and said. */

import { type Connection, Handle, Queue, quietly } from "./connection.js"
import { InputError } from "./errors.js"
import { conversation, ids } from "./given.js"
import type { Remote, SessionHost } from "./host.js"
import { known } from "./options.js"
import type {
  Answered,
  ChatOptions,
  Generated,
  GenerateOptions,
  HeadState,
  Message,
  ReadOptions,
  ReadProgress,
} from "./types.js"

/**
 * A text and its state, of constant size however long the text is. Calls wait for one another; only while a
 * continuation is being written, what would change the text under it is refused at once with an `InputError`.
 */
export class Session {
  readonly #handle: Handle<SessionHost>
  readonly #queue = new Queue()
  /** The continuation that is being written. */
  #writing: object | undefined
  #where: { position: number; stateBytes: number }
  /** Negative log-likelihood of everything scored, and of how many tokens. */
  #nll = 0
  #scored = 0

  private constructor(handle: Handle<SessionHost>, where: { position: number; stateBytes: number }) {
    this.#handle = handle
    this.#where = where
  }

  /** @internal */
  static async open(connection: Connection, host: Remote<SessionHost>): Promise<Session> {
    const handle = new Handle(connection, host, "session")
    return new Session(handle, await handle.ask((host) => host.where()))
  }

  /** Tokens of the text so far. */
  get position(): number {
    return this.#where.position
  }

  /** Bytes of the state. */
  get stateBytes(): number {
    return this.#where.stateBytes
  }

  async #settle() {
    this.#where = await this.#handle.last((host) => host.where())
  }

  /** Refuses what would change the text under a continuation. */
  #free(what: string) {
    this.#handle.check()
    if (this.#writing)
      throw new InputError(
        `this session is being continued: it cannot ${what} meanwhile`,
        "end that loop first (leave it, or abort its signal), or use a session of its own for each text",
      )
  }

  /**
   * Reads a text, or token ids, on top of what was read and written before. What was read when it is
   * cancelled stays read.
   */
  async read(given: string | Int32Array, options: ReadOptions = {}): Promise<void> {
    const { score = false, specialAsText = false, onProgress, signal } = known("read options", options)
    const whole = typeof given === "string" ? given : ids("the text", given)
    this.#free("read")
    return this.#queue.run(async () => {
      signal?.throwIfAborted()
      let left = await this.#handle.last((host) => host.begin(whole, specialAsText))
      while (left > 0) {
        signal?.throwIfAborted()
        const part = await this.#handle.last((host) => host.readPart(score))
        left = part.total - part.done
        this.#where.position = part.position
        this.#nll += part.nll
        this.#scored += part.scored
        onProgress?.(progress(part, this.#nll, this.#scored))
      }
    })
  }

  /**
   * Continues the text, piece by piece; always whole characters. The iterator's last value says why it ended.
   * A second one meanwhile, or a `read`, is refused with an `InputError`; it ends when its loop is left, or
   * its signal aborts.
   * What the last tokens begin, a character or a stop string, comes first when the text is continued, here or
   * from a saved state, or from `finishText`.
   */
  async *generate(options: GenerateOptions = {}): AsyncGenerator<string, Generated> {
    const { signal, ...sampling } = known("generate options", options)
    const end = this.#write(signal, "be continued again")
    try {
      await this.#queue.run(() => this.#handle.ask((host) => host.generate(sampling, false)))
      return yield* this.#written(signal)
    } finally {
      end()
    }
  }

  /**
   * Answers a conversation, piece by piece. Give all messages each time, with the answers as they came: what the
   * session has read of them is not read again, and whatever else it has read is forgotten. An answer that is cut
   * short, by leaving the loop or by its signal, is part of the conversation as far as it came.
   * @throws ConfigError for a model without a template, InputError for messages that it refuses
   */
  async *chat(messages: Message[], options: ChatOptions = {}): AsyncGenerator<string, Answered> {
    const { signal, template, ...sampling } = known("chat options", options)
    const said = conversation(messages)
    const end = this.#write(signal, "be asked something else")
    let open = true
    const close = () => {
      if (open) quietly(this.#queue.run(() => this.#handle.ask((host) => host.answered())))
      open = false
      end()
    }
    signal?.addEventListener("abort", close, { once: true })
    try {
      const read = await this.#queue.run(() => this.#handle.ask((host) => host.ask(said, template)))
      for (let left = read; left > 0;) {
        signal?.throwIfAborted()
        const part = await this.#queue.run(() => this.#handle.ask((host) => host.readPart(false)))
        this.#where.position = part.position
        left = part.total - part.done
      }
      signal?.throwIfAborted()
      await this.#queue.run(() => this.#handle.ask((host) => host.generate(sampling, true)))
      const generated = yield* this.#written(signal)
      open = false
      const rest = await this.#queue.run(() => this.#handle.ask((host) => host.answered()))
      if (rest) yield rest
      return { ...generated, text: generated.text + rest, read }
    } finally {
      signal?.removeEventListener("abort", close)
      close()
    }
  }

  /** What was said in the conversation that the text is, if it is one: also after `loadState`. */
  async messages(): Promise<Message[]> {
    this.#handle.check()
    return this.#queue.run(() => this.#handle.last((host) => host.messages()))
  }

  /** Begins to write; what would change the text is refused until what is returned is called. */
  #write(signal: AbortSignal | undefined, what: string): () => void {
    signal?.throwIfAborted()
    this.#free(what)
    const mine = (this.#writing = {})
    // Also where nobody asks for more.
    const end = () => {
      signal?.removeEventListener("abort", end)
      if (this.#writing === mine) this.#writing = undefined
    }
    signal?.addEventListener("abort", end, { once: true })
    return end
  }

  async *#written(signal: AbortSignal | undefined): AsyncGenerator<string, Generated> {
    let text = ""
    for (;;) {
      signal?.throwIfAborted()
      const piece = await this.#queue.run(() => this.#handle.ask((host) => host.advance()))
      this.#where.position = piece.position
      text += piece.text
      if (piece.text) yield piece.text
      if (piece.ended) return { text, tokens: piece.tokens, reason: piece.reason }
    }
  }

  /** What the last generation held back, for a text that is not continued: mostly nothing. */
  async finishText(): Promise<string> {
    this.#free("finishText")
    return this.#queue.run(() => this.#handle.last((host) => host.finishText()))
  }

  /** The state as bytes: to keep, or to go on from elsewhere, also with the native program's `--state-in`. */
  async saveState(): Promise<Uint8Array> {
    this.#handle.check()
    return this.#queue.run(() => this.#handle.last((host) => host.saveState()))
  }

  /**
   * Goes on from a saved state.
   * @throws StateError if it is damaged, or another model's; the text is then as before.
   */
  async loadState(bytes: Uint8Array): Promise<void> {
    if (!(bytes instanceof Uint8Array))
      throw new InputError("a saved state must be a Uint8Array", "give the bytes that saveState returned")
    this.#free("load a state")
    return this.#queue.run(async () => {
      await this.#handle.last((host) => host.loadState(bytes))
      await this.#settle()
      this.#nll = this.#scored = 0
    })
  }

  /**
   * What each head of a layer remembers of the text before its last block; nothing for kinds with a key-value
   * cache.
   */
  async headStates(layer = 0): Promise<HeadState[]> {
    this.#handle.check()
    return this.#queue.run(() => this.#handle.last((host) => host.headStates(layer)))
  }

  /** Empties the text. */
  async reset(): Promise<void> {
    this.#free("be emptied")
    return this.#queue.run(async () => {
      await this.#handle.last((host) => host.reset())
      await this.#settle()
      this.#nll = this.#scored = 0
    })
  }

  /** Frees the state, after the calls that wait. Later ones fail with a `ClosedError`. */
  close() {
    if (this.#handle.close()) quietly(this.#queue.run(() => this.#handle.last((host) => host.free())))
  }
}

function progress(
  part: Awaited<ReturnType<SessionHost["readPart"]>>,
  nll: number,
  scored: number,
): ReadProgress {
  const mean = (sum: number, count: number) => (count > 0 ? sum / count : undefined)
  return {
    done: part.done,
    total: part.total,
    position: part.position,
    nll: mean(part.nll, part.scored),
    meanNll: mean(nll, scored),
    tokensPerSecond: (1000 * part.tokens) / part.milliseconds,
  }
}
