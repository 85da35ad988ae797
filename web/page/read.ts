/** Read a book: a text streams through the model; its state and what softmax would need; the continuation; the state as a file. */
import { InputError, type ReadProgress, type Session } from "polysketch"
import { Chart, Trace } from "./charts.js"
import { abortable, create, download, el, isChecked, numberIn, oncePerFrame, onClick, opensFile, setText, value } from "./dom.js"
import { epoch, forgetLost, getModel, isLost, onDevice, onSwitch } from "./engine.js"
import { bytes, count, remaining, significant } from "./format.js"
import { isAbort, Part } from "./part.js"
import { bundledNovel, fromFile, piece, type Text, typed } from "./text.js"

/** Tokens between two states kept in memory. */
const KEEP_EVERY = 32_768
/** Tokens are read in multiples of this, and so many that a call takes about so long. */
const BLOCK = 128
const SECONDS_A_CALL = 0.7
/** How often one place is tried again after a lost device. */
const TRIES = 3
/** Characters of a pasted text that the field does not show. */
const LARGE = 200_000
/** Characters of the text that stand before its continuation. */
const CONTEXT = 600

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

export function startRead() {
  const part = new Part("read", "Read")
  const loss = new Trace(2)
  const speed = new Trace(1)
  const lossChart = new Chart(el("read-loss-chart"), {
    x: { label: "position, tokens" },
    y: { label: "loss, nats per token" },
    lines: [
      { label: "each call", colour: "--base", width: 1 },
      { label: "mean", colour: "--accent", width: 2.25 },
    ],
  })
  const speedChart = new Chart(el("read-speed-chart"), {
    x: { label: "position, tokens" },
    y: { label: "tokens per second", from: 0, axis: (v) => count(v), value: count },
    lines: [{ label: "speed", colour: "--accent" }],
  })

  let opening: Promise<Session> | undefined
  let openingEpoch = -1
  let kept: Kept = NOTHING
  let text: Text | undefined
  let cursor: Cursor = NOTHING.cursor
  /** Nats, and the tokens they are of. */
  let sum = 0
  let scored = 0
  let position = 0
  let tokensPerSecond = 0
  let fraction = 0
  let timeLeft = ""
  let tail = ""
  /** The text that is passing through. */
  let passing = ""
  let sizes: { state: number; cachePerToken: number } | undefined

  // What is shown
  // ------------------------------------------------------------------------------------------------------------------

  const draw = oncePerFrame(() => {
    setText("read-position", count(position))
    setText("read-speed", tokensPerSecond ? significant(tokensPerSecond) : "–")
    setText("read-loss", scored ? (sum / scored).toFixed(3) : "–")
    setText("read-perplexity", scored ? significant(Math.exp(sum / scored)) : "–")
    el<HTMLProgressElement>("read-progress").value = fraction
    setText("read-done", text ? [`${Math.floor(fraction * 100)} % of ${bytes(text.data.size)}`, timeLeft].filter(Boolean).join(", ") : "")
    el("read-resume").hidden = part.running || !text || fraction >= 1
    if (passing) showTail(passing)
    lossChart.set(loss.x, loss.lines)
    speedChart.set(speed.x, speed.lines)
    drawMemory()
  })

  function drawMemory() {
    if (!sizes) return
    const cache = sizes.cachePerToken * position
    const most = Math.max(cache, sizes.state)
    el("read-state-bar").style.width = `${(100 * sizes.state) / most}%`
    el("read-cache-bar").style.width = `${(100 * cache) / most}%`
    setText("read-state-bytes", bytes(sizes.state))
    setText("read-cache-bytes", bytes(cache))
    const equal = Math.ceil(sizes.state / sizes.cachePerToken)
    const rule = `A softmax model of this shape keeps ${bytes(sizes.cachePerToken)} of keys and values for every token (all layers, f32; f16 would halve it).`
    setText("read-memory-rule", `${rule} The two are equal at ${count(equal)} tokens.`)
    const times = (ratio: number) => significant(ratio, ratio < 10 ? 2 : 3)
    const words =
      position === 0
        ? "Nothing has been read yet."
        : cache < sizes.state
          ? `At this position, a softmax model would still keep less, by a factor of ${times(sizes.state / cache)}.`
          : `At this position, a softmax model would keep ${times(cache / sizes.state)} times as much.`
    setText("read-memory-words", words)
  }

  function showTail(text = tail) {
    const output = el("read-output")
    output.replaceChildren(...(text ? [create("span", { class: "before" }, text.length < CONTEXT ? text : `…${text}`)] : []))
    output.scrollTop = output.scrollHeight
  }

  // The session
  // --------------------------------------------------------------------------------------------------------------------

  /** The session; a new one, where the last state was kept, if its device is gone. */
  async function ready(signal?: AbortSignal): Promise<Session> {
    if (!opening || openingEpoch !== epoch()) {
      openingEpoch = epoch()
      const mine = (opening = open())
      mine.catch(() => {
        if (opening === mine) opening = undefined
      })
    }
    return signal ? abortable(opening, signal) : opening
  }

  async function open(): Promise<Session> {
    const model = await getModel()
    const session = await model.createSession()
    sizes = { state: session.stateBytes, cachePerToken: model.info.cacheBytesPerToken }
    if (kept.state) await session.loadState(kept.state)
    ;({ position, scored, sum, tail } = kept)
    cursor = { ...kept.cursor }
    loss.cutAfter(position)
    speed.cutAfter(position)
    return session
  }

  /** Keeps the state as it is, for a device that is lost later. */
  async function keep(session: Session) {
    const state = session.position > 0 ? await session.saveState() : undefined
    kept = { state, position: session.position, cursor: { ...cursor }, scored, sum, tail }
  }

  /** Runs `work` with the session; if the device is lost meanwhile, starts it again and calls `work` again, at the kept state. */
  const run = (what: string, work: (session: Session, signal: AbortSignal) => Promise<void>) =>
    part
      .run(what, async (signal) => {
        for (let tries = 0, failedAt = -1; ; ) {
          try {
            return await work(await ready(signal), signal)
          } catch (error) {
            if (!isLost(error) || signal.aborted) throw error
            tries = kept.position > failedAt ? 1 : tries + 1
            failedAt = kept.position
            if (tries > TRIES) throw error
            const lostAt = count(position)
            forgetLost()
            part.status(`The device was lost at position ${lostAt}; starting it again.`)
            await ready(signal)
            draw()
            part.status(`The device was lost at position ${lostAt}. It runs again, and goes on from the state kept at ${count(kept.position)}.`)
          }
        }
      })
      .then(draw)

  /** An empty view on the state as it stands. */
  function clear() {
    loss.clear()
    speed.clear()
    sum = scored = fraction = tokensPerSecond = 0
    timeLeft = tail = ""
    text = undefined
    cursor = { ...NOTHING.cursor }
    showTail()
  }

  async function forgetAll(session: Session) {
    await session.reset()
    clear()
    position = 0
    kept = NOTHING
  }

  // Reading
  // ------------------------------------------------------------------------------------------------------------------------

  /** From the cursor to the end. */
  async function readOn(session: Session, signal: AbortSignal) {
    const book = text!
    const model = await getModel()
    const [started, startedAt] = [performance.now(), fraction]
    try {
      while (cursor.from < book.data.size) {
        const here = await piece(book, cursor.from)
        const ids = await model.encode(here.text)
        const skipped = Math.min(cursor.tokens, ids.length)
        const before = session.position
        let done = 0
        let start = 0
        /** Takes what was read of this piece, up to its token `end`, as the end of the text so far. */
        const remember = async (end: number) => {
          const last = await model.decode(ids.slice(Math.max(skipped, end - CONTEXT), end))
          tail = (tail + last).slice(-CONTEXT)
        }
        const onProgress = (p: ReadProgress) => {
          const tokens = start + p.done - done
          done += tokens
          position = p.position
          tokensPerSecond = p.tokensPerSecond
          speed.add(position, p.tokensPerSecond)
          if (p.nll !== undefined && Number.isFinite(p.nll)) {
            sum += p.nll * tokens
            scored += tokens
            loss.add(position, p.nll, sum / scored)
          }
          fraction = (cursor.from + ((here.next - cursor.from) * (skipped + done)) / ids.length) / book.data.size
          // About; exactly when it stops.
          const share = (tokens: number) => Math.floor((here.text.length * tokens) / ids.length)
          passing = (tail + here.text.slice(share(skipped), share(skipped + done))).slice(-CONTEXT)
          const seconds = (performance.now() - started) / 1000
          timeLeft = seconds > 2 && fraction > startedAt ? remaining((seconds * (1 - fraction)) / (fraction - startedAt)) : ""
          draw()
        }
        try {
          while (skipped + done < ids.length) {
            // Little at first and on slow devices, so that there is something to see, and to stop.
            const most = Math.max(BLOCK, Math.floor((tokensPerSecond * SECONDS_A_CALL) / BLOCK) * BLOCK)
            start = done
            await session.read(ids.subarray(skipped + done, skipped + done + most), { score: true, signal, onProgress })
          }
        } catch (error) {
          // A stop falls between two calls, and reading goes on from there.
          if (isAbort(error)) {
            cursor.tokens = skipped + Math.max(done, session.position - before)
            await remember(cursor.tokens)
          }
          throw error
        }
        await remember(skipped + done)
        cursor = { from: here.next, tokens: 0 }
        if (session.position - kept.position >= KEEP_EVERY) await keep(session)
      }
      fraction = 1
      await keep(session)
    } catch (error) {
      if (isAbort(error)) await keep(session)
      throw error
    } finally {
      timeLeft = passing = ""
      showTail()
    }
    part.status(`Read ${book.name}. The state stands at position ${count(position)}: let it continue the text, or save it.`)
  }

  function read(source: () => Promise<Text>) {
    let begun = false
    return run("reading", async (session, signal) => {
      if (!begun) {
        part.status("Opening the text.")
        const next = await source()
        if (next.data.size === 0) throw new InputError("there is no text", "type or paste one first")
        if (isChecked("read-append")) clear()
        else await forgetAll(session)
        text = next
        await keep(session)
        begun = true
        part.status(`Reading ${next.name}.`)
        draw()
      }
      await readOn(session, signal)
    })
  }

  // A large text would make the field, and with it the page, too slow to use: it is kept beside it.
  const field = el<HTMLTextAreaElement>("read-text")
  let pasted: Blob | undefined
  field.addEventListener("paste", (event) => {
    const words = event.clipboardData?.getData("text/plain") ?? ""
    if (words.length < LARGE) return
    event.preventDefault()
    pasted = new Blob([words])
    field.value = ""
    field.placeholder = `A text of ${bytes(pasted.size)} was pasted.`
  })
  field.addEventListener("input", () => {
    pasted = undefined
    field.placeholder = ""
  })

  onClick("read-novel", () => read(bundledNovel))
  onClick("read-paste", () => read(async () => (pasted ? { name: "your text", data: pasted } : typed(value("read-text")))))
  opensFile("read-open", "read-file", (file) => read(() => fromFile(file)))
  onClick("read-resume", () => {
    part.status(`Reading ${text?.name ?? "on"}.`)
    return run("reading", readOn)
  })
  onClick("read-reset", () =>
    run("forgetting", async (session) => {
      await forgetAll(session)
      part.status("All forgotten. Choose a text.")
    }),
  )

  const drop = el("read-drop")
  const dragged = (event: DragEvent) => event.dataTransfer?.types.includes("Files") || event.dataTransfer?.types.includes("text/plain")
  drop.addEventListener("dragover", (event) => {
    if (!dragged(event)) return
    event.preventDefault()
    drop.classList.add("over")
  })
  drop.addEventListener("dragleave", () => drop.classList.remove("over"))
  drop.addEventListener("drop", (event) => {
    event.preventDefault()
    drop.classList.remove("over")
    const file = event.dataTransfer?.files[0]
    const words = event.dataTransfer?.getData("text/plain")
    if (file) void read(() => fromFile(file))
    else if (words) void read(async () => typed(words))
  })

  // Writing
  // ------------------------------------------------------------------------------------------------------------------------

  async function write(session: Session, signal: AbortSignal) {
    const options = { maxTokens: numberIn("read-max-tokens"), temperature: numberIn("read-temperature"), topP: numberIn("read-top-p"), seed: numberIn("read-seed") }
    if (session.position === 0) throw new InputError("nothing has been read yet", "read a text first, or load a state")
    showTail()
    const written = create("span")
    const output = el("read-output")
    output.append(written)
    output.scrollTop = output.scrollHeight
    let fresh = ""
    let pieces = 0
    const show = oncePerFrame(() => {
      const atEnd = output.scrollHeight - output.scrollTop - output.clientHeight < 60
      written.append(fresh)
      fresh = ""
      if (atEnd) output.scrollTop = output.scrollHeight
      draw()
    })
    part.status("Writing.")
    const started = performance.now()
    try {
      const words = session.generate({ ...options, signal })
      let next = await words.next()
      for (; !next.done; next = await words.next()) {
        fresh += next.value
        tail = (tail + next.value).slice(-CONTEXT)
        pieces++
        position = session.position
        tokensPerSecond = (1000 * pieces) / (performance.now() - started)
        show()
      }
      const { tokens, reason } = next.value
      tokensPerSecond = (1000 * tokens) / (performance.now() - started)
      const end = reason === "end_of_text" ? ", to the end of the text" : ""
      part.status(`Wrote ${count(tokens)} tokens${end}. What it writes it has read too: the state stands at position ${count(session.position)}.`)
      await keep(session)
    } catch (error) {
      if (isAbort(error)) await keep(session)
      throw error
    } finally {
      position = session.position
      show()
    }
  }

  onClick("read-write", () => run("writing", write))

  // The state
  // ----------------------------------------------------------------------------------------------------------------------

  onClick("read-save", () =>
    run("saving the state", async (session) => {
      if (session.position === 0) throw new InputError("there is no state yet", "read a text first")
      const state = await session.saveState()
      download(`polysketch-${session.position}.state`, [state as Uint8Array<ArrayBuffer>])
      part.status(`Saved the state at position ${count(session.position)}, ${bytes(state.length)}.`)
    }),
  )

  opensFile("read-load", "read-state", (file) =>
    run("loading a state", async (session) => {
      await session.loadState(new Uint8Array(await file.arrayBuffer()))
      clear()
      position = session.position
      await keep(session)
      part.status(`Loaded “${file.name}”. The state stands at position ${count(position)}.`)
    }),
  )

  onClick("read-lose", async () => {
    try {
      part.clearError()
      const model = await getModel()
      await model.destroy()
      // Whoever is reading notices by itself; at rest, nobody does.
      if (part.running) return
      forgetLost()
      await ready()
      part.status(`The device was lost and runs again. The state stands at position ${count(position)}, as before.`)
      draw()
    } catch (error) {
      part.fail(error)
    }
  })

  // Another backend goes on where this one stopped.
  onSwitch(async () => {
    if (!opening || openingEpoch !== epoch()) return
    await opening.then(keep).catch((error) => {
      // What is lost already goes on from what was kept before.
      if (!isLost(error)) throw error
    })
  })
  onDevice((event) => {
    if (event.event === "loaded" && !part.running) void ready().then(draw, (error) => part.fail(error))
  })
  draw()
}
