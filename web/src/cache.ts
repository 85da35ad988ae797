/**
 * Downloads that are kept in this browser: small files in the Cache API, large ones in the origin's private
 * file system. Listed, forgotten, and known to be of today.
 */

import { clearKept, keptFiles } from "./opfs.js"
import { address } from "./places.js"
import type { CachedFile } from "./types.js"

const STORE = "polysketch-1"
const [BYTES, SAVED] = ["x-polysketch-bytes", "x-polysketch-saved"]

/** What a server says of the version of a file. */
export interface Version {
  etag?: string
  modified?: string
}

export function versionOf({ headers }: Response): Version {
  return { etag: headers.get("etag") ?? undefined, modified: headers.get("last-modified") ?? undefined }
}

/** Whether two answers are of the same version; nothing where they do not tell. */
export function sameVersion(a: Version, b: Version): boolean | undefined {
  // A server that compresses marks the tag as weak, or by an ending; across origins it may be hidden.
  const bare = (tag: string) => tag.replace(/^W\//, "").replace(/-(gzip|br|zstd|df)"$/, '"')
  if (a.etag && b.etag) return bare(a.etag) === bare(b.etag)
  if (a.modified && b.modified) return a.modified === b.modified
  return undefined
}

/** The store. There is none on pages without https, in a sandboxed frame, or where it is switched off. */
export async function openStore(): Promise<Cache | undefined> {
  try {
    return await globalThis.caches?.open(STORE)
  } catch {
    return undefined
  }
}

/** Keeps a file, if there is room. Returns whether there was. */
export async function keep(store: Cache, url: string, bytes: Uint8Array, version: Version): Promise<boolean> {
  const headers = new Headers({ [BYTES]: String(bytes.length), [SAVED]: new Date().toISOString() })
  if (version.etag) headers.set("etag", version.etag)
  if (version.modified) headers.set("last-modified", version.modified)
  try {
    await store.put(url, new Response(bytes as BufferSource, { headers }))
    return true
  } catch {
    // An older version must not stay in its place.
    await store.delete(url).catch(() => false)
    return false
  }
}

/** The downloads that are kept in this browser for this page's origin. */
export async function cachedFiles(): Promise<CachedFile[]> {
  const store = await openStore()
  const files: CachedFile[] = []
  for (const request of (await store?.keys().catch(() => [])) ?? []) {
    const response = await store!.match(request)
    if (!response) continue
    const bytes = response.headers.get(BYTES)
    const saved = response.headers.get(SAVED)
    files.push({
      url: request.url,
      bytes: bytes === null ? (await response.blob()).size : Number(bytes),
      saved: saved === null ? undefined : new Date(saved),
    })
  }
  return [...files, ...(await keptFiles())]
}

/** Forgets the kept download of an address, or all of them. Returns whether there was any. */
export async function clearCache(url?: string | URL): Promise<boolean> {
  const given = url === undefined ? undefined : address(url)
  const kept = await clearKept(given)
  const store = await openStore()
  if (!store) return kept
  try {
    return (given === undefined ? await caches.delete(STORE) : await store.delete(given)) || kept
  } catch {
    return kept
  }
}
