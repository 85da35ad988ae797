// A softmax model made linear on the demo page: an adapter dropped beside it, chosen, taken away, and wrong
// ones; then the race of the two forms.
import assert from "node:assert/strict"
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { models } from "./harness.mjs"

const TEACHER = "llama-Q4_1_smol.gguf"
const ADAPTER = "llama-Q4_1_smol.adapter.safetensors"

/** `at` is a visit. */
export async function linears(at) {
  const { page, text, shows, idle } = at
  const file = (name) => join(models, "gguf", name)
  const wrong = async (pattern) => {
    await page.waitForFunction(
      (source) => new RegExp(source).test(document.getElementById("chat-model-error").textContent),
      pattern.source,
    )
    await idle()
  }
  const isLinear = async (yes) => {
    await shows("chat-status", yes ? /made linear is loaded/ : /gguf is loaded/)
    await idle()
    assert.match(await text("chat-state-kind"), yes ? /constant/ : /a cache for/)
    assert.equal(/made linear/.test(await text("chat-shape")), yes)
  }
  await page.click("#tab-chat")

  // Both dropped at once.
  const contents = await Promise.all([TEACHER, ADAPTER].map((name) => readFile(file(name))))
  const transfer = await page.evaluateHandle((files) => {
    const transfer = new DataTransfer()
    const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0))
    for (const [name, text] of files) transfer.items.add(new File([bytes(text)], name))
    return transfer
  }, [TEACHER, ADAPTER].map((name, i) => [name, contents[i].toString("base64")]))
  await page.dispatchEvent("#chat-drop", "drop", { dataTransfer: transfer })
  await isLinear(true)
  assert.equal(await page.inputValue("#chat-linear"), "file")
  assert.equal(await text("chat-adapter-name"), ADAPTER)
  await page.fill("#chat-input", "hello")
  await page.press("#chat-input", "Enter")
  await shows("chat-status", /^Read \d+ tokens/)
  assert.equal(await text("chat-kept-name"), "Its state, constant")
  await at.picture("chat-linear")

  // As its file has it; by the page's own adapter, which is for another model.
  await page.selectOption("#chat-linear", "")
  await isLinear(false)
  assert.ok(await page.locator("#chat-linear-words").isHidden())
  await page.selectOption("#chat-linear", "smollm2")
  await wrong(/dapter\.safetensors: is for 30 layers, the model has 2\. Give the file that it was made from/)
  assert.match(await text("chat-linear-words"), /Constant memory.*2,000 tokens.*For one file only/)
  assert.equal(await text("chat-model"), "none")

  // By a file: the one that was dropped, a wrong one, the right one, and one that is dropped alone.
  await page.selectOption("#chat-linear", "file")
  await isLinear(true)
  const choose = async (name) => {
    const [chooser] = await Promise.all([page.waitForEvent("filechooser"), page.click("#chat-adapter-open")])
    await chooser.setFiles(file(name))
  }
  await choose("llama-Q4_1_smol.golden.safetensors")
  await wrong(/golden\.safetensors: is no adapter/i)
  await choose(ADAPTER)
  await isLinear(true)
  await page.selectOption("#chat-linear", "")
  await isLinear(false)
  await page.setInputFiles("#chat-file", file(ADAPTER))
  await isLinear(true)

  // The race of the two.
  await page.click("#tab-race")
  await page.check("#race-of-models")
  assert.ok(await page.locator("#race-chart").isHidden())
  assert.match(await text("race-pair"), /llama-Q4_1_smol\.gguf, as its file has it, and made linear by llama-/)
  await page.selectOption("#race-tokens", "1024")
  await page.click("#race-start")
  await shows("race-status", /^Done on .*, 1,024 tokens\. Softmax stopped at 256\.$/)
  await idle()
  assert.equal(
    await text("race-models-stop"),
    "Softmax stopped at 256 tokens: the model was made for texts no longer than that.",
  )
  assert.match(await text("race-models-verdict"), /^At 256 tokens the linear form /)
  const rows = await page.$$eval("#race-models-table tbody tr", (lines) =>
    lines.map((line) => Array.from(line.cells, (cell) => cell.textContent)),
  )
  assert.deepEqual(rows.map(([position]) => position), ["256", "512", "1,024"])
  assert.ok(Number(rows[0][1].replaceAll(",", "")) > 0)
  assert.deepEqual(rows.map((row) => row[1]).slice(1), ["stopped", "stopped"])
  assert.equal(rows[0][3], await text("race-softmax-bytes"))
  assert.ok(rows.every((row) => Number(row[2].replaceAll(",", "")) > 0 && row[4] === rows[0][4]), String(rows))
  // 256 tokens of two layers with two heads of 16: keys and values in f32 are 128 KiB; a little is beside them.
  assert.equal(await text("race-softmax-bytes"), "129 KiB")
  assert.equal(await text("race-linear-bytes"), rows[0][4])
  await at.fits("race")
  await at.picture("race-models")
  await page.selectOption("#race-tokens", "65536")
  await page.click("#race-start")
  await at.beyond("race-position", 3000)
  await page.click("#race-stop")
  await shows("race-status", /^Stopped/)
  // What was raced is still open.
  await page.check("#race-of-attention")
  assert.ok(await page.locator("#race-models").isHidden())
  await page.click("#tab-chat")
  await page.fill("#chat-input", "and again")
  await page.press("#chat-input", "Enter")
  await shows("chat-status", /^Read \d+ tokens/)
}
