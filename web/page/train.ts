/** Train: a small model learns a synthetic task in the page. */
import { InputError, type Model, type Task, type Trained } from "polysketch"
import { Chart } from "./charts.js"
import { create, download, el, numberIn, oncePerFrame, onChange, onClick, setText, value } from "./dom.js"
import { epoch, getEngine } from "./engine.js"
import { count, percent, significant } from "./format.js"
import { disable, Part } from "./part.js"
import { Trace } from "./trace.js"

const VOCABULARY = 16
/** Things to remember: fewer than in the literature, to be learnt in a minute on a CPU. */
const ITEMS: Record<Task, number> = { induction: 1, copy: 2, mqar: 2 }
const WORDS: Record<Task, string> = {
  induction: "Token 0 occurs twice. The model must say, at the end, what followed it the first time.",
  copy: "Two tokens lie among noise, written as a dot. At the end, the model must repeat them in order.",
  mqar:
    "The sequence begins with pairs of a key and a value. " +
    "Later, each key is asked for once, and the model must give its value.",
}

/** What a sequence holds and what must be answered where; undefined: nothing is asked there. */
interface Example {
  tokens: number[]
  answers: (number | undefined)[]
  /** Places of what must be remembered, and of what asks for it. */
  facts: Set<number>
  cues: Set<number>
}

const below = (n: number) => Math.floor(Math.random() * n)

/** `wanted` different numbers below n, in no order. */
function draws(n: number, wanted: number): number[] {
  const all = Array.from({ length: n }, (_, i) => i)
  for (let i = 0; i < wanted; i++) {
    const j = i + below(n - i)
    ;[all[i], all[j]] = [all[j]!, all[i]!]
  }
  return all.slice(0, wanted)
}

/** A sequence as the training has them (src/train/tasks.rs), but drawn anew. */
export function example(task: Task, context: number): Example {
  const answers: (number | undefined)[] = new Array(context).fill(undefined)
  const [facts, cues] = [new Set<number>(), new Set<number>()]
  const items = ITEMS[task]
  let tokens: number[]
  if (task === "induction") {
    tokens = Array.from({ length: context }, () => 1 + below(VOCABULARY - 1))
    const [place, last] = [below(context - 2), context - 1]
    answers[last] = tokens[place + 1]!
    tokens[place] = tokens[last] = 0
    facts.add(place + 1)
    cues.add(place).add(last)
  } else if (task === "copy") {
    const read = context - items
    tokens = Array.from({ length: context }, (_, i) => (i < read ? 0 : 1))
    draws(read, items)
      .sort((a, b) => a - b)
      .forEach((place, i) => {
        answers[read + i] = tokens[place] = 2 + below(VOCABULARY - 2)
        facts.add(place)
        cues.add(read + i)
      })
  } else {
    const [first, asked] = [VOCABULARY / 2, 2 * items]
    tokens = Array.from({ length: context }, () => below(VOCABULARY))
    const [keys, values] = [draws(first - 1, items), draws(VOCABULARY - first, items)]
    const places = draws(Math.floor((context - asked) / 2), items)
    keys.forEach((k, i) => {
      const [key, answer, question] = [1 + k, first + values[i]!, asked + 2 * places[i]!]
      tokens[2 * i] = tokens[question] = key
      tokens[2 * i + 1] = answers[question] = answer
      facts.add(2 * i + 1)
      cues.add(2 * i).add(question)
    })
  }
  return { tokens, answers, facts, cues }
}

