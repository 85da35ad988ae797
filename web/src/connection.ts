/** The way to the engine's end of the package: a worker, or the page itself where there can be none. */

import * as Comlink from "comlink"
import { ClosedError, EnvironmentError, fromPlain, InputError, type PlainError } from "./errors.js"
import type { Host, Remote } from "./host.js"
import { known } from "./options.js"
import { address, inServiceWorker } from "./places.js"
import type { InitOptions } from "./types.js"
import type { WasmSource } from "./wasm_file.js"

/**
 * The other end, and the promise that it is still there: it never resolves, and rejects when the end is
 * closed.
 */
export interface Connection {
  host: Remote<Host>
  lost: Promise<never>
  close: (reason: Error) => void
  /** Whether it is a worker; if one was to be and could not, why. */
  worker: boolean
  noWorker?: string
}

let settings: InitOptions = {}

/** Says how engines run from now on. @throws InputError */
export function configure(options: InitOptions) {
  const { worker, wasm } = known("init options", options)
  if (
    worker !== undefined &&
    typeof worker !== "boolean" &&
    typeof worker !== "string" &&
    !(worker instanceof URL)
  )
    throw new InputError(
      "init options: worker cannot be that",
      "give true, false, or the address of worker.js",
    )
  // What is wrong is told here, not when the first engine starts.
  if (typeof wasm === "string" || wasm instanceof URL) address(wasm)
  settings = options
}

export async function connect(): Promise<Connection> {
  const { worker, wasm } = settings
  const source = typeof wasm === "string" || wasm instanceof URL ? address(wasm) : wasm
  const demanded = worker !== undefined && worker !== false
  if (worker === false) return inPage(source)
  if (globalThis.Worker === undefined) {
    if (demanded)
      throw new EnvironmentError(
        "there are no Web Workers here",
        "leave out init's worker, or set it to false",
      )
    return inPage(source)
  }
  const failures: string[] = []
  for (const make of ways(typeof worker === "boolean" ? undefined : worker)) {
    try {
      return await inWorker(make, source)
    } catch (error) {
      if (!(error instanceof NoWorker)) throw error
      failures.push(error.message)
    }
  }
  const why = failures[0] ?? "it could not be loaded"
  if (demanded)
    throw new EnvironmentError(
      `the engine's worker could not be started: ${why}`,
      "init({ worker: false }) runs in the page; a Content-Security-Policy needs worker-src 'self' blob:",
    )
  return inPage(source, why)
}

/** A worker that never came to be; another way may lead there. */
class NoWorker extends Error {}

/** The ways to make the worker, the usual one first. */
function* ways(given?: string | URL): Generator<() => Worker> {
  const options = { type: "module", name: "polysketch" } as const
  if (given === undefined) {
    // Bundlers look for exactly this.
    yield () => new Worker(new URL("worker.js", import.meta.url), { type: "module", name: "polysketch" })
  } else {
    yield () => new Worker(address(given), options)
  }
  // Not one that a bundler should look for: this is the package as it is, from another origin.
  const name = "worker.js"
  const url = given === undefined ? new URL(name, import.meta.url).href : address(given)
  // A page that requires Trusted Types may allow ours by its name.
  yield () => new Worker(trusted(url), options)
  // A worker must be of the page's own origin; what it imports need not be.
  yield () => {
    const code = new Blob([`import ${JSON.stringify(url)}`], { type: "text/javascript" })
    const blob = URL.createObjectURL(code)
    // The worker has it after a moment, or never.
    setTimeout(() => URL.revokeObjectURL(blob), 60_000)
    return new Worker(trusted(blob), options)
  }
}

interface TrustedTypes {
  createPolicy(name: string, rules: object): { createScriptURL(url: string): string }
}

let policy: { createScriptURL(url: string): string } | undefined

function trusted(url: string): string {
  const types = (globalThis as { trustedTypes?: TrustedTypes }).trustedTypes
  if (!types) return url
  policy ??= types.createPolicy("polysketch", { createScriptURL: (url: string) => url })
  return policy.createScriptURL(url)
}

