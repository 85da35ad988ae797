/** Train: a small model learns a synthetic task in the page. */
import { InputError, type Model, type Task, type Trained } from "polysketch"
import { Chart } from "./charts.js"
import { create, download, el, numberIn, oncePerFrame, onChange, onClick, setText, value } from "./dom.js"
import { epoch, getEngine } from "./engine.js"
import { answersOf, choices, type Example, example, ITEMS, nameOf, VOCABULARY, WORDS } from "./examples.js"
import { count, percent, significant } from "./format.js"
import { disable, Part } from "./part.js"
import { Trace } from "./trace.js"

export function startTrain() {
  new TrainPart().start()
}

const task = () => value("train-task") as Task
const GUESSING = { label: "guessing", colour: "--base", width: 1, dash: [4, 4] }

class TrainPart {
  private readonly part = new Part("train", "Train")
  private steps = 0
  private step = 0
  private chance = 1 / choices("induction")
  private now: { loss: number; speed: number; accuracy?: number } | undefined
  private readonly losses = new Trace(1)
  private readonly accuracies = new Trace(1)
  private trained: { task: Task; files: Trained } | undefined
  /** The trained model, loaded to be asked. */
  private asked: { model: Model; of: Trained; epoch: number } | undefined
  private shown: Example | undefined

  private readonly lossChart = new Chart(el("train-loss-chart"), {
    x: { label: "step", to: () => this.steps },
    y: { label: "loss, nats per answer", from: 0 },
    lines: [{ label: "loss", colour: "--accent" }, GUESSING],
  })
  private readonly accuracyChart = new Chart(el("train-accuracy-chart"), {
    x: { label: "step", to: () => this.steps },
    y: {
      label: "answers that are right",
      from: 0,
      to: 1,
      axis: (v) => `${Math.round(v * 100)} %`,
      value: percent,
    },
    lines: [{ label: "accuracy", colour: "--accent", width: 2.25, points: true }, GUESSING],
  })

  start() {
    const another = () => this.another()
    onClick("train-another", another)
    onChange("train-task", another)
    onChange("train-context", another)
    onClick("train-start", () => this.run("training", (signal) => this.train(signal)))
    onClick("train-ask", () => this.run("asking the model", () => this.ask()))
    onClick("train-config", () => {
      if (this.trained) download("config.json", [this.trained.files.config], "application/json")
    })
    onClick("train-weights", () => {
      if (!this.trained) return
      download("model.safetensors", [this.trained.files.weights as Uint8Array<ArrayBuffer>])
    })
    this.another()
    this.draw()
  }

  private async run(what: string, work: (signal: AbortSignal) => Promise<void>) {
    await this.part.run(what, work)
    this.draw()
  }

  private readonly draw = oncePerFrame(() => {
    const { now, losses, accuracies, chance } = this
    setText("train-step", count(this.step))
    setText("train-loss", now ? significant(now.loss) : "–")
    setText("train-accuracy", now?.accuracy === undefined ? "–" : percent(now.accuracy))
    setText("train-speed", now ? count(now.speed) : "–")
    this.lossChart.set(losses.x, [losses.lines[0]!, losses.x.map(() => Math.log(1 / chance))])
    this.accuracyChart.set(accuracies.x, [accuracies.lines[0]!, accuracies.x.map(() => chance)])
    for (const id of ["train-config", "train-weights"]) disable(el(id), !this.trained)
  })

  // An example
  // -------------------------------------------------------------------------------------------------------

  private another() {
    try {
      this.part.clearError()
      setText("train-words", WORDS[task()])
      setText("train-answer", "")
      this.shown = example(task(), numberIn("train-context"))
      showExample(this.shown)
    } catch (error) {
      this.part.fail(error)
    }
  }

  private async ask() {
    const { trained, shown } = this
    if (!trained) throw new InputError("there is no trained model", "train one first")
    if (trained.task !== task()) {
      const learnt = `the model learnt another task, “${trained.task}”`
      throw new InputError(learnt, "choose that task, or train again")
    }
    if (!shown) return
    const model = await this.load(trained.files)
    const said = answersOf(shown, await model.logits(Int32Array.from(shown.tokens)))
    showExample(shown, said)
    const right = [...said].filter(([i, answer]) => shown.answers[i] === answer).length
    setText("train-answer", `${right} of ${said.size} right.`)
  }

  /** The trained model; loaded anew when its device is gone. */
  private async load(of: Trained): Promise<Model> {
    if (this.asked?.of !== of || this.asked.epoch !== epoch()) {
      const engine = await getEngine()
      const model = await engine.loadModel({ config: of.config, weights: of.weights })
      this.asked = { model, of, epoch: epoch() }
    }
    return this.asked.model
  }

  // A run
  // -------------------------------------------------------------------------------------------------------

  private async train(signal: AbortSignal) {
    const kind = task()
    const steps = numberIn("train-steps")
    const options = {
      task: kind,
      items: ITEMS[kind],
      vocabulary: VOCABULARY,
      context: numberIn("train-context"),
      batch: numberIn("train-batch"),
      steps,
      lr: numberIn("train-lr"),
      seed: numberIn("train-seed"),
      evalEvery: Math.min(25, Math.max(10, Math.floor(steps / 20))),
      signal,
    }
    this.forget(kind, steps)
    this.part.status("Getting ready.")
    const engine = await getEngine()
    const run = engine.train(options)
    this.part.status(`Training on ${engine.info.adapter}.`)
    let right: number | undefined
    let next = await run.next()
    for (; !next.done; next = await run.next()) {
      const { step, loss, tokensPerSecond, accuracy } = next.value
      // An evaluation may come as a row of its own, after the step.
      if (step !== this.step || accuracy === undefined) this.losses.add(step, loss)
      if (accuracy !== undefined) this.accuracies.add(step, (right = accuracy))
      this.step = step
      this.now = { loss, speed: tokensPerSecond, accuracy: right }
      this.draw()
    }
    this.trained = { task: kind, files: next.value }
    const answers = right === undefined ? "" : ` ${percent(right)} of held-out answers are right.`
    this.part.status(`Trained for ${count(this.step)} steps.${answers}`)
  }

  /** An empty view, before a run. */
  private forget(kind: Task, steps: number) {
    this.steps = steps
    this.losses.clear()
    this.accuracies.clear()
    this.chance = 1 / choices(kind)
    this.step = 0
    this.now = this.trained = undefined
    setText("train-of", `of ${count(steps)}`)
    this.draw()
  }
}

/** A sequence, and behind what is asked for: the answer, or what was said. */
function showExample({ tokens, answers, facts, cues }: Example, said?: Map<number, number>) {
  const line = el("train-example")
  line.replaceChildren()
  tokens.forEach((token, i) => {
    const kind = facts.has(i) ? "fact" : cues.has(i) ? "cue" : undefined
    line.append(create("span", { class: kind }, nameOf(task(), token)))
    const answer = answers[i]
    if (answer === undefined) return
    const given = said?.get(i)
    if (given === undefined) line.append(create("span", { class: "answer" }, `→ ${answer}`))
    else if (given === answer) line.append(create("span", { class: "right" }, `→ ${given}`))
    else line.append(create("span", { class: "wrong" }, `→ ${given}, not ${answer}`))
  })
}
