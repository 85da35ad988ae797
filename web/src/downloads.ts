/** Files from the network or from this browser's cache, counted, and checked against what they should be. */

import { DownloadError, IntegrityError } from "./errors.js"
import type { Source } from "./types.js"

export interface DownloadOptions {
  /** SHA-256, in hexadecimal. */
  integrity?: string
  /**
   * Keep the file in the Cache API, and take it from there, where `integrity` tells that it is still the
   * right one.
   */
  cache: boolean
  onProgress?: (done: number, total: number, cached: boolean) => void
  signal?: AbortSignal
}

const STORE = "polysketch-1"
/** Times a transfer is tried before it counts as failed. */
const ATTEMPTS = 3

/** The bytes of a source: as given, from the cache, or downloaded. */
export async function bytesOf(source: Source, options: DownloadOptions): Promise<Uint8Array> {
  if (source instanceof Uint8Array || source instanceof ArrayBuffer) {
    const bytes = source instanceof ArrayBuffer ? new Uint8Array(source) : source
    await check(bytes, options.integrity, "the bytes given")
    return bytes
  }
  const url = new URL(source, globalThis.location?.href).href
  // Without knowing what a file should be, a kept one may be of yesterday.
  const store = options.cache && options.integrity !== undefined ? await openStore() : undefined
  const kept = store && (await fromStore(store, url, options))
  if (kept) return kept
  const bytes = await download(url, options)
  await check(bytes, options.integrity, url)
  // A full disk or a private window costs the cache, not the model.
  await store?.put(url, new Response(bytes as BufferSource)).catch(() => undefined)
  return bytes
}

/** Forgets every download that is kept. */
export async function clearCache(): Promise<void> {
  await globalThis.caches?.delete(STORE).catch(() => false)
}

/** The Cache API exists in secure contexts only, and may be switched off. */
async function openStore(): Promise<Cache | undefined> {
  return globalThis.caches?.open(STORE).catch(() => undefined)
}

async function fromStore(
  store: Cache,
  url: string,
  { integrity, onProgress, signal }: DownloadOptions,
): Promise<Uint8Array | undefined> {
  const response = await store.match(url).catch(() => undefined)
  if (!response) return undefined
  const bytes = new Uint8Array(await response.arrayBuffer())
  signal?.throwIfAborted()
  // A model may have changed under the same address, and disks fail: what does not fit is loaded anew.
  if (!(await matches(bytes, integrity))) {
    await store.delete(url)
    return undefined
  }
  onProgress?.(bytes.length, bytes.length, true)
  return bytes
}

/** Downloads a file; after a broken transfer once more, from where it broke if the server can. */
async function download(url: string, { onProgress, signal }: DownloadOptions): Promise<Uint8Array> {
  let parts: Uint8Array[] = []
  let [done, total] = [0, 0]
  for (let attempt = 1; ; attempt++) {
    try {
      const response = await fetch(url, { signal, headers: done > 0 ? { range: `bytes=${done}-` } : {} })
      if (!response.ok)
        throw new DownloadError(
          `${url}: the server answers ${response.status} ${response.statusText}`.trimEnd(),
          "check the address",
        )
      if (response.status !== 206) [parts, done] = [[], 0]
      // A compressed transfer tells its compressed length, which says nothing of ours.
      const length = response.headers.has("content-encoding")
        ? 0
        : Number(response.headers.get("content-length") ?? 0)
      total = length > 0 ? done + length : 0
      for await (const part of chunks(response)) {
        parts.push(part)
        done += part.length
        onProgress?.(done, Math.max(total, done), false)
      }
      if (total > 0 && done < total) throw new TypeError(`ended after ${done} of ${total} bytes`)
      return join(parts, done)
    } catch (error) {
      signal?.throwIfAborted()
      if (error instanceof DownloadError) throw error
      if (attempt < ATTEMPTS) {
        await new Promise((resolve) => setTimeout(resolve, 250 * 4 ** attempt))
        continue
      }
      const reached = total > 0 ? `${done} of ${total} bytes` : `${done} bytes`
      const why = error instanceof Error ? error.message : error
      const message = `${url}: the download broke off after ${reached} (${why})`
      throw new DownloadError(message, "check the connection and try again", { cause: error })
    }
  }
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
