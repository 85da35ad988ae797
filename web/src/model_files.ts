/** The files of a model, wherever they are: from what a page gives to what the engine's raw face takes. */

import { blobOf, bytesIfThere, bytesOf, type DownloadOptions, keptBlob } from "./downloads.js"
import { DownloadError, InputError } from "./errors.js"
import { address } from "./places.js"
import { ofAddress, ofBlob, type RangeFile } from "./range_file.js"
import type { GgufModel, LoadProgress, ModelFiles, ModelFolder, Source } from "./types.js"

/** What a model can be loaded from. */
export type AnyModel = ModelFiles | GgufModel | ModelFolder

/** What the raw face takes. */
export type RawFiles = { adapter?: RangeFile } & (
  { gguf: RangeFile } | ({ weights: Uint8Array | RangeFile[] } & Record<string, unknown>)
)

/** Where each file is. */
interface Sources {
  gguf?: Source
  config?: ModelFiles["config"]
  weights: Source[]
  small: Partial<Record<Small, Source>>
  /** Whether a small file may be missing: nobody named it. */
  guessed: boolean
  adapter?: Source
  integrity: { config?: string; weights?: string; tokenizer?: string }
}

type Small = keyof typeof SMALL

/** Small files by the raw face's names, and how a folder has them. */
const SMALL = {
  tokenizer: "tokenizer.json",
  vocab: "vocab.json",
  merges: "merges.txt",
  generationConfig: "generation_config.json",
  tokenizerConfig: "tokenizer_config.json",
  chatTemplate: "chat_template.jinja",
} as const
const [WEIGHTS, INDEX, CONFIG] = ["model.safetensors", "model.safetensors.index.json", "config.json"]

export interface Opening extends Omit<DownloadOptions, "integrity" | "onProgress"> {
  onProgress?: (progress: LoadProgress) => void
}

/** The files for the raw face, of which the large ones are kept but not read. */
export async function opened(model: AnyModel, options: Opening): Promise<RawFiles> {
  return raw(await sources(model, options), options, (weights, onProgress) =>
    held(weights, options, onProgress),
  )
}

/**
 * The same without a download of what is large: what stands in front of it comes from where it is kept, or from
 * the server.
 * @throws DownloadError where a server gives no parts of files
 */
export async function glimpsed(model: AnyModel, opening: Opening): Promise<RawFiles> {
  const options: DownloadOptions = { ...opening, onProgress: undefined }
  const { signal } = options
  return raw(await sources(model, opening), opening, async (source) => {
    const url = typeof source === "string" || source instanceof URL ? address(source) : undefined
    if (url === undefined || !/^https?:/.test(url))
      return ofBlob(await blobOf(source, options), nameOf(source), signal)
    const kept = options.cache ? await keptBlob(url, options) : undefined
    if (kept) return ofBlob(kept, nameOf(source), signal)
    const part = await ofAddress(url, signal)
    if (part) return part
    throw new NoPartsError(
      `${url}: its server gives no parts of files, or does not tell how long they are`,
      "load the model, or choose its file",
    )
  })
}

/** A server from which a file comes only as a whole. */
export class NoPartsError extends DownloadError {}

/** Whether it is one address, whose size nobody has seen. */
export function isElsewhere(model: AnyModel): boolean {
  const isAddress = (source: unknown) => typeof source === "string" || source instanceof URL
  return isAddress((model as Partial<GgufModel>).gguf) || isAddress((model as Partial<ModelFolder>).folder)
}

type Held = (source: Source, onProgress: DownloadOptions["onProgress"]) => Promise<RangeFile>

async function raw(sources: Sources, options: Opening, held: Held): Promise<RawFiles> {
  const files = await ofModel(sources, options, held)
  const { adapter } = sources
  if (adapter === undefined) return files
  // Small beside a model, so it comes as a whole also where one only looks.
  const blob = await blobOf(adapter, { ...options, onProgress: undefined })
  return { ...files, adapter: ofBlob(blob, nameOf(adapter, "the adapter"), options.signal) }
}

async function ofModel(sources: Sources, options: Opening, held: Held): Promise<RawFiles> {
  const progress = (before: number) => (done: number, total: number, cached: boolean) =>
    options.onProgress?.({ stage: "download", done: before + done, total: before + total, cached })
  if (sources.gguf !== undefined) return { gguf: await held(sources.gguf, progress(0)) }
  const { config, weights, small, guessed, integrity } = sources
  const files: Record<string, unknown> = { config }
  if (!isJson(config))
    files.config = await bytesOf(config as Source, {
      ...options,
      onProgress: undefined,
      integrity: integrity.config,
    })
  for (const [name, source] of Object.entries(small)) {
    // Lists of an older kind, for a model that has no other tokenizer.
    if ((name === "vocab" || name === "merges") && files.tokenizer !== undefined) continue
    const how = { ...options, onProgress: undefined, integrity: integrity[name as keyof typeof integrity] }
    files[name] = guessed ? await bytesIfThere(source, how) : await bytesOf(source, how)
  }
  if (integrity.weights !== undefined) {
    const how = { ...options, integrity: integrity.weights, onProgress: progress(0) }
    return { ...files, weights: await bytesOf(weights[0]!, how) }
  }
  const shards: RangeFile[] = []
  let before = 0
  for (const shard of weights) {
    shards.push(await held(shard, progress(before)))
    before += shards.at(-1)!.size
  }
  return { ...files, weights: shards }
}

