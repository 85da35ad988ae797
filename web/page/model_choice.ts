/** How a visitor gives a model: a file choice, a drop, an address. */
import { el } from "./dom.js"
import { isAdapter } from "./linear.js"
import type { Origin } from "./own_model.js"

type From = Origin["from"]
export interface Given extends Pick<Origin, "name" | "from"> {
  /** An adapter that was given beside it. */
  adapter?: File
}

/** The name of an adapter in a folder. */
const ADAPTER = "adapter.safetensors"

const isGguf = (name: string) => name.toLowerCase().endsWith(".gguf")

/** An adapter that was given alone, for a model that is open or will be. */
export const onlyAdapter = (files: File[]) =>
  files.length === 1 && isAdapter(files[0]!) ? files[0] : undefined

/** What some files are: the GGUF file among them, or else those of a folder; and an adapter beside it. */
export function ofFiles(files: File[]): Given {
  const gguf = files.find((file) => isGguf(file.name))
  if (gguf) return { name: gguf.name, from: { gguf }, adapter: files.find(isAdapter) }
  if (files.some((file) => file.name === "config.json")) {
    const adapter = files.find((file) => file.name === ADAPTER)
    return { name: folderOf(files), from: { folder: files }, adapter }
  }
  const names =
    files.length === 1 ? `“${files[0]!.name}” is no .gguf file` : "there is no .gguf file among these"
  throw new TypeError(`${names}, and no config.json of a model's folder`)
}

const folderOf = (files: File[]) => {
  const path = files[0]!.webkitRelativePath
  return path.includes("/") ? path.slice(0, path.indexOf("/")) : "a folder"
}

/** What stands in the field for an address. */
export function ofAddress(text: string): Given {
  const given = text.trim()
  if (!given) throw new TypeError("there is no address")
  // A name without a scheme is one of a host.
  const url = /^[a-z]+:/i.test(given) || given.startsWith("/") ? given : `https://${given}`
  let parsed: URL
  try {
    parsed = new URL(url, document.baseURI)
  } catch {
    throw new TypeError(`“${given}” is no address`)
  }
  const name = decodeURIComponent(parsed.pathname.slice(parsed.pathname.lastIndexOf("/") + 1))
  return { name: name || parsed.host, from: { gguf: parsed.href } }
}

/** Lets files be chosen by a button, any number of them. */
export function opensFiles(button: string, field: string, act: (files: File[]) => void) {
  const input = el<HTMLInputElement>(field)
  input.addEventListener("change", () => {
    const files = Array.from(input.files ?? [])
    input.value = ""
    if (files.length > 0) act(files)
  })
  el(button).addEventListener("click", () => {
    if (el(button).getAttribute("aria-disabled") !== "true") input.click()
  })
}

/**
 * Calls back with what is dropped on an element: files, and the folder instead of them where the browser hands
 * one out.
 */
export function onModelDrop(id: string, act: (files: File[], folder: Promise<Given | undefined>) => void) {
  const place = el(id)
  place.addEventListener("dragover", (event) => {
    if (!event.dataTransfer?.types.includes("Files")) return
    event.preventDefault()
    place.classList.add("over")
  })
  place.addEventListener("dragleave", () => place.classList.remove("over"))
  place.addEventListener("drop", (event) => {
    event.preventDefault()
    place.classList.remove("over")
    const files = Array.from(event.dataTransfer?.files ?? [])
    // What is dropped is gone after this turn of the page's.
    const folder = handleOf(event.dataTransfer?.items[0])
    if (files.length > 0) act(files, folder)
  })
}

type WithHandle = DataTransferItem & { getAsFileSystemHandle?(): Promise<FileSystemHandle | null> }

async function handleOf(item: DataTransferItem | undefined): Promise<Given | undefined> {
  const handle = await (item as WithHandle | undefined)?.getAsFileSystemHandle?.().catch(() => null)
  if (handle?.kind !== "directory") return undefined
  const folder = handle as FileSystemDirectoryHandle
  const adapter = await folder.getFileHandle(ADAPTER).then(
    (file) => file.getFile(),
    () => undefined,
  )
  const from: From = { folder }
  return { name: handle.name, from, adapter }
}