export function startTrain() {
  const part = new Part("train", "Train")
  let steps = 0
  const losses = new Trace(1)
  const accuracies = new Trace(1)
  const lossChart = new Chart(el("train-loss-chart"), {
    x: { label: "step", to: () => steps },
    y: { label: "loss, nats per answer", from: 0 },
    lines: [
      { label: "loss", colour: "--accent" },
      { label: "guessing", colour: "--base", width: 1, dash: [4, 4] },
    ],
  })
  const accuracyChart = new Chart(el("train-accuracy-chart"), {
    x: { label: "step", to: () => steps },
    y: {
      label: "answers that are right",
      from: 0,
      to: 1,
      axis: (v) => `${Math.round(v * 100)} %`,
      value: percent,
    },
    lines: [
      { label: "accuracy", colour: "--accent", width: 2.25, points: true },
      { label: "guessing", colour: "--base", width: 1, dash: [4, 4] },
    ],
  })
  let chance = 1 / (VOCABULARY - 1)
  let step = 0
  let now: { loss: number; speed: number; accuracy?: number } | undefined
  let trained: { task: Task; files: Trained } | undefined
  let asked: { model: Model; of: Trained; epoch: number } | undefined
  let shown: Example | undefined

  const task = () => value("train-task") as Task
  /** How many answers a guess has to choose from. */
  const choices = (kind: Task) =>
    kind === "induction" ? VOCABULARY - 1 : kind === "copy" ? VOCABULARY - 2 : VOCABULARY / 2

  const draw = oncePerFrame(() => {
    setText("train-step", count(step))
    setText("train-loss", now ? significant(now.loss) : "–")
    setText("train-accuracy", now?.accuracy === undefined ? "–" : percent(now.accuracy))
    setText("train-speed", now ? count(now.speed) : "–")
    lossChart.set(losses.x, [losses.lines[0]!, losses.x.map(() => Math.log(1 / chance))])
    accuracyChart.set(accuracies.x, [accuracies.lines[0]!, accuracies.x.map(() => chance)])
    for (const id of ["train-config", "train-weights"]) disable(el(id), !trained)
  })

  function showExample(said?: Map<number, number>) {
    if (!shown) return
    const { tokens, answers, facts, cues } = shown
    const name = (token: number) =>
      task() === "copy" && token < 2 ? (token === 0 ? "·" : "?") : String(token)
    const line = el("train-example")
    line.replaceChildren()
    tokens.forEach((token, i) => {
      line.append(
        create("span", { class: facts.has(i) ? "fact" : cues.has(i) ? "cue" : undefined }, name(token)),
      )
      const answer = answers[i]
      if (answer === undefined) return
      const given = said?.get(i)
      if (given === undefined) line.append(create("span", { class: "answer" }, `→ ${answer}`))
      else if (given === answer) line.append(create("span", { class: "right" }, `→ ${given}`))
      else line.append(create("span", { class: "wrong" }, `→ ${given}, not ${answer}`))
    })
  }

  function another() {
    try {
      part.clearError()
      setText("train-words", WORDS[task()])
      setText("train-answer", "")
      shown = example(task(), numberIn("train-context"))
      showExample()
    } catch (error) {
      part.fail(error)
    }
  }

  onClick("train-another", another)
  onChange("train-task", another)
  onChange("train-context", another)

  onClick("train-start", () =>
    part
      .run("training", async (signal) => {
        const kind = task()
        steps = numberIn("train-steps")
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
        losses.clear()
        accuracies.clear()
        chance = 1 / choices(kind)
        step = 0
        now = trained = undefined
        setText("train-of", `of ${count(steps)}`)
        draw()
        part.status("Getting ready.")
        const engine = await getEngine()
        const run = engine.train(options)
        part.status(`Training on ${engine.info.adapter}.`)
        let right: number | undefined
        let next = await run.next()
        for (; !next.done; next = await run.next()) {
          const { step: at, loss, tokensPerSecond, accuracy } = next.value
          // An evaluation may come as a row of its own, after the step.
          if (at !== step || accuracy === undefined) losses.add(at, loss)
          if (accuracy !== undefined) accuracies.add(at, (right = accuracy))
          step = at
          now = { loss, speed: tokensPerSecond, accuracy: right }
          draw()
        }
        trained = { task: kind, files: next.value }
        const answers = right === undefined ? "" : ` ${percent(right)} of held-out answers are right.`
        part.status(`Trained for ${count(step)} steps.${answers}`)
      })
      .then(draw),
  )

  onClick("train-ask", () =>
    part
      .run("asking the model", async () => {
        if (!trained) throw new InputError("there is no trained model", "train one first")
        if (trained.task !== task())
          throw new InputError(
            `the model learnt another task, “${trained.task}”`,
            "choose that task, or train again",
          )
        if (!shown) return
        if (asked?.of !== trained.files || asked.epoch !== epoch()) {
          const engine = await getEngine()
          asked = {
            model: await engine.loadModel({ config: trained.files.config, weights: trained.files.weights }),
            of: trained.files,
            epoch: epoch(),
          }
        }
        const { tokens, answers } = shown
        const logits = await asked.model.logits(Int32Array.from(tokens))
        const width = logits.length / tokens.length
        const said = new Map<number, number>()
        answers.forEach((answer, i) => {
          if (answer === undefined) return
          const row = logits.subarray(i * width, (i + 1) * width)
          said.set(
            i,
            row.reduce((best, v, j) => (v > row[best]! ? j : best), 0),
          )
        })
        showExample(said)
        const right = [...said].filter(([i, answer]) => answers[i] === answer).length
        setText("train-answer", `${right} of ${said.size} right.`)
      })
      .then(draw),
  )

  onClick(
    "train-config",
    () => trained && download("config.json", [trained.files.config], "application/json"),
  )
  onClick(
    "train-weights",
    () => trained && download("model.safetensors", [trained.files.weights as Uint8Array<ArrayBuffer>]),
  )
  another()
  draw()
}
