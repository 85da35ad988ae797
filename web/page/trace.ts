/** A curve while it grows. No DOM here. */

/** Points of a curve that grows without end: at most `most` are kept, by joining neighbours. */
export class Trace {
  readonly x: number[] = []
  readonly lines: number[][]
  private stride = 1
  private held = 0

  constructor(
    columns: number,
    private readonly most = 1200,
  ) {
    this.lines = Array.from({ length: columns }, () => [])
  }

  add(x: number, ...values: number[]) {
    const last = this.x.length - 1
    if (this.held > 0 && this.held < this.stride) {
      // Into the mean of the last point.
      this.held++
      this.x[last] = x
      this.lines.forEach((line, i) => (line[last] = line[last]! + (values[i]! - line[last]!) / this.held))
      return
    }
    this.held = 1
    this.x.push(x)
    this.lines.forEach((line, i) => line.push(values[i]!))
    if (this.x.length < this.most) return
    for (let i = 0; 2 * i + 1 < this.x.length; i++) {
      this.x[i] = this.x[2 * i + 1]!
      for (const line of this.lines) line[i] = (line[2 * i]! + line[2 * i + 1]!) / 2
    }
    const half = Math.floor(this.x.length / 2)
    this.x.length = half
    for (const line of this.lines) line.length = half
    this.stride *= 2
    this.held = this.stride
  }

  /** Forgets what lies beyond `x`. */
  cutAfter(x: number) {
    let length = this.x.length
    while (length > 0 && this.x[length - 1]! > x) length--
    if (length === this.x.length) return
    this.x.length = length
    for (const line of this.lines) line.length = length
    this.held = this.stride
  }

  clear() {
    this.x.length = 0
    for (const line of this.lines) line.length = 0
    this.stride = 1
    this.held = 0
  }
}