/** A promise that only ever rejects, and how. */
function loss(): { lost: Promise<never>; reject: (reason: Error) => void } {
  let reject!: (reason: Error) => void
  const lost = new Promise<never>((_, fail) => (reject = fail))
  // Whoever waits for something hears of it; if nobody waits, nobody is missing anything.
  lost.catch(() => undefined)
  return { lost, reject }
}

async function inWorker(make: () => Worker, wasm?: WasmSource): Promise<Connection> {
  const { lost, reject } = loss()
  let worker: Worker
  try {
    worker = make()
  } catch (error) {
    throw new NoWorker(error instanceof Error ? error.message : String(error))
  }
  let started = false
  const close = (reason: Error) => {
    worker.terminate()
    reject(reason)
  }
  worker.onerror = (event) => {
    event.preventDefault?.()
    const why = event.message || "it could not be loaded"
    close(
      started
        ? new ClosedError(`the engine's worker stopped: ${why}`, "create the engine again")
        : new NoWorker(why),
    )
  }
  const connection: Connection = { host: Comlink.wrap<Host>(worker), lost, close, worker: true }
  try {
    await ask(connection, connection.host.start(wasm))
  } catch (error) {
    worker.terminate()
    throw error
  }
  started = true
  return connection
}

async function inPage(wasm?: WasmSource, noWorker?: string): Promise<Connection> {
  const { lost, reject } = loss()
  const { host } = await import("./host.js").catch((error: unknown) => {
    const why = error instanceof Error ? error.message : String(error)
    throw inServiceWorker
      ? new EnvironmentError(
          "a service worker may not load the engine while it runs",
          "create the engine in a page, a worker, or (in an extension) an offscreen document",
        )
      : new EnvironmentError(
          `the engine could not be loaded: ${why}`,
          "check that all files of the package are there",
        )
  })
  const connection: Connection = { host, lost, close: reject, worker: false, noWorker }
  await ask(connection, connection.host.start(wasm))
  return connection
}

/** The answer of the other end, or its error as one of ours. */
export async function ask<T>(connection: Connection, answer: T | Promise<T>): Promise<Awaited<T>> {
  try {
    return await Promise.race([answer, connection.lost])
  } catch (error) {
    if (error instanceof DOMException && error.name === "DataCloneError")
      throw new InputError(`this cannot be given to the engine: ${error.message}`, "give plain data")
    throw error instanceof Error ? error : fromPlain(error as PlainError)
  }
}

/** For what is done on the way out, where nobody waits for an answer. */
export function quietly(answer: unknown) {
  Promise.resolve(answer).catch(() => undefined)
}

/** Something at the other end, until it is closed. */
export class Handle<H> {
  #closed = false

  constructor(
    readonly connection: Connection,
    private readonly host: Remote<H>,
    private readonly what: string,
  ) {}

  /** @throws ClosedError */
  check() {
    if (this.#closed) throw new ClosedError(`the ${this.what} was closed`, "create another one")
  }

  /** Asks it for something. @throws ClosedError */
  async ask<T>(question: (host: Remote<H>) => T | Promise<T>): Promise<Awaited<T>> {
    this.check()
    return this.last(question)
  }

  /** Asks it for something that began before it was closed. */
  last<T>(question: (host: Remote<H>) => T | Promise<T>): Promise<Awaited<T>> {
    return ask(this.connection, question(this.host))
  }

  /** Whether it was open until now. */
  close(): boolean {
    const open = !this.#closed
    this.#closed = true
    return open
  }
}

/** One after the other: a text's calls must not overlap. */
export class Queue {
  #last: Promise<unknown> = Promise.resolve()

  run<T>(work: () => Promise<T>): Promise<T> {
    const next = this.#last.then(work)
    this.#last = next.catch(() => undefined)
    return next
  }
}
