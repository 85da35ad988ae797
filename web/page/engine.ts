/**
 * One engine and one built-in model for the whole page: started, loaded, switched, and started again after a
 * lost device.
 */
import init, {
  type Backend,
  ClosedError,
  DeviceLostError,
  Engine,
  type EngineInfo,
  type LoadProgress,
  type Model,
} from "polysketch"

export type DeviceEvent =
  | { event: "starting" }
  | { event: "started"; info: EngineInfo }
  | { event: "loading"; progress?: LoadProgress }
  | { event: "loaded"; model: Model }
  | { event: "failed"; error: unknown }
  | { event: "lost" }

let ready: Promise<void> | undefined
let engine: Promise<Engine> | undefined
let model: Promise<Model> | undefined
let backend: Backend = "auto"
let generation = 0

const listeners = new Set<(event: DeviceEvent) => void>()
const tell = (event: DeviceEvent) => listeners.forEach((listen) => listen(event))
const beforeSwitch = new Set<() => Promise<void>>()

/** What happens to engine and model. */
export const onDevice = (listen: (event: DeviceEvent) => void) => listeners.add(listen)

/** Called before the engine is replaced by one of another backend, while the old one still answers. */
export const onSwitch = (save: () => Promise<void>) => beforeSwitch.add(save)

/** Grows whenever sessions of before are dead. */
export const epoch = () => generation

async function create(wanted: Backend): Promise<Engine> {
  ready ??= init()
  try {
    await ready
  } catch (error) {
    ready = undefined // a failed download may be tried again
    throw error
  }
  return Engine.create({ backend: wanted })
}

/** The engine; created when first asked for, and again after it was lost. */
export function getEngine(): Promise<Engine> {
  if (engine) return engine
  tell({ event: "starting" })
  const created = create(backend)
  engine = created
  created.then(
    (made) => tell({ event: "started", info: made.info }),
    (error) => {
      if (engine === created) engine = undefined
      tell({ event: "failed", error })
    },
  )
  return created
}

/** The built-in model; loaded when first asked for. */
export function getModel(): Promise<Model> {
  if (model) return model
  const loading = load()
  model = loading
  loading.then(
    (loaded) => tell({ event: "loaded", model: loaded }),
    (error) => {
      if (model !== loading) return
      model = undefined
      tell({ event: "failed", error })
    },
  )
  return loading
}

async function load(): Promise<Model> {
  const from = await getEngine()
  tell({ event: "loading" })
  return from.loadBuiltIn((progress) => tell({ event: "loading", progress }))
}

/** The device, or the worker that drives it, is gone: sessions and models with it. */
export const isLost = (thrown: unknown) => thrown instanceof DeviceLostError || thrown instanceof ClosedError

/** Forgets a lost device; the next call of `getEngine` or `getModel` starts anew. */
export function forgetLost() {
  const old = engine
  engine = model = undefined
  generation++
  tell({ event: "lost" })
  // What is lost may well fail to close.
  void old?.then((lost) => lost.close()).catch(() => {})
}

/** Goes over to another backend. If there is none such, the old one stays and the error is thrown. */
export async function switchTo(wanted: Backend) {
  const old = engine
  const next = await create(wanted)
  for (const save of beforeSwitch) await save()
  backend = wanted
  engine = Promise.resolve(next)
  model = undefined
  generation++
  tell({ event: "started", info: next.info })
  void old?.then((before) => before.close()).catch(() => {})
  getModel().catch(() => {}) // the listeners are told
}

/** Sets the backend of the first start. */
export const startWith = (wanted: Backend) => (backend = wanted)

/** What to do about a missing GPU, for the browser at hand. */
export function browserAdvice(): string {
  if (!isSecureContext) return "WebGPU needs a secure address: open this page over https, or from localhost."
  const agent = navigator.userAgent
  const linux = /Linux/.test(agent) && !/Android/.test(agent)
  const version = (pattern: RegExp) => Number(pattern.exec(agent)?.[1])
  if (/Firefox\//.test(agent)) {
    if (version(/Firefox\/(\d+)/) < 141) return "Update Firefox: WebGPU is in version 141 and newer."
    return linux
      ? "In Firefox on Linux, set dom.webgpu.enabled in about:config, or use Chrome."
      : "See in about:support whether WebGPU is blocked for this graphics driver."
  }
  if (/Chrome\//.test(agent)) {
    if (version(/Chrome\/(\d+)/) < 113)
      return "Update the browser: WebGPU is in Chrome and Edge 113 and newer."
    const settings =
      "See in chrome://gpu whether WebGPU is hardware accelerated, " +
      "and switch on “Use graphics acceleration” in the settings."
    const flags =
      "On Linux, start it with --enable-unsafe-webgpu --enable-features=Vulkan, " +
      "or switch on chrome://flags/#enable-unsafe-webgpu."
    return linux ? `${settings} ${flags}` : settings
  }
  if (/Safari\//.test(agent)) return "Update to Safari 26, with macOS 26 or iOS 26: WebGPU is on there."
  return "Use Chrome or Edge 113, Safari 26, or Firefox 141, or newer."
}
