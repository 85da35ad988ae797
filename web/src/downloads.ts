/** Files from the network or from this browser's cache, counted, and checked against what they should be. */

import { keep, openStore, sameVersion, type Version, versionOf } from "./cache.js"
import { DownloadError, InputError, IntegrityError } from "./errors.js"
import { address, htmlInstead, isHtml, localFile } from "./places.js"
import type { Source } from "./types.js"

export interface DownloadOptions {
  /** SHA-256, in hexadecimal. */
  integrity?: string
  /** Keep the file in the Cache API, and take it from there as long as it is still the right one. */
  cache: boolean
  onProgress?: (done: number, total: number, cached: boolean) => void
  /** Called if there is no room to keep it. */
  onFull?: () => void
  signal?: AbortSignal
}

/** Times a transfer is tried before it counts as failed. */
const ATTEMPTS = 3
/** Times a server may ask to wait, and the longest wait, in seconds. */
const WAITS = 4
const LONGEST_WAIT = 30
/** A server that says so may answer in a moment. */
const BUSY = [408, 425, 429, 500, 502, 503, 504]

/** The bytes of a source: as given, from the cache, or downloaded. */
export async function bytesOf(source: Source, options: DownloadOptions): Promise<Uint8Array> {
  const { integrity } = options
  const given = await inHand(source)
  if (given) {
    await check(given, integrity, "the bytes given")
    return given
  }
  if (typeof source !== "string" && !(source instanceof URL))
    throw new InputError(
      `a file cannot be a value of type ${typeof source}`,
      "give bytes, a File, or an address",
    )
  const url = address(source)
  const local = await localFile(url)
  if (local) {
    await check(local, integrity, url)
    options.onProgress?.(local.length, local.length, false)
    return local
  }
  const store = options.cache && /^https?:/.test(url) ? await openStore() : undefined
  const kept = store && (await fromStore(store, url, options))
  if (kept) return kept
  let transfer = new Transfer(url, options)
  let bytes = await transfer.run()
  if (transfer.joined && !(await matches(bytes, integrity))) {
    // Parts of two versions, where no header told.
    transfer = new Transfer(url, options)
    bytes = await transfer.run()
  }
  if (isHtml(bytes)) throw htmlInstead(url, transfer.status)
  await check(bytes, integrity, url)
  const { version } = transfer
  // Without knowing what a file should be, or which version this is, a kept one might be of yesterday.
  if (store && (integrity !== undefined || version.etag || version.modified)) {
    // A full disk or a private window costs the cache, not the model.
    if (!(await keep(store, url, bytes, version))) options.onFull?.()
  }
  return bytes
}

async function inHand(source: Source): Promise<Uint8Array | undefined> {
  if (source instanceof Uint8Array) return source
  if (source instanceof ArrayBuffer) return new Uint8Array(source)
  if (globalThis.Blob !== undefined && source instanceof Blob)
    return new Uint8Array(await source.arrayBuffer())
  return undefined
}

async function fromStore(
  store: Cache,
  url: string,
  options: DownloadOptions,
): Promise<Uint8Array | undefined> {
  const { integrity, onProgress, signal } = options
  const response = await store.match(url).catch(() => undefined)
  if (!response) return undefined
  if (integrity === undefined && !(await isCurrent(url, versionOf(response), signal))) return undefined
  const bytes = new Uint8Array(await response.arrayBuffer())
  signal?.throwIfAborted()
  const length = response.headers.get("x-polysketch-bytes")
  // A model may have changed under the same address, and disks fail: what does not fit is loaded anew.
  if ((length !== null && Number(length) !== bytes.length) || !(await matches(bytes, integrity))) {
    await store.delete(url)
    return undefined
  }
  onProgress?.(bytes.length, bytes.length, true)
  return bytes
}

/** Whether the server still has that version. Without a connection, the kept one is the best there is. */
async function isCurrent(url: string, kept: Version, signal?: AbortSignal): Promise<boolean> {
  try {
    let response = await fetch(url, { method: "HEAD", signal, cache: "no-cache" })
    if (!response.ok) {
      // Signed addresses and some servers answer to GET only; its answer is not read.
      response = await fetch(url, { signal, cache: "no-cache" })
      await response.body?.cancel()
    }
    return response.ok && sameVersion(kept, versionOf(response)) === true
  } catch {
    signal?.throwIfAborted()
    return true
  }
}

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

/** The download of a file; a broken one goes on where it broke, if the file is still the same. */
class Transfer {
  status = 0
  version: Version = {}
  /** Whether it was put together from more than one answer. */
  joined = false
  #parts: Uint8Array[] = []
  #done = 0
  #total = 0
  #again = false

  constructor(
    readonly url: string,
    readonly options: DownloadOptions,
  ) {}

