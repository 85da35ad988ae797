/** Read a book, what is seen: numbers, charts, the two bars of memory, the end of the text. */
import { Chart } from "./charts.js"
import { create, el, growing, oncePerFrame, setText } from "./dom.js"
import { bytes, count, significant } from "./format.js"
import { drawPicture } from "./memory_picture.js"
import { CONTEXT, type Reading } from "./reading.js"

export class ReadView {
  /** Shows the numbers as they are, once a frame. */
  readonly draw = oncePerFrame(() => this.drawNow())
  private readonly lossChart = new Chart(el("read-loss-chart"), {
    x: { label: "position, tokens" },
    y: { label: "loss, nats per token" },
    lines: [
      { label: "each call", colour: "--base", width: 1 },
      { label: "mean", colour: "--accent", width: 2.25 },
    ],
  })
  private readonly speedChart = new Chart(el("read-speed-chart"), {
    x: { label: "position, tokens" },
    y: { label: "tokens per second", from: 0, axis: (v) => count(v), value: count },
    lines: [{ label: "speed", colour: "--accent" }],
  })
  private readonly output = el("read-output")

  /** `running` tells whether this part is at work. */
  constructor(
    private readonly reading: Reading,
    private readonly running: () => boolean,
  ) {}

  private drawNow() {
    const { reading } = this
    const { text, fraction, meanLoss, loss, speed } = reading
    setText("read-position", count(reading.position))
    setText("read-speed", reading.tokensPerSecond ? significant(reading.tokensPerSecond) : "–")
    setText("read-loss", meanLoss === undefined ? "–" : meanLoss.toFixed(3))
    setText("read-perplexity", meanLoss === undefined ? "–" : significant(Math.exp(meanLoss)))
    el<HTMLProgressElement>("read-progress").value = fraction
    const done = text ? `${Math.floor(fraction * 100)} % of ${bytes(text.data.size)}` : ""
    setText("read-done", text ? [done, reading.timeLeft].filter(Boolean).join(", ") : "")
    el("read-resume").hidden = this.running() || !text || fraction >= 1
    if (reading.passing) this.showEnd(reading.passing)
    this.lossChart.set(loss.x, loss.lines)
    this.speedChart.set(speed.x, speed.lines)
    this.drawMemory()
  }

  private drawMemory() {
    const { sizes, position } = this.reading
    if (!sizes) return
    drawPicture("read", sizes, position)
  }

  /** The text so far: its end. */
  showTail() {
    this.showEnd(this.reading.tail)
  }

  private showEnd(text: string) {
    const words = text.length < CONTEXT ? text : `…${text}`
    this.output.replaceChildren(...(text ? [create("span", { class: "before" }, words)] : []))
    this.toEnd()
  }

  private toEnd() {
    this.output.scrollTop = this.output.scrollHeight
  }

  /** Begins a continuation after the text so far. Returns what adds to it, and draws once a frame. */
  continuation(): (text: string) => void {
    const { output } = this
    this.showTail()
    const written = create("span")
    output.append(written)
    this.toEnd()
    return growing(written, output, () => this.draw()).add
  }
}
