/** Train, the tasks: what they ask, and examples of them. No DOM here. */
import type { Task } from "polysketch"

export const VOCABULARY = 16
/** Things to remember: fewer than in the literature, to be learnt in a minute on a CPU. */
export const ITEMS: Record<Task, number> = { induction: 1, copy: 2, mqar: 2 }
export const WORDS: Record<Task, string> = {
  induction: "Token 0 occurs twice. The model must say, at the end, what followed it the first time.",
  copy: "Two tokens lie among noise, written as a dot. At the end, the model must repeat them in order.",
  mqar:
    "The sequence begins with pairs of a key and a value. " +
    "Later, each key is asked for once, and the model must give its value.",
}

/** How many answers a guess has to choose from. */
export function choices(task: Task): number {
  if (task === "induction") return VOCABULARY - 1
  return task === "copy" ? VOCABULARY - 2 : VOCABULARY / 2
}

/** What stands for a token. */
export function nameOf(task: Task, token: number): string {
  if (task !== "copy" || token > 1) return String(token)
  return token === 0 ? "·" : "?"
}

/** What a sequence holds and what must be answered where; undefined: nothing is asked there. */
export interface Example {
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

/** What a model says where something is asked: the likeliest tokens, by place. */
export function answersOf({ tokens, answers }: Example, logits: Float32Array): Map<number, number> {
  const width = logits.length / tokens.length
  const said = new Map<number, number>()
  answers.forEach((answer, i) => {
    if (answer === undefined) return
    const row = logits.subarray(i * width, (i + 1) * width)
    const likeliest = row.reduce((best, v, j) => (v > row[best]! ? j : best), 0)
    said.set(i, likeliest)
  })
  return said
}