async function held(
  source: Source,
  options: Opening,
  onProgress: DownloadOptions["onProgress"],
): Promise<RangeFile> {
  return ofBlob(await blobOf(source, { ...options, onProgress }), nameOf(source), options.signal)
}

/** What errors call a file. */
function nameOf(source: Source, otherwise = "the model file"): string {
  if (typeof source === "string" || source instanceof URL) {
    const path = new URL(address(source)).pathname
    return decodeURIComponent(path.slice(path.lastIndexOf("/") + 1)) || String(source)
  }
  return (source as Partial<File>).name || otherwise
}

/** Whether a configuration is one, not where it is. */
function isJson(config: unknown): boolean {
  return (
    typeof config === "object" &&
    !(config instanceof URL || config instanceof Uint8Array || config instanceof ArrayBuffer) &&
    !(globalThis.Blob !== undefined && config instanceof Blob)
  )
}

async function sources(model: AnyModel, options: Opening): Promise<Sources> {
  const some = { ...options, onProgress: undefined }
  const none = { weights: [], small: {}, guessed: false, integrity: {} }
  const { adapter } = model
  if ("gguf" in model) return { ...none, gguf: model.gguf, adapter }
  if ("folder" in model) return { ...(await ofFolder(model, some)), adapter }
  const { config, weights, integrity = {}, adapter: _, ...rest } = model
  const small = Object.fromEntries(Object.entries(rest).filter(([, source]) => source !== undefined))
  const list = Array.isArray(weights) ? weights : [weights]
  return { config, weights: list, small, guessed: false, integrity, adapter }
}

async function ofFolder({ folder }: ModelFolder, options: DownloadOptions): Promise<Sources> {
  const find = await finder(folder)
  const gguf = await find.only(".gguf")
  if (gguf) return { gguf, weights: [], small: {}, guessed: false, integrity: {} }
  const config = await find.file(CONFIG!)
  if (!config)
    throw new InputError(
      "the folder has no config.json",
      "give the folder of a model, with its config.json and model.safetensors, or a .gguf file",
    )
  const found = await Promise.all(
    Object.entries(SMALL).map(async ([name, file]) => [name, await find.file(file)] as const),
  )
  const small = Object.fromEntries(found.filter(([, source]) => source !== undefined))
  const base = { config, small, guessed: true, integrity: {} }
  const whole = await find.file(WEIGHTS!)
  if (whole && (await isThere(whole, options.signal))) return { ...base, weights: [whole] }
  const index = await find.file(INDEX!)
  const text = index && (await bytesIfThere(index, options))
  if (!text) throw new InputError(`the folder has no ${WEIGHTS}`, "choose all files of the model's folder")
  const weights: Source[] = []
  for (const name of shards(new TextDecoder().decode(text))) {
    const shard = await find.file(name)
    if (!shard)
      throw new InputError(`the folder has no ${name}, which ${INDEX} names`, "choose all of its files")
    weights.push(shard)
  }
  return { ...base, weights }
}

/** Whether a server has a file; where it does not tell, it may have it. */
async function isThere(source: Source, signal?: AbortSignal): Promise<boolean> {
  if (typeof source !== "string" && !(source instanceof URL)) return true
  const answer = await fetch(source, { method: "HEAD", signal }).catch(() => undefined)
  signal?.throwIfAborted()
  return ![404, 410].includes(answer?.status ?? 200)
}

/** The files that an index names. */
function shards(text: string): string[] {
  let map: unknown
  try {
    map = (JSON.parse(text) as { weight_map?: unknown }).weight_map
  } catch {
    map = undefined
  }
  const names = map && typeof map === "object" ? [...new Set(Object.values(map))] : []
  const good = names.every((name) => typeof name === "string" && /^[^/\\]+\.safetensors$/.test(name))
  if (names.length === 0 || !good)
    throw new InputError(`${INDEX}: it names no .safetensors files`, "the file is damaged; copy it again")
  return (names as string[]).sort()
}

interface Finder {
  /** A file of this name; of an address: where it would be. */
  file(name: string): Promise<Source | undefined>
  /** The only file that ends so, if there is one. */
  only(ending: string): Promise<Source | undefined>
}

async function finder(folder: ModelFolder["folder"]): Promise<Finder> {
  if (typeof folder === "string" || folder instanceof URL) {
    const base = address(folder).replace(/\/?$/, "/")
    return { file: async (name) => new URL(name, base).href, only: async () => undefined }
  }
  const files = new Map<string, File>()
  if ("values" in folder && "kind" in folder) {
    for await (const entry of folder.values())
      if (entry.kind === "file") files.set(entry.name, await (entry as FileSystemFileHandle).getFile())
  } else {
    for (const file of Array.from(folder)) files.set(file.name, file)
  }
  const ending = (end: string) => [...files.values()].filter((file) => file.name.toLowerCase().endsWith(end))
  return {
    file: async (name) => files.get(name),
    only: async (end) => (ending(end).length === 1 ? ending(end)[0] : undefined),
  }
}
