/** Inside, the state: what the heads of a layer remember, and what the last step changed. No DOM here. */
import type { HeadState, Session } from "polysketch"

export class Heads {
  states: HeadState[] = []
  /** Now less before; none where there is nothing to compare with. */
  changes: HeadState[] | undefined

  /** Looks at a layer; `compare` tells whether what was seen before is of the same text. */
  async look(session: Session, layer: number, compare: boolean) {
    const before = this.states
    const states = (this.states = await session.headStates(layer))
    const same = before.length === states.length && before.every((head, i) => head.layer === states[i]!.layer)
    this.changes =
      compare && same
        ? states.map((head, i) => ({ ...head, values: difference(head.values, before[i]!.values) }))
        : undefined
  }

  forget() {
    this.states = []
  }

  get bytes(): number {
    return this.states.reduce((sum, { values }) => sum + values.byteLength, 0)
  }

  /** Norm of the change over the norm of the state. */
  get changed(): number | undefined {
    const size = norm(this.states)
    return this.changes && size > 0 ? norm(this.changes) / size : undefined
  }
}

const difference = (a: Float32Array, b: Float32Array) => a.map((v, i) => v - b[i]!)

function norm(heads: HeadState[]): number {
  return Math.sqrt(heads.reduce((sum, { values }) => values.reduce((s, v) => s + v * v, sum), 0))
}
