/** Errors, each with a cause to match on and, where there is something to do, one line of advice. */

/** The base of all errors of this package. `name` is the class. */
export class PolysketchError extends Error {
  /** What to do about it. */
  readonly advice?: string

  constructor(message: string, advice?: string, options?: ErrorOptions) {
    super(message, options)
    this.name = new.target.name
    this.advice = advice
  }
}

/** No WebGPU, or no adapter, or not the one that was asked for. */
export class WebGpuUnavailableError extends PolysketchError {}
/** The device was lost: a driver reset, a sleeping laptop, `destroy()`. Create the engine again. */
export class DeviceLostError extends PolysketchError {}
/** The device ran out of memory. */
export class OutOfMemoryError extends PolysketchError {}
/** The model needs more than this device's limits allow. */
export class LimitError extends PolysketchError {}
/** The driver or the browser refused something it should accept. */
export class DeviceError extends PolysketchError {}
/** A weight file is damaged, or its tensors do not fit the configuration. */
export class ModelFormatError extends PolysketchError {}
/** A value in `config.json` is missing or impossible. */
export class ConfigError extends PolysketchError {}
/** The tokenizer is damaged or does not fit the model. */
export class TokenizerError extends PolysketchError {}
/** A prompt, token id or option that cannot be used. */
export class InputError extends PolysketchError {}
/** A saved state that is damaged or belongs to another model. */
export class StateError extends PolysketchError {}
/** A loss or gradient that is not finite. */
export class NumericError extends PolysketchError {}
/** A download failed, or was cut short. */
export class DownloadError extends PolysketchError {}
/** A download is not the file it should be. */
export class IntegrityError extends PolysketchError {}
/** The page, the browser or Node does not allow what the engine needs: WebAssembly, a worker, a module. */
export class EnvironmentError extends PolysketchError {}
/** What was called was closed (an engine, a model, a session), or its worker died. */
export class ClosedError extends PolysketchError {}

/** The classes by the kind the engine names (`ErrorKind` in Rust). */
const BY_KIND: Record<
  string,
  new (message: string, advice?: string, options?: ErrorOptions) => PolysketchError
> = {
  Adapter: WebGpuUnavailableError,
  DeviceLost: DeviceLostError,
  OutOfMemory: OutOfMemoryError,
  Limit: LimitError,
  Device: DeviceError,
  ModelFormat: ModelFormatError,
  Config: ConfigError,
  Tokenizer: TokenizerError,
  Input: InputError,
  Io: InputError,
  Shape: InputError,
  State: StateError,
  Numeric: NumericError,
  Download: DownloadError,
  Integrity: IntegrityError,
  Environment: EnvironmentError,
  Closed: ClosedError,
}

/** An error as plain data: what crosses from a worker to the page. */
export interface PlainError {
  name: string
  message: string
  advice?: string
  stack?: string
}

/** What was thrown, as plain data. A cancelled call becomes an `AbortError`, as everywhere on the web. */
export function toPlain(thrown: unknown): PlainError {
  if (!(thrown instanceof Error)) return { name: "Error", message: String(thrown) }
  if (globalThis.WebAssembly !== undefined && thrown instanceof WebAssembly.RuntimeError)
    return {
      name: "Closed",
      message: `the engine broke down (${thrown.message})`,
      advice: "create it again; where memory is short, use a smaller model or a shorter text",
    }
  const kind = Object.entries(BY_KIND).find(([, type]) => thrown instanceof type)?.[0]
  const name = kind ?? (thrown.name === "Cancelled" ? "AbortError" : thrown.name)
  return { name, message: thrown.message, advice: (thrown as PolysketchError).advice, stack: thrown.stack }
}

/** The error that plain data stands for. */
export function fromPlain({ name, message, advice, stack }: PlainError): Error {
  const type = BY_KIND[name]
  if (type) return new type(message, advice)
  if (name === "AbortError") return new DOMException(message, name)
  const error = new Error(message)
  error.name = name
  error.stack = stack
  return error
}
