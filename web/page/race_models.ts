/**
 * Race, two models on one text: the model opened under Chat as its file has it, and its linear form.
 * `course.ts` holds what they showed, `race_models_view.ts` shows it.
 */
import { type Engine, LimitError, type Model, type ModelInfo, OutOfMemoryError } from "polysketch"
import { abortable } from "./abort.js"
import { Course, type Name, RUNNERS, type Runner } from "./course.js"
import { el, numberIn, setText } from "./dom.js"
import { getEngine } from "./engine.js"
import { count } from "./format.js"
import type { LinearChoice } from "./linear.js"
import { filesOf, onOwn, type Origin, ownOrigin } from "./own_model.js"
import type { Part } from "./part.js"
import { RaceModelsView } from "./race_models_view.js"
import { bundledNovel, piece } from "./text.js"

/** Fewer tokens of a cache are no race. */
const LEAST = 1024

export class RaceModels {
  private readonly view = new RaceModelsView()

  constructor(
    private readonly part: Part,
    private readonly linear: LinearChoice,
  ) {
    onOwn(() => this.tellPair())
    this.tellPair()
    this.view.draw()
  }

  /** Who would run. */
  private tellPair() {
    const origin = ownOrigin()
    const words = origin
      ? `${origin.name}, as its file has it, and made linear by ${this.linearOf(origin).name}.`
      : "A softmax model that is opened under Chat, and its linear form. None is open yet."
    setText("race-pair", words)
  }

  private linearOf(origin: Origin) {
    return origin.linear ?? this.linear.offered
  }

  async run(signal: AbortSignal) {
    const given = ownOrigin()
    if (!given) throw new TypeError("no model is open yet: open one under Chat first")
    const wanted = numberIn("race-tokens")
    const engine = await abortable(getEngine(), signal)
    this.part.status("Loading the two models.")
    const softmax: Origin = { ...given, linear: undefined }
    const fits = await mostContext(engine, softmax, wanted, signal)
    const models: Model[] = []
    const close = () => models.splice(0).forEach((model) => model.close())
    try {
      const load = async (name: Name, origin: Origin, maxContext: number) => {
        const model = await engine.loadModel(
          filesOf(origin),
          ({ done, total }) => this.progress(`Loading the ${name} one`, done, total),
          { maxContext, signal },
        )
        models.push(model)
        return model
      }
      const teacher = await load("softmax", softmax, fits)
      const student = await load("linear", { ...given, linear: this.linearOf(given) }, fits)
      const made = madeFor(teacher.info) ?? wanted
      const ids = await novel(teacher, wanted)
      const runners = {
        softmax: await runner(teacher, Math.min(made, fits)),
        linear: await runner(student, Infinity),
      }
      await this.race(runners, ids, signal, made <= fits ? "made" : "fits")
    } finally {
      close()
    }
    const stopped = this.view.course?.stopped
    const words = stopped === undefined ? "" : ` Softmax stopped at ${count(stopped)}.`
    this.part.status(`Done on ${engine.info.adapter}, ${count(this.view.course!.position)} tokens.${words}`)
  }

  private async race(
    runners: Record<Name, Runner>,
    ids: Int32Array,
    signal: AbortSignal,
    why: "made" | "fits",
  ) {
    const course = new Course(ids.length)
    this.view.begin(course, why)
    this.part.status("Both read the same text, in turns.")
    try {
      await course.run(runners, ids, {
        signal,
        changed: (running) => {
          const who = running === "softmax" ? "softmax reads" : "the linear form reads"
          const words = `${count(course.position)} of ${count(ids.length)} tokens, ${who}`
          this.progress(words, course.position, ids.length)
          this.view.draw()
        },
      })
      setText("race-rows", `${count(ids.length)} tokens`)
    } finally {
      for (const name of RUNNERS) runners[name].session.close()
    }
  }

  private progress(words: string, done: number, total: number) {
    el<HTMLProgressElement>("race-progress").value = total > 0 ? done / total : 0
    setText("race-rows", words)
  }
}

async function runner(model: Model, most: number): Promise<Runner> {
  return { model, session: await model.createSession(), most }
}

/** Tokens of the longest text that a model was made for, where it says so. */
function madeFor({ config }: ModelInfo): number | undefined {
  const names = ["max_position_embeddings", "n_positions", "n_ctx"]
  return names.map((name) => config[name]).find((n) => typeof n === "number")
}

/** Tokens that a cache can be reserved for here: as many as wanted, or half of it, or a quarter. */
async function mostContext(
  engine: Engine,
  origin: Origin,
  wanted: number,
  signal: AbortSignal,
): Promise<number> {
  for (let maxContext = wanted; ; maxContext /= 2) {
    try {
      await engine.planModel(filesOf(origin), { maxContext, signal })
      return maxContext
    } catch (error) {
      const large = error instanceof LimitError || error instanceof OutOfMemoryError
      // A server that gives no parts of files: loading tells.
      if ((error as Error).name === "DownloadError") return maxContext
      if (!large || maxContext / 2 < LEAST) throw error
    }
  }
}

/** The first tokens of the novel beside this page. */
async function novel(model: Model, most: number): Promise<Int32Array> {
  const text = await bundledNovel()
  const ids: number[] = []
  for (let from = 0; from < text.data.size && ids.length < most;) {
    const here = await piece(text, from)
    for (const id of await model.encode(here.text)) ids.push(id)
    from = here.next
  }
  return Int32Array.from(ids.slice(0, most))
}
