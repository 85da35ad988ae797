// Reading and writing in the page against the native program on the same software GPU, in turns: rows of the
// suite `model`, checked as always.
//   POLYSKETCH=target/release/polysketch node web/test/speed.mjs [ROUNDS]
// Natively, SwiftShader must be among the adapters (VK_ADD_DRIVER_FILES=…/vk_swiftshader_icd.json).
import { execFileSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { launch, open, serveAll } from "./harness.mjs"

const rounds = Number(process.argv[2] ?? 3)
const native = process.env.POLYSKETCH ?? "target/release/polysketch"

/** Tokens a second by what is measured. */
const rates = (rows) => {
  const timed = rows.filter((row) => ["prefill", "decode"].includes(row.name) && row.statistics)
  return Object.fromEntries(
    timed.map((row) => [`${row.name} at ${row.workload.depth ?? 0}`, row.derived.tokens_per_second]),
  )
}

function natively() {
  const folder = mkdtempSync(join(tmpdir(), "polysketch-"))
  try {
    const out = join(folder, "rows.jsonl")
    execFileSync(native, ["bench", "model", "--quick", "--adapter", "swiftshader", "--out", out, "--quiet"], {
      stdio: ["ignore", "ignore", "inherit"],
    })
    return rates(
      readFileSync(out, "utf8")
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line)),
    )
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const { address, close } = await serveAll()
const browser = await launch()
async function inPage() {
  const { page } = await open(browser, `${address}/test/blank.html`)
  const rows = await page.evaluate(async () => {
    const { Engine } = await import("/pkg/polysketch.js")
    const engine = await Engine.create({ backend: "gpu" })
    const rows = []
    for await (const event of engine.bench({ suites: ["model"], quick: true }))
      if (event.event === "row") rows.push(event.row)
    return rows
  })
  await page.close()
  return rates(rows)
}

const median = (numbers) => numbers.toSorted((a, b) => a - b)[numbers.length >> 1]
const pairs = []
for (let round = 0; round < rounds; round++) pairs.push([natively(), await inPage()])
for (const name of Object.keys(pairs[0][0])) {
  // A row that took longer than its budget has no time.
  if (pairs.some((pair) => pair.some((side) => side[name] === undefined))) {
    console.log(`${name}: not in every round`)
    continue
  }
  const ratios = pairs.map(([there, here]) => here[name] / there[name])
  const [there, here] = [0, 1].map((side) => median(pairs.map((pair) => pair[side][name])))
  const each = ratios.map((r) => r.toFixed(2)).join(", ")
  const rates = `native ${there.toFixed(1)} tokens/s, page ${here.toFixed(1)}`
  console.log(`${name}: ${rates}, ratio ${median(ratios).toFixed(2)} (${each})`)
}
await browser.close()
close()
