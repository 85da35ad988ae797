/**
 * Read a book, the state: what is known while a text streams through the model, and what is kept for a device
 * that is lost. No DOM here: `read_view.ts` shows it, `read.ts` has the buttons.
 */
import type { Generated, GenerateOptions, Model, ReadProgress, Session } from "polysketch"
import { isAbort } from "./abort.js"
import { remaining } from "./format.js"
import { type Sizes, sizesOfText } from "./memory_picture.js"
import { piece, type Text } from "./text.js"
import { Trace } from "./trace.js"

/** Tokens between two states kept in memory. */
const KEEP_EVERY = 32_768
/** Tokens are read in multiples of this, and so many that a call takes about so long. */
const BLOCK = 128
const SECONDS_A_CALL = 0.7
/** Characters of the text that stand before its continuation. */
export const CONTEXT = 600

/** Where reading stands: bytes of the text in finished pieces, then tokens of the piece at hand. */
interface Cursor {
  from: number
  tokens: number
}

/** All that is needed to go on from here. */
interface Kept {
  state?: Uint8Array
  position: number
  cursor: Cursor
  scored: number
  sum: number
  /** The end of the text so far. */
  tail: string
}

const NOTHING: Kept = { position: 0, cursor: { from: 0, tokens: 0 }, scored: 0, sum: 0, tail: "" }

/** How a pass over a text is followed: it may be stopped, and tells when its numbers have changed. */
export interface Following {
  signal: AbortSignal
  changed: () => void
}

export class Reading {
  readonly loss = new Trace(2)
  readonly speed = new Trace(1)
  /** What the model keeps of a text; known once a session is open. */
  sizes: Sizes | undefined
  text: Text | undefined
  /** Tokens the state has seen. */
  position = 0
  tokensPerSecond = 0
  /** Part of the text that has been read. */
  fraction = 0
  timeLeft = ""
  /** The end of the text so far. */
  tail = ""
  /** The same while a text passes through: about, and empty when none does. */
  passing = ""
  private kept = NOTHING
  private cursor: Cursor = { ...NOTHING.cursor }
  /** Nats, and the tokens they are of. */
  private sum = 0
  private scored = 0

  /** Nats a token; none before anything was scored. */
  get meanLoss(): number | undefined {
    return this.scored ? this.sum / this.scored : undefined
  }

  /** Position of the state that a new device would go on from. */
  get keptAt(): number {
    return this.kept.position
  }

  // The session
  // -------------------------------------------------------------------------------------------------------

  /** A session where the last state was kept. */
  async open(model: Model): Promise<Session> {
    const session = await model.createSession()
    this.sizes = sizesOfText(model.info, session)
    if (this.kept.state) await session.loadState(this.kept.state)
    ;({ position: this.position, scored: this.scored, sum: this.sum, tail: this.tail } = this.kept)
    this.cursor = { ...this.kept.cursor }
    this.loss.cutAfter(this.position)
    this.speed.cutAfter(this.position)
    return session
  }

  /** Keeps the state as it is, for a device that is lost later. */
  async keep(session: Session) {
    const state = session.position > 0 ? await session.saveState() : undefined
    const { cursor, scored, sum, tail } = this
    this.kept = { state, position: session.position, cursor: { ...cursor }, scored, sum, tail }
  }

  /** Forgets text and numbers; the state stands. */
  clear() {
    this.loss.clear()
    this.speed.clear()
    this.sum = this.scored = this.fraction = this.tokensPerSecond = 0
    this.timeLeft = this.tail = ""
    this.text = undefined
    this.cursor = { ...NOTHING.cursor }
  }

  /** Forgets all of it for another model, whose state is of another kind. */
  another() {
    this.clear()
    this.position = 0
    this.kept = NOTHING
    this.sizes = undefined
  }

  /** Forgets the state too. */
  async forget(session: Session) {
    await session.reset()
    this.clear()
    this.position = 0
    this.kept = NOTHING
  }

  /** Goes on from a saved state. */
  async load(session: Session, state: Uint8Array) {
    await session.loadState(state)
    this.clear()
    this.position = session.position
    await this.keep(session)
  }

  // Reading
  // -------------------------------------------------------------------------------------------------------

  /** Another text, from its beginning, on top of the state as it stands. */
  async begin(session: Session, text: Text) {
    this.text = text
    await this.keep(session)
  }

