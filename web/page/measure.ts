/** A benchmark in a part of the page: its progress, and its rows as they come. */
import type { BenchOptions, BenchRow, EngineInfo } from "polysketch"
import { el, setText } from "./dom.js"
import { getEngine } from "./engine.js"
import type { Part } from "./part.js"

/** Measures; `#NAME-progress` and `#NAME-rows` show how far it is. Returns where it ran. */
export async function measure(
  part: Part,
  name: string,
  options: BenchOptions,
  onRow: (row: BenchRow) => void,
): Promise<EngineInfo> {
  const progress = el<HTMLProgressElement>(`${name}-progress`)
  progress.value = 0
  setText(`${name}-rows`, "")
  part.status("Measuring.")
  const engine = await getEngine()
  for await (const event of engine.bench(options)) {
    if (event.event === "started") {
      setText(`${name}-rows`, `${event.name}, ${event.index + 1} of ${event.of}`)
      progress.value = event.index / event.of
    } else {
      onRow(event.row)
    }
  }
  return engine.info
}
