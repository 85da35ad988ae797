// The suites of the benchmark in this machine's Chromium, as the page runs them, one JSON object a line: how
// results of browsers are kept.
//   node web/test/results.mjs '{ "budget": 5, "most": 900 }' > chromium.jsonl        options as in
//   BenchOptions
import { launch, open, serveAll } from "./harness.mjs"

const options = { quick: true, ...JSON.parse(process.argv[2] ?? "{}") }
const { address, close } = await serveAll()
const browser = await launch()
const { page } = await open(browser, `${address}/test/blank.html`)
await page.exposeFunction("keepRow", (row) => process.stdout.write(`${JSON.stringify(row)}\n`))
await page.evaluate(async (options) => {
  const { Engine } = await import("/pkg/polysketch.js")
  const engine = await Engine.create({ backend: "gpu" })
  for await (const event of engine.bench(options))
    if (event.event === "row") await globalThis.keepRow(event.row)
}, options)
await browser.close()
close()
