/**
 * Large downloads that are kept in the origin's private file system (OPFS), whole or as far as they came: a
 * model is read from there piece by piece, and a download that broke off goes on at the next visit.
 */

import type { Version } from "./cache.js"
import type { Sink } from "./transfer.js"
import type { CachedFile } from "./types.js"

const FOLDER = "polysketch-1"
/** Bytes after which a download is safe from a page that goes away. */
const SAFE = 32 << 20

/** What is known of a kept file; it stands beside it. */
interface Entry {
  url: string
  version: Version
  /** Its length; 0: not told. */
  total: number
  /** Bytes of it that are surely there. */
  bytes: number
  /** Set when it is complete. */
  saved?: string
}

/** The folder. There is none on pages without https, in a sandboxed frame, or where it is switched off. */
async function folder(create: boolean): Promise<FileSystemDirectoryHandle | undefined> {
  try {
    const root = await globalThis.navigator?.storage?.getDirectory?.()
    return await root?.getDirectoryHandle(FOLDER, { create })
  } catch {
    return undefined
  }
}

async function nameOf(url: string): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(url)))
  return Array.from(digest.subarray(0, 16), (byte) => byte.toString(16).padStart(2, "0")).join("")
}

/** Whoever writes the file of an address: one at a time, in all tabs; the others find what it has written. */
export async function alone<T>(
  url: string,
  signal: AbortSignal | undefined,
  work: () => Promise<T>,
): Promise<T> {
  const locks = globalThis.navigator?.locks
  return locks ? await locks.request(`${FOLDER} ${url}`, signal ? { signal } : {}, work) : work()
}

/** The file of an address, kept or to be. */
export class Kept implements Sink {
  done = 0
  #writer: Writer | undefined
  #safe = 0

  private constructor(
    private readonly dir: FileSystemDirectoryHandle,
    private readonly name: string,
    private entry: Entry,
  ) {}

  /** None where nothing can be kept. */
  static async open(url: string): Promise<Kept | undefined> {
    const dir = await folder(true)
    if (
      !dir ||
      !(
        "createSyncAccessHandle" in FileSystemFileHandle.prototype ||
        "createWritable" in FileSystemFileHandle.prototype
      )
    )
      return undefined
    const name = await nameOf(url)
    const entry = await readEntry(dir, name)
    return new Kept(dir, name, entry?.url === url ? entry : { url, version: {}, total: 0, bytes: 0 })
  }

  get version(): Version {
    return this.entry.version
  }

  get total(): number {
    return this.entry.total
  }

  /** The file, if all of it is here. */
  async file(): Promise<File | undefined> {
    if (!this.entry.saved) return undefined
    try {
      const file = await (await this.dir.getFileHandle(`${this.name}.bin`)).getFile()
      return file.size === this.entry.bytes ? file : undefined
    } catch {
      return undefined
    }
  }

