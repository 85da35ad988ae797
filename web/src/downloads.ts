/** Files from the network or from this browser's cache, counted, and checked against what they should be. */

import { keep, openStore, sameVersion, type Version, versionOf } from "./cache.js"
import { InputError, IntegrityError } from "./errors.js"
import { alone, Kept, room } from "./opfs.js"
import { address, HtmlError, htmlInstead, isHtml, localBlob, localFile } from "./places.js"
import { InBlob, InMemory, MissingError, Transfer } from "./transfer.js"
import type { Source } from "./types.js"

export interface DownloadOptions {
  /** SHA-256, in hexadecimal. */
  integrity?: string
  /** Keep the file in this browser, and take it from there as long as it is still the right one. */
  cache: boolean
  onProgress?: (done: number, total: number, cached: boolean) => void
  /** Called if there is no room to keep it. */
  onFull?: () => void
  signal?: AbortSignal
}

/** The bytes of a source: as given, from the cache, or downloaded. */
export async function bytesOf(source: Source, options: DownloadOptions): Promise<Uint8Array> {
  const { integrity } = options
  const given = await inHand(source)
  if (given) {
    await check(given, integrity, "the bytes given")
    return given
  }
  if (typeof source !== "string" && !(source instanceof URL)) throw noFile(source)
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
  let { transfer, bytes } = await download(url, options)
  if (transfer.joined && !(await matches(bytes, integrity))) {
    // Parts of two versions, where no header told.
    ;({ transfer, bytes } = await download(url, options))
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

async function download(url: string, { integrity, onProgress, signal }: DownloadOptions) {
  const sink = new InMemory()
  const progress = (done: number, total: number) => onProgress?.(done, total, false)
  const transfer = new Transfer(url, sink, { integrity, onProgress: progress, signal })
  await transfer.run()
  return { transfer, bytes: sink.bytes() }
}

/** The same of a file that need not be: nothing where there is none. */
export async function bytesIfThere(
  source: Source,
  options: DownloadOptions,
): Promise<Uint8Array | undefined> {
  return bytesOf(source, options).catch((error: unknown) => {
    if (error instanceof MissingError || error instanceof HtmlError) return undefined
    throw error
  })
}

/**
 * A file that is not taken into memory: as given, kept by the browser, or downloaded into where it is kept, or
 * else into a Blob.
 */
export async function blobOf(source: Source, options: DownloadOptions): Promise<Blob> {
  if (globalThis.Blob !== undefined && source instanceof Blob) return source
  if (source instanceof Uint8Array || source instanceof ArrayBuffer) return new Blob([source as BlobPart])
  if (typeof source !== "string" && !(source instanceof URL)) throw noFile(source)
  const url = address(source)
  const local = await localBlob(url)
  if (local) return local
  if (!options.cache || !/^https?:/.test(url)) return intoBlob(url, options)
  return alone(url, options.signal, async () => {
    const kept = await keptBlob(url, options)
    if (kept) {
      options.onProgress?.(kept.size, kept.size, true)
      return kept
    }
    try {
      const made = await intoKept(url, options)
      if (made) return made
    } catch (error) {
      if (!isFull(error, options.signal)) throw error
      options.onFull?.()
    }
    return intoBlob(url, options)
  })
}

/** The kept file of an address, whole and of today. */
export async function keptBlob(url: string, { signal }: DownloadOptions): Promise<File | undefined> {
  const kept = await Kept.open(url).catch(() => undefined)
  const file = await kept?.file()
  return file && (await isCurrent(url, kept!.version, signal, file.size)) ? file : undefined
}

/** Full disks, and systems that keep nothing though they have a file system. */
const isFull = (error: unknown, signal?: AbortSignal) => error instanceof DOMException && !signal?.aborted

async function intoKept(url: string, options: DownloadOptions): Promise<Blob | undefined> {
  const kept = await Kept.open(url)
  if (!kept) return undefined
  const { onProgress, signal } = options
  let keeps = true
  try {
    const begun = (await kept.begin()) ? { version: kept.version, total: kept.total } : undefined
    const transfer = new Transfer(url, kept, {
      large: true,
      begun,
      signal,
      onProgress: (done, total) => onProgress?.(done, total, false),
      async onBegin(version, total) {
        // Without knowing which version this is, a kept one might be of yesterday.
        keeps = Boolean(version.etag || version.modified)
        const free = await room()
        if (free !== undefined && total > free) throw new DOMException("no room", "QuotaExceededError")
        await kept.is(version, total)
      },
    })
    await transfer.run()
    await kept.end(keeps)
    const file = await (await Kept.open(url))!.file()
    if (keeps && file) {
      if (await startsAsHtml(file)) {
        await kept.remove()
        throw htmlInstead(url, transfer.status)
      }
      return file
    }
  } catch (error) {
    // What came is there for the next try, unless it was too much.
    if (isFull(error, signal)) await kept.remove().catch(() => undefined)
    else await kept.end(false).catch(() => undefined)
    throw error
  }
  await kept.remove()
  return undefined
}

async function intoBlob(url: string, { onProgress, signal }: DownloadOptions): Promise<Blob> {
  const sink = new InBlob()
  const progress = (done: number, total: number) => onProgress?.(done, total, false)
  const transfer = new Transfer(url, sink, { large: true, onProgress: progress, signal })
  await transfer.run()
  const blob = sink.blob()
  if (await startsAsHtml(blob)) throw htmlInstead(url, transfer.status)
  return blob
}

const startsAsHtml = async (file: Blob) => isHtml(new Uint8Array(await file.slice(0, 256).arrayBuffer()))

function noFile(source: unknown): InputError {
  return new InputError(
    `a file cannot be a value of type ${typeof source}`,
    "give bytes, a File, or an address",
  )
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
async function isCurrent(url: string, kept: Version, signal?: AbortSignal, bytes?: number): Promise<boolean> {
  try {
    let response = await fetch(url, { method: "HEAD", signal, cache: "no-cache" })
    if (!response.ok) {
      // Signed addresses and some servers answer to GET only; its answer is not read.
      response = await fetch(url, { signal, cache: "no-cache" })
      await response.body?.cancel()
    }
    const length = response.headers.get("content-length")
    const encoded = response.headers.has("content-encoding")
    if (bytes !== undefined && length !== null && !encoded && Number(length) !== bytes) return false
    return response.ok && sameVersion(kept, versionOf(response)) === true
  } catch {
    signal?.throwIfAborted()
    return true
  }
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
