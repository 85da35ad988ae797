/** Files whose bytes the engine asks for, range by range. */

import { DownloadError, InputError } from "./errors.js"
import { downloadFailed } from "./transfer.js"

/** What the engine's raw face takes for a file. */
export interface RangeFile {
  name: string
  size: number
  read(from: number, to: number): Promise<Uint8Array>
}

/** Small tensors lie side by side: so much is read at once. */
const WINDOW = 4 << 20

/** A file that the browser holds: one that was chosen, is kept, or was downloaded into a Blob. */
export function ofBlob(blob: Blob, name: string, signal?: AbortSignal): RangeFile {
  return windowed(name, blob.size, async (from, to) => {
    signal?.throwIfAborted()
    try {
      return new Uint8Array(await blob.slice(from, to).arrayBuffer())
    } catch (cause) {
      throw new InputError(
        `${name}: the file cannot be read any more (${cause instanceof Error ? cause.message : cause})`,
        "it was changed, moved or forgotten meanwhile: choose it again",
        { cause },
      )
    }
  })
}

/**
 * A file on a server that gives parts of it: to look at what stands in front, before all of it is downloaded.
 * None where the server gives no parts, or does not tell how long it is.
 */
export async function ofAddress(url: string, signal?: AbortSignal): Promise<RangeFile | undefined> {
  const part = async (from: number, to: number) => {
    const headers = { range: `bytes=${from}-${to - 1}` }
    const response = await fetch(url, { headers, signal, cache: "no-store" })
    const size = /^bytes \d+-\d+\/(\d+)$/.exec(response.headers.get("content-range") ?? "")?.[1]
    if (response.status === 206 && size !== undefined)
      return { size: Number(size), bytes: new Uint8Array(await response.arrayBuffer()) }
    await response.body?.cancel()
    return undefined
  }
  const first = await part(0, WINDOW).catch(() => undefined)
  signal?.throwIfAborted()
  if (!first) return undefined
  return windowed(url, first.size, async (from, to) => {
    if (to <= first.bytes.length) return first.bytes.subarray(from, to)
    const next = await part(from, to).catch((error: unknown) => {
      signal?.throwIfAborted()
      throw downloadFailed(url, error)
    })
    if (next?.bytes.length === to - from) return next.bytes
    throw new DownloadError(`${url}: the server gave a part of it, and then another`, "try again")
  })
}

function windowed(
  name: string,
  size: number,
  read: (from: number, to: number) => Promise<Uint8Array>,
): RangeFile {
  let window: { from: number; bytes: Uint8Array } | undefined
  return {
    name,
    size,
    async read(from, to) {
      if (to - from > WINDOW / 4) return read(from, to)
      if (!window || from < window.from || to > window.from + window.bytes.length)
        window = { from, bytes: await read(from, Math.min(size, from + WINDOW)) }
      return window.bytes.subarray(from - window.from, to - window.from)
    },
  }
}