  /** Opens it for a download. Returns whether a part of it is here, to go on with. */
  async begin(): Promise<boolean> {
    this.#writer = await openWriter(await this.dir.getFileHandle(`${this.name}.bin`, { create: true }))
    const there = this.entry.saved ? 0 : Math.min(this.entry.bytes, this.#writer.size)
    this.done = this.#safe = there
    return there > 0
  }

  /** Notes which version comes. */
  async is(version: Version, total: number) {
    this.entry = { url: this.entry.url, version, total, bytes: 0 }
    await this.#note()
  }

  async write(part: Uint8Array) {
    await this.#writer!.write(part, this.done)
    this.done += part.length
    if (this.done - this.#safe >= SAFE) await this.#settle()
  }

  async restart() {
    this.done = this.#safe = 0
    await this.#writer!.truncate(0)
    this.entry = { url: this.entry.url, version: {}, total: 0, bytes: 0 }
  }

  /** Keeps what is here: as all of it, or as far as it came. */
  async end(complete: boolean) {
    if (!this.#writer) return
    await this.#writer.truncate(this.done)
    await this.#writer.close()
    this.#writer = undefined
    this.entry.bytes = this.done
    if (complete) this.entry.saved = new Date().toISOString()
    await this.#note()
  }

  async remove() {
    await this.#writer?.close().catch(() => undefined)
    this.#writer = undefined
    await removeNamed(this.dir, this.name)
  }

  async #settle() {
    if (!this.#writer!.flush()) return
    this.entry.bytes = this.#safe = this.done
    await this.#note()
  }

  async #note() {
    const handle = await this.dir.getFileHandle(`${this.name}.json`, { create: true })
    const writer = await openWriter(handle)
    await writer.truncate(0)
    await writer.write(new TextEncoder().encode(JSON.stringify(this.entry)), 0)
    await writer.close()
  }
}

/** Bytes that may still be kept; none where nobody tells. */
export async function room(): Promise<number | undefined> {
  try {
    const { quota, usage } = await navigator.storage.estimate()
    return quota === undefined || usage === undefined ? undefined : quota - usage
  } catch {
    return undefined
  }
}

/** What is kept whole, and what came in part. */
export async function keptFiles(): Promise<CachedFile[]> {
  const dir = await folder(false)
  const files: CachedFile[] = []
  if (!dir) return files
  for await (const name of dir.keys()) {
    if (!name.endsWith(".json")) continue
    const entry = await readEntry(dir, name.slice(0, -".json".length))
    if (!entry) continue
    const { url, bytes, saved } = entry
    files.push({ url, bytes, saved: saved === undefined ? undefined : new Date(saved) })
  }
  return files
}

/** Forgets the kept file of an address, or all of them. Returns whether there was any. */
export async function clearKept(url?: string): Promise<boolean> {
  const dir = await folder(false)
  if (!dir) return false
  if (url !== undefined) return removeNamed(dir, await nameOf(url))
  let any = false
  const names: string[] = []
  for await (const name of dir.keys()) names.push(name)
  for (const name of names) any = (await removed(dir, name)) || any
  return any
}

async function removeNamed(dir: FileSystemDirectoryHandle, name: string): Promise<boolean> {
  // The entry first: without it the bytes are nobody's.
  const known = await removed(dir, `${name}.json`)
  return (await removed(dir, `${name}.bin`)) || known
}

/** A file that somebody reads or writes now stays. */
async function removed(dir: FileSystemDirectoryHandle, name: string): Promise<boolean> {
  return dir.removeEntry(name).then(
    () => true,
    () => false,
  )
}

async function readEntry(dir: FileSystemDirectoryHandle, name: string): Promise<Entry | undefined> {
  try {
    const text = await (await (await dir.getFileHandle(`${name}.json`)).getFile()).text()
    const entry = JSON.parse(text) as Entry
    return typeof entry.url === "string" && typeof entry.bytes === "number" ? entry : undefined
  } catch {
    return undefined
  }
}

/** A file that is written: at once in a worker, elsewhere when it is closed. */
interface Writer {
  /** Bytes it had. */
  readonly size: number
  write(part: Uint8Array, at: number): Promise<void>
  truncate(size: number): Promise<void>
  /** Whether what was written is on the disk. */
  flush(): boolean
  close(): Promise<void>
}

/** The handle of a worker; the types of a page do not have it. */
interface SyncHandle {
  write(part: Uint8Array, options: { at: number }): number
  truncate(size: number): void
  getSize(): number
  flush(): void
  close(): void
}

async function openWriter(handle: FileSystemFileHandle): Promise<Writer> {
  const inWorker = handle as FileSystemFileHandle & { createSyncAccessHandle?(): Promise<SyncHandle> }
  if (inWorker.createSyncAccessHandle) {
    const sync = await inWorker.createSyncAccessHandle()
    return {
      size: sync.getSize(),
      async write(part, at) {
        for (let done = 0; done < part.length;) {
          const wrote = sync.write(part.subarray(done), { at: at + done })
          if (wrote === 0) throw new DOMException("the disk is full", "QuotaExceededError")
          done += wrote
        }
      },
      truncate: async (size) => sync.truncate(size),
      flush() {
        sync.flush()
        return true
      },
      close: async () => sync.close(),
    }
  }
  const { size } = await handle.getFile()
  const stream = await handle.createWritable({ keepExistingData: true })
  return {
    size,
    write: (part, position) => stream.write({ type: "write", data: part as BufferSource, position }),
    truncate: (size) => stream.truncate(size),
    flush: () => false,
    close: () => stream.close(),
  }
}
