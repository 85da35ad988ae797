/**
 * A model of the visitor's: opened from files or an address, on the page's one engine, and again after a lost
 * device. No DOM here.
 */
import type { LoadProgress, Model, ModelInfo } from "polysketch"
import { isAbort } from "./abort.js"
import { epoch, getEngine, onDevice } from "./engine.js"
import type { Linear } from "./linear.js"

export interface Origin {
  name: string
  from: { gguf: File | string } | { folder: File[] | FileSystemDirectoryHandle }
  /** What makes it linear, if anything does. */
  linear?: Linear
  /** Tokens that a text may have, where the model has a cache. */
  maxContext: number
}

export interface Opening {
  signal?: AbortSignal
  /** What it is and needs, before it is loaded; not every server lets one look. */
  onPlan?: (plan: ModelInfo) => void
  onProgress?: (progress: LoadProgress) => void
}

let origin: Origin | undefined
let model: { of: Origin; loading: Promise<Model>; epoch: number } | undefined
const listeners = new Set<() => void>()

/** Called when another model is opened, or none is any more. */
export const onOwn = (listen: () => void) => listeners.add(listen)

/** What is opened. */
export const ownOrigin = () => origin

/** What it is called. */
export const titleOf = ({ name, linear }: Origin) => (linear ? `${name}, made linear` : name)

/** What the package takes. */
export const filesOf = ({ from, linear }: Origin) => ({ ...from, adapter: linear?.from })

/** Opens a model, in the place of the one before. */
export async function openOwn(of: Origin, opening: Opening): Promise<Model> {
  const engine = await getEngine()
  opening.signal?.throwIfAborted()
  const options = { maxContext: of.maxContext, signal: opening.signal }
  const isAddress = "gguf" in of.from && typeof of.from.gguf === "string"
  try {
    opening.onPlan?.(await engine.planModel(filesOf(of), options))
  } catch (error) {
    // A server that gives no parts of files: the model is known when it is here.
    if (!isAddress || isAbort(error) || (error as Error).name !== "DownloadError") throw error
  }
  // Two models seldom fit: the old one goes first.
  await closeOwn()
  const loaded = await load(of, opening)
  origin = of
  for (const listen of listeners) listen()
  return loaded
}

/** The opened model; loaded again if its device was lost. */
export async function getOwn(opening: Opening = {}): Promise<Model> {
  if (!origin) throw new Error("no model is open")
  return model?.of === origin && model.epoch === epoch() ? model.loading : load(origin, opening)
}

async function load(of: Origin, { signal, onProgress }: Opening): Promise<Model> {
  const engine = await getEngine()
  const loading = engine.loadModel(filesOf(of), onProgress, { maxContext: of.maxContext, signal })
  const mine = (model = { of, loading, epoch: epoch() })
  try {
    return await loading
  } catch (error) {
    if (model === mine) model = undefined
    throw error
  }
}

async function closeOwn() {
  const old = model
  model = origin = undefined
  const loaded = old?.epoch === epoch() ? await old.loading.catch(() => undefined) : undefined
  loaded?.close()
  if (old) for (const listen of listeners) listen()
}

onDevice((event) => {
  if (event.event === "lost") model = undefined
})
