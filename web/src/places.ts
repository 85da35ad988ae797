/** Where this code runs, and what addresses mean there: a page, a worker, or Node. */

import { DownloadError, InputError } from "./errors.js"

/** The little of Node that is used; its types are not a page's. */
interface Node {
  versions?: { node?: string }
  cwd(): string
  getBuiltinModule?(name: "node:fs/promises"): { readFile(url: URL): Promise<Uint8Array> }
  getBuiltinModule?(name: "node:url"): { pathToFileURL(path: string): URL }
  getBuiltinModule?(name: "node:fs"): { openAsBlob?(url: URL): Promise<Blob> }
}

const node = (globalThis as { process?: Node }).process

export const inNode = node?.versions?.node !== undefined && globalThis.window === undefined

/** A service worker may not load code when it runs. */
export const inServiceWorker = globalThis.constructor?.name === "ServiceWorkerGlobalScope"

function base(): string | undefined {
  // A frame of `srcdoc` has an address of its own that nothing lies beside.
  if (globalThis.document !== undefined) return document.baseURI
  if (inNode) return node!.getBuiltinModule?.("node:url").pathToFileURL(`${node!.cwd()}/`).href
  return globalThis.location?.href
}

/** An address in full; in Node a path too. @throws InputError */
export function address(given: string | URL): string {
  const windows = inNode && typeof given === "string" && /^[a-z]:[\\/]/i.test(given)
  try {
    if (windows) return node!.getBuiltinModule!("node:url").pathToFileURL(given).href
    return new URL(given, base()).href
  } catch {
    throw new InputError(
      `“${given}” is no address`,
      "give a full one, such as https://example.org/model/config.json",
    )
  }
}

/** A file of this machine's, in Node; elsewhere nothing: there `fetch` is to answer. @throws DownloadError */
export async function localFile(url: string): Promise<Uint8Array | undefined> {
  if (!inNode || !url.startsWith("file:")) return undefined
  const files = node!.getBuiltinModule?.("node:fs/promises")
  if (!files)
    throw new DownloadError(`${url}: this Node.js cannot read files here`, "use Node.js 20.16 or newer")
  try {
    return new Uint8Array(await files.readFile(new URL(url)))
  } catch (error) {
    const message = `${decodeURI(url.slice("file://".length))}: ${(error as Error).message}`
    throw new DownloadError(message, "check the path", { cause: error })
  }
}

/** The same without reading it. */
export async function localBlob(url: string): Promise<Blob | undefined> {
  if (!inNode || !url.startsWith("file:")) return undefined
  const open = node!.getBuiltinModule?.("node:fs").openAsBlob
  if (!open) return new Blob([(await localFile(url)) as BlobPart])
  try {
    return await open(new URL(url))
  } catch (error) {
    const message = `${decodeURI(url.slice("file://".length))}: ${(error as Error).message}`
    throw new DownloadError(message, "check the path", { cause: error })
  }
}

/** What stands where a file should be is often a page: many servers answer with one for what they lack. */
export function isHtml(bytes: Uint8Array): boolean {
  const text = new TextDecoder().decode(bytes.subarray(0, 256)).trimStart().toLowerCase()
  return text.startsWith("<!doctype html") || text.startsWith("<html")
}

/** Such a page came instead. */
export class HtmlError extends DownloadError {}

/** The error for such a page. */
export function htmlInstead(url: string, status: number): DownloadError {
  return new HtmlError(
    `this is an HTML page, not the file; the server answered ${status} for ${url}`,
    "the file does not lie at that address: servers of single-page apps answer with their page instead",
  )
}
