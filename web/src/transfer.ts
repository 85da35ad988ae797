/** One file from the network: counted, gone on with where it broke, begun anew where it changed meanwhile. */

import { sameVersion, type Version, versionOf } from "./cache.js"
import { DownloadError } from "./errors.js"

/** Where the bytes of a download go. */
export interface Sink {
  /** Bytes it has. */
  readonly done: number
  write(part: Uint8Array): Promise<void> | void
  /** Forgets them. */
  restart(): Promise<void> | void
}

/** Bytes in memory. */
export class InMemory implements Sink {
  done = 0
  #parts: Uint8Array[] = []

  write(part: Uint8Array) {
    this.#parts.push(part)
    this.done += part.length
  }

  restart() {
    this.#parts = []
    this.done = 0
  }

  bytes(): Uint8Array {
    const bytes = new Uint8Array(this.done)
    let at = 0
    for (const part of this.#parts) {
      bytes.set(part, at)
      at += part.length
    }
    return bytes
  }
}

/** Bytes that are the browser's, which may put them on a disk. */
export class InBlob implements Sink {
  done = 0
  #blobs: Blob[] = []
  #parts: Uint8Array[] = []
  #size = 0

  write(part: Uint8Array) {
    this.#parts.push(part)
    this.#size += part.length
    this.done += part.length
    if (this.#size >= 8 << 20) this.#pack()
  }

  restart() {
    ;[this.#blobs, this.#parts, this.#size, this.done] = [[], [], 0, 0]
  }

  blob(): Blob {
    this.#pack()
    return new Blob(this.#blobs)
  }

  #pack() {
    this.#blobs.push(new Blob(this.#parts as BlobPart[]))
    ;[this.#parts, this.#size] = [[], 0]
  }
}

export interface TransferOptions {
  /** SHA-256, in hexadecimal: by it a changed file is known too. */
  integrity?: string
  /** Keep it out of the browser's own cache: it is kept elsewhere, and large. */
  large?: boolean
  /** What is in the sink already. */
  begun?: { version: Version; total: number }
  /** Called when it is known which version comes, and of what length (0: not told), before any of it. */
  onBegin?: (version: Version, total: number) => Promise<void>
  onProgress?: (done: number, total: number) => void
  signal?: AbortSignal
}

/** Times a transfer is tried before it counts as failed. */
const ATTEMPTS = 3
/** Times a server may ask to wait, and the longest wait, in seconds. */
const WAITS = 4
const LONGEST_WAIT = 30
/** A server that says so may answer in a moment. */
const BUSY = [408, 425, 429, 500, 502, 503, 504]

/** The server asks to come again, after so many seconds if it says. */
class Busy extends Error {
  readonly seconds?: number

  constructor({ status, statusText, headers }: Response) {
    super(`${status} ${statusText}`.trimEnd())
    const after = headers.get("retry-after")
    if (after === null) return
    const seconds = /^\d+$/.test(after) ? Number(after) : (Date.parse(after) - Date.now()) / 1000
    if (!Number.isNaN(seconds)) this.seconds = Math.max(0, seconds)
  }
}

/** The error of a file of which nothing came. */
export function downloadFailed(url: string, cause: unknown): DownloadError {
  return new DownloadError(
    `${url}: it could not be loaded (${cause instanceof Error ? cause.message : cause})`,
    "check the address and the connection; a server elsewhere must allow this page to read it (CORS)",
    { cause },
  )
}

/** The sink takes no more: nothing that another try would mend. */
class Refused extends Error {}

/** The server has no such file. */
export class MissingError extends DownloadError {}

/** The download of a file; a broken one goes on where it broke, if the file is still the same. */
export class Transfer {
  status = 0
  version: Version
  /** Whether it was put together from more than one answer. */
  joined = false
  #total: number
  #again: boolean

  constructor(
    readonly url: string,
    readonly sink: Sink,
    readonly options: TransferOptions,
  ) {
    this.version = options.begun?.version ?? {}
    this.#total = options.begun?.total ?? 0
    this.#again = options.begun !== undefined || (options.large ?? false)
  }

  /** @throws DownloadError, and what the sink throws */
  async run(): Promise<void> {
    const { url, options } = this
    let [failures, waits] = [0, 0]
    for (;;) {
      try {
        if (await this.#attempt()) return
        // Another file than before, from its beginning.
        await this.#restart()
        if (++failures >= ATTEMPTS) throw this.#broken("the file changed each time")
      } catch (error) {
        options.signal?.throwIfAborted()
        if (error instanceof Refused) throw error.cause
        if (error instanceof DownloadError) throw error
        if (error instanceof Busy) {
          const seconds = error.seconds ?? 0.5 * 2 ** waits
          if (++waits > WAITS || seconds > LONGEST_WAIT)
            throw new DownloadError(
              `${url}: the server answers ${error.message}`,
              `it is busy: try again ${seconds > 1 ? `in ${Math.ceil(seconds)} seconds` : "later"}`,
            )
          await pause(1000 * seconds, options.signal)
          continue
        }
        if (++failures >= ATTEMPTS) throw this.#broken(error)
        await pause(250 * 4 ** failures, options.signal)
      }
    }
  }

  async #restart() {
    await this.sink.restart()
    ;[this.#total, this.version] = [0, {}]
  }

  #broken(error: unknown): DownloadError {
    const why = error instanceof Error ? error.message : error
    const { done } = this.sink
    if (done === 0) return downloadFailed(this.url, error)
    const reached = this.#total > 0 ? `${done} of ${this.#total} bytes` : `${done} bytes`
    const message = `${this.url}: the download broke off after ${reached} (${why})`
    return new DownloadError(message, "check the connection and try again", { cause: error })
  }

  /** Headers to go on where it broke. There must be something by which a changed file is known. */
  #range(): Record<string, string> | undefined {
    const { etag, modified } = this.version
    const { done } = this.sink
    if (done === 0 || !(etag || modified || this.options.integrity)) return undefined
    const range = { range: `bytes=${done}-` }
    const strong = etag?.startsWith("W/") ? undefined : etag
    const condition = strong ?? modified
    // Other origins are not asked for leave to send it; their answer is looked at all the same.
    const here = new URL(this.url).origin === globalThis.location?.origin
    return condition && here ? { ...range, "if-range": condition } : range
  }

  /** Whether it is complete now; if not, it must begin anew. @throws whatever breaks it */
  async #attempt(): Promise<boolean> {
    const range = this.#range()
    if (!range) await this.#restart()
    // After a break, the browser's own cache may have a part of who knows which version.
    const cache = this.#again ? "no-store" : "default"
    this.#again = true
    const response = await fetch(this.url, { signal: this.options.signal, headers: range, cache })
    this.status = response.status
    if (range && response.status === 416) {
      await response.body?.cancel()
      const all = /^bytes \*\/(\d+)$/.exec(response.headers.get("content-range") ?? "")?.[1]
      // There is nothing behind what is here, if that is the file's length.
      return Number(all) === this.sink.done
    }
    if (BUSY.includes(response.status)) {
      await response.body?.cancel()
      throw new Busy(response)
    }
    if (!response.ok) {
      const Kind = [404, 410].includes(response.status) ? MissingError : DownloadError
      const answer = `${response.status} ${response.statusText}`.trimEnd()
      throw new Kind(`${this.url}: the server answers ${answer}`, "check the address")
    }
    if (response.status === 206) {
      if (!this.#goesOn(response)) {
        await response.body?.cancel()
        return false
      }
      this.joined = true
    } else {
      await this.#restart()
      this.joined = false
      // A compressed transfer tells its compressed length, which says nothing of ours.
      const encoded = response.headers.has("content-encoding")
      this.#total = encoded ? 0 : Number(response.headers.get("content-length") ?? 0)
      this.version = versionOf(response)
      await this.#taken(this.options.onBegin?.(this.version, this.#total))
    }
    await this.#receive(response)
    return true
  }

  /** Whether an answer is of the same file as what is here, and goes on where that ends. */
  #goesOn(response: Response): boolean {
    const { done } = this.sink
    const part = response.headers.get("content-range")
    const [, first, , all] = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(part ?? "") ?? []
    // Across origins the header may be hidden; the length then tells.
    const length = Number(response.headers.get("content-length") ?? 0)
    if (part === null ? this.#total > 0 && done + length !== this.#total : Number(first) !== done)
      return false
    const known = all !== undefined && all !== "*"
    if (known && this.#total > 0 && Number(all) !== this.#total) return false
    if (known) this.#total = Number(all)
    const same = sameVersion(this.version, versionOf(response))
    return same ?? this.options.integrity !== undefined
  }

  async #receive(response: Response) {
    for await (const part of chunks(response)) {
      await this.#taken(this.sink.write(part))
      this.options.onProgress?.(this.sink.done, Math.max(this.#total, this.sink.done))
    }
    if (this.#total > 0 && this.sink.done < this.#total)
      throw new TypeError(`ended after ${this.sink.done} of ${this.#total} bytes`)
  }

  /** What the sink refuses, no other try mends. */
  async #taken(work: Promise<void> | void) {
    try {
      await work
    } catch (cause) {
      throw new Refused("no room", { cause })
    }
  }
}

/** Waits, unless it is cancelled. */
function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const cancel = () => {
      clearTimeout(timer)
      reject(signal!.reason)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", cancel)
      resolve()
    }, milliseconds)
    signal?.addEventListener("abort", cancel, { once: true })
  })
}

async function* chunks(response: Response): AsyncGenerator<Uint8Array> {
  const reader = response.body?.getReader()
  if (!reader) {
    yield new Uint8Array(await response.arrayBuffer())
    return
  }
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      yield value
    }
  } finally {
    // Where nobody takes the rest, it is not sent.
    reader.cancel().catch(() => undefined)
  }
}
