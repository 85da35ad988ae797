// Runs the browser tests, one suite after the other, and fails if one of them did.
//   node web/test/all.mjs [SUITE…]        all of them without a name
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"

const SUITES = ["state", "golden", "package", "downloads", "gguf", "places", "page"]
const chosen = process.argv.length > 2 ? process.argv.slice(2) : SUITES
const unknown = chosen.find((name) => !SUITES.includes(name))
if (unknown !== undefined) {
  console.error(`error: there is no suite ${unknown}\nhelp: there are ${SUITES.join(", ")}`)
  process.exit(2)
}
for (const name of chosen) {
  console.log(`# ${name}`)
  const test = fileURLToPath(new URL(`${name}.test.mjs`, import.meta.url))
  if (spawnSync(process.execPath, [test], { stdio: "inherit" }).status !== 0) process.exitCode = 1
}
