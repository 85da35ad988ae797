// Compiled against the package's types, never run: what a user's code looks like to TypeScript.
import init, {
  DeviceLostError,
  Engine,
  PolysketchError,
  type Generated,
  type Message,
  type TrainStep,
} from "../pkg/polysketch.js"

export async function use(book: string, weights: Uint8Array): Promise<string> {
  await init({ worker: true })
  const engine = await Engine.create({ backend: "auto" })
  const model = await engine.loadModel(
    { config: { vocab_size: 257 }, weights, integrity: { weights: "00" } },
    ({ stage, done, total }) => console.log(stage, done / total),
  )
  const session = await model.createSession()
  try {
    await session.read(book, {
      score: true,
      onProgress: ({ meanNll }) => console.log(meanNll?.toFixed(2)),
      signal: AbortSignal.timeout(1000),
    })
  } catch (error) {
    if (error instanceof DeviceLostError) return (error satisfies PolysketchError).advice ?? ""
    throw error
  }
  const logits: Float32Array = await model.logits(new Int32Array([1]))
  const steps: TrainStep[] = []
  for await (const step of engine.train({ task: "induction" })) steps.push(step)
  const stream = session.generate({ maxTokens: logits.length, stop: ["\n"] })
  let next = await stream.next()
  while (!next.done) next = await stream.next()
  const end: Generated = next.value
  const file: File = new File([], "model.gguf")
  const { memory, chat } = await engine.planModel({ gguf: file }, { maxContext: 4096 })
  const own = await engine.loadModel(chat ? { gguf: file } : { folder: [file] })
  const messages: Message[] = [{ role: "user", content: String(memory.weights) }]
  const answer = own.chat(messages, { temperature: 0, template: "{{ messages }}" })
  let said = await answer.next()
  while (!said.done) said = await answer.next()
  messages.push({ role: "assistant", content: said.value.text })
  // @ts-expect-error there is no such option
  model.generate("", { max_tokens: 3 })
  return end.text
}
