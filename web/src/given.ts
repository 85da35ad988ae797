/** What a page gives to a model: texts, token ids, conversations. */

import { InputError } from "./errors.js"
import { shown } from "./options.js"
import type { Message } from "./types.js"

/** What must be a text. @throws InputError */
export function text(what: string, given: unknown): string {
  if (typeof given === "string") return given
  throw new InputError(`${what} is ${shown(given)}, a text is expected`, "give a string")
}

/** What must be token ids. @throws InputError */
export function ids(what: string, given: unknown): Int32Array {
  if (given instanceof Int32Array) return given
  const list =
    Array.isArray(given) || given instanceof Uint32Array ? Array.from(given as number[]) : undefined
  const bad = list?.find((id) => !Number.isInteger(id) || id < 0 || id >= 2 ** 31)
  if (list && bad === undefined) return Int32Array.from(list)
  const found = list ? `has ${shown(bad)}` : `is ${shown(given)}`
  throw new InputError(`${what} ${found}, token ids are expected`, "give the Int32Array that encode returns")
}

/** What must be a conversation. @throws InputError */
export function conversation(given: unknown): Message[] {
  const refuse = (found: string) =>
    new InputError(`messages ${found}`, 'give [{ role: "user", content: "…" }], the first message first')
  if (!Array.isArray(given)) throw refuse(`are ${shown(given)}, a list is expected`)
  return given.map((message: unknown, at) => {
    const { role, content } = (message ?? {}) as Record<string, unknown>
    if (typeof role !== "string") throw refuse(`${at}: its role is ${shown(role)}, a text is expected`)
    if (typeof content !== "string")
      throw refuse(`${at}: its content is ${shown(content)}, a text is expected`)
    return { role, content }
  })
}
