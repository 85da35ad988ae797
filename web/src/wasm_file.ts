/** The engine's WebAssembly, compiled; and in plain words why a page or a browser does not let it be. */

import { DownloadError, EnvironmentError, IntegrityError, InputError } from "./errors.js"
import { htmlInstead, isHtml, localFile } from "./places.js"

/** As it comes from the page's end: an address in full, bytes, or compiled already. */
export type WasmSource = string | BufferSource | WebAssembly.Module

/** @throws EnvironmentError, DownloadError, IntegrityError, InputError */
export async function compiled(source?: WasmSource): Promise<WebAssembly.Module> {
  if (globalThis.WebAssembly === undefined)
    throw new EnvironmentError(
      "this browser has no WebAssembly, or it is switched off",
      "switch it on for this page (a lockdown mode may have switched it off)",
    )
  if (source instanceof WebAssembly.Module) return source
  if (source instanceof ArrayBuffer || ArrayBuffer.isView(source)) return compile(source, "the bytes given")
  if (source !== undefined && typeof source !== "string")
    throw new InputError("wasm cannot be that", "give an address, bytes or a WebAssembly.Module")
  const url = source ?? new URL("polysketch_bg.wasm", import.meta.url).href
  const local = await localFile(url)
  if (local) return compile(local as BufferSource, url)
  const response = await fetch(url).catch((error: unknown) => {
    const why = error instanceof Error ? error.message : error
    throw new DownloadError(
      `${url}: the engine's WebAssembly could not be loaded (${why})`,
      "check the address and the connection; a server elsewhere must allow this page to read it (CORS)",
    )
  })
  if (!response.ok)
    throw new DownloadError(
      `${url}: the server answers ${response.status} ${response.statusText}`.trimEnd(),
      "the engine's WebAssembly does not lie there: tell init({ wasm }) where it is",
    )
  if (response.headers.get("content-type")?.startsWith("application/wasm"))
    return WebAssembly.compileStreaming(response).catch((error) => Promise.reject(refused(error, url)))
  const bytes = new Uint8Array(await response.arrayBuffer())
  if (isHtml(bytes)) throw htmlInstead(url, response.status)
  return compile(bytes, url)
}

function compile(bytes: BufferSource, what: string): Promise<WebAssembly.Module> {
  return WebAssembly.compile(bytes).catch((error) => Promise.reject(refused(error, what)))
}

function refused(error: unknown, what: string): Error {
  const message = error instanceof Error ? error.message : String(error)
  if (/Content.Security.Policy|unsafe-eval/i.test(message))
    return new EnvironmentError(
      "the page's Content-Security-Policy does not allow WebAssembly",
      "add 'wasm-unsafe-eval' to its script-src",
    )
  if (/magic (word|header|number)|unexpected end|length|section|out of bounds/i.test(message))
    return new IntegrityError(
      `${what}: this is not the engine's WebAssembly, or it is damaged (${message})`,
      "load it again; if it stays, the copy on the server is damaged",
    )
  return new EnvironmentError(
    `this browser cannot run the engine's WebAssembly (${message})`,
    "update the browser: Chrome 91, Firefox 89 or Safari 16.4, or newer",
  )
}