  /**
   * Reads from where reading stands to the end of the text. A stop falls between two calls, and keeps the
   * state.
   */
  async readOn(session: Session, model: Model, text: Text, following: Following) {
    const started = { at: performance.now(), fraction: this.fraction }
    const changed = () => {
      this.timeLeft = left(started, this.fraction)
      following.changed()
    }
    try {
      while (this.cursor.from < text.data.size) {
        await this.readPiece(session, model, text, { ...following, changed })
        if (session.position - this.kept.position >= KEEP_EVERY) await this.keep(session)
      }
      this.fraction = 1
      await this.keep(session)
    } catch (error) {
      if (isAbort(error)) await this.keep(session)
      throw error
    } finally {
      this.timeLeft = this.passing = ""
    }
  }

  /** Reads the piece at the cursor, from the token where it was left. */
  private async readPiece(session: Session, model: Model, text: Text, { signal, changed }: Following) {
    const here = await piece(text, this.cursor.from)
    const ids = await model.encode(here.text)
    const [first, before] = [Math.min(this.cursor.tokens, ids.length), session.position]
    /** Tokens of the piece read so far, and before the call that runs. */
    let [at, callFrom] = [first, first]
    const onProgress = (progress: ReadProgress) => {
      const tokens = callFrom + progress.done - at
      at += tokens
      this.count(progress, tokens)
      const { from } = this.cursor
      this.fraction = (from + ((here.next - from) * at) / ids.length) / text.data.size
      // About; exactly when it stops.
      const characters = (tokens: number) => Math.floor((here.text.length * tokens) / ids.length)
      this.passing = (this.tail + here.text.slice(characters(first), characters(at))).slice(-CONTEXT)
      changed()
    }
    /** Takes what was read of this piece, up to its token `end`, as the end of the text so far. */
    const remember = async (end: number) => {
      const last = await model.decode(ids.slice(Math.max(first, end - CONTEXT), end))
      this.tail = (this.tail + last).slice(-CONTEXT)
    }
    try {
      while (at < ids.length) {
        callFrom = at
        const call = ids.subarray(at, at + this.tokensOfCall())
        await session.read(call, { score: true, signal, onProgress })
      }
    } catch (error) {
      // Reading goes on from there.
      if (isAbort(error)) {
        this.cursor.tokens = Math.max(at, first + session.position - before)
        await remember(this.cursor.tokens)
      }
      throw error
    }
    await remember(at)
    this.cursor = { from: here.next, tokens: 0 }
  }

  /** Little at first and on slow devices, so that there is something to see, and to stop. */
  private tokensOfCall(): number {
    return Math.max(BLOCK, Math.floor((this.tokensPerSecond * SECONDS_A_CALL) / BLOCK) * BLOCK)
  }

  private count({ position, tokensPerSecond, nll }: ReadProgress, tokens: number) {
    this.position = position
    this.tokensPerSecond = tokensPerSecond
    this.speed.add(position, tokensPerSecond)
    if (nll === undefined || !Number.isFinite(nll)) return
    this.sum += nll * tokens
    this.scored += tokens
    this.loss.add(position, nll, this.sum / this.scored)
  }

  // Writing
  // -------------------------------------------------------------------------------------------------------

  /** Continues the text; `onText` gets it piece by piece. A stop keeps the state. */
  async write(
    session: Session,
    options: GenerateOptions,
    onText: (text: string) => void,
  ): Promise<Generated> {
    const started = performance.now()
    const rate = (tokens: number) => (1000 * tokens) / (performance.now() - started)
    let pieces = 0
    try {
      const words = session.generate(options)
      let next = await words.next()
      for (; !next.done; next = await words.next()) {
        this.tail = (this.tail + next.value).slice(-CONTEXT)
        this.position = session.position
        this.tokensPerSecond = rate(++pieces)
        onText(next.value)
      }
      this.tokensPerSecond = rate(next.value.tokens)
      await this.keep(session)
      return next.value
    } catch (error) {
      if (isAbort(error)) await this.keep(session)
      throw error
    } finally {
      this.position = session.position
    }
  }
}

/** The time that is left, in words; none before there is something to foretell it from. */
function left(started: { at: number; fraction: number }, fraction: number): string {
  const seconds = (performance.now() - started.at) / 1000
  const done = fraction - started.fraction
  return seconds > 2 && done > 0 ? remaining((seconds * (1 - fraction)) / done) : ""
}