  async run(): Promise<Uint8Array> {
    const { url, options } = this
    let [failures, waits] = [0, 0]
    for (;;) {
      try {
        if (await this.#attempt()) return join(this.#parts, this.#done)
        // Another file than before, from its beginning.
        this.#restart()
        if (++failures >= ATTEMPTS) throw this.#broken("the file changed each time")
      } catch (error) {
        options.signal?.throwIfAborted()
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

  #restart() {
    ;[this.#parts, this.#done, this.#total, this.version] = [[], 0, 0, {}]
  }

  #broken(error: unknown): DownloadError {
    const why = error instanceof Error ? error.message : error
    if (this.#done === 0)
      return new DownloadError(
        `${this.url}: it could not be loaded (${why})`,
        "check the address and the connection; a server elsewhere must allow this page to read it (CORS)",
        { cause: error },
      )
    const reached = this.#total > 0 ? `${this.#done} of ${this.#total} bytes` : `${this.#done} bytes`
    const message = `${this.url}: the download broke off after ${reached} (${why})`
    return new DownloadError(message, "check the connection and try again", { cause: error })
  }

  /** Headers to go on where it broke. There must be something by which a changed file is known. */
  #range(): Record<string, string> | undefined {
    const { etag, modified } = this.version
    if (this.#done === 0 || !(etag || modified || this.options.integrity)) return undefined
    const range = { range: `bytes=${this.#done}-` }
    const strong = etag?.startsWith("W/") ? undefined : etag
    const condition = strong ?? modified
    // Other origins are not asked for leave to send it; their answer is looked at all the same.
    const here = new URL(this.url).origin === globalThis.location?.origin
    return condition && here ? { ...range, "if-range": condition } : range
  }

  /** Whether it is complete now; if not, it must begin anew. @throws whatever breaks it */
  async #attempt(): Promise<boolean> {
    const range = this.#range()
    if (!range) this.#restart()
    // After a break, the browser's own cache may have a part of who knows which version.
    const cache = this.#again ? "no-store" : "default"
    this.#again = true
    const response = await fetch(this.url, { signal: this.options.signal, headers: range, cache })
    this.status = response.status
    if (range && response.status === 416) {
      await response.body?.cancel()
      // There is nothing behind what is here, if that is the file's length.
      return Number(/^bytes \*\/(\d+)$/.exec(response.headers.get("content-range") ?? "")?.[1]) === this.#done
    }
    if (BUSY.includes(response.status)) {
      await response.body?.cancel()
      throw new Busy(response)
    }
    if (!response.ok)
      throw new DownloadError(
        `${this.url}: the server answers ${response.status} ${response.statusText}`.trimEnd(),
        "check the address",
      )
    if (response.status === 206) {
      if (!this.#goesOn(response)) {
        await response.body?.cancel()
        return false
      }
      this.joined = true
    } else {
      this.#restart()
      this.joined = false
      // A compressed transfer tells its compressed length, which says nothing of ours.
      const encoded = response.headers.has("content-encoding")
      this.#total = encoded ? 0 : Number(response.headers.get("content-length") ?? 0)
      this.version = versionOf(response)
    }
    await this.#receive(response)
    return true
  }

  /** Whether an answer is of the same file as what is here, and goes on where that ends. */
  #goesOn(response: Response): boolean {
    const part = response.headers.get("content-range")
    const [, first, , all] = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(part ?? "") ?? []
    // Across origins the header may be hidden; the length then tells.
    const length = Number(response.headers.get("content-length") ?? 0)
    if (part === null ? this.#total > 0 && this.#done + length !== this.#total : Number(first) !== this.#done)
      return false
    const known = all !== undefined && all !== "*"
    if (known && this.#total > 0 && Number(all) !== this.#total) return false
    if (known) this.#total = Number(all)
    const same = sameVersion(this.version, versionOf(response))
    return same ?? this.options.integrity !== undefined
  }

  async #receive(response: Response) {
    for await (const part of chunks(response)) {
      this.#parts.push(part)
      this.#done += part.length
      this.options.onProgress?.(this.#done, Math.max(this.#total, this.#done), false)
    }
    if (this.#total > 0 && this.#done < this.#total)
      throw new TypeError(`ended after ${this.#done} of ${this.#total} bytes`)
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
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return
    yield value
  }
}

function join(parts: Uint8Array[], length: number): Uint8Array {
  const bytes = new Uint8Array(length)
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  return bytes
}

async function check(bytes: Uint8Array, integrity: string | undefined, label: string) {
  if (!(await matches(bytes, integrity))) {
    throw new IntegrityError(
      `${label}: ${bytes.length} bytes that are not the file's (SHA-256 differs)`,
      "load it again; if it stays, the copy on the server is damaged",
    )
  }
}

/**
 * Whether bytes have a SHA-256, if one is asked for. Pages without https (other than localhost) cannot
 * compute it; there everything matches.
 */
async function matches(bytes: Uint8Array, integrity: string | undefined): Promise<boolean> {
  if (integrity === undefined || !globalThis.crypto?.subtle) return true
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes as BufferSource))
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("") === integrity.toLowerCase()
}
