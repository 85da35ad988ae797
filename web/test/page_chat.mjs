// Presses everything in the part Chat of the demo page: a folder's files, a drop and an address, a conversation,
// and what goes wrong.
import assert from "node:assert/strict"
import { readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { models } from "./harness.mjs"

const FOLDER = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"]

/** What was said, as it stands on the page. */
const said = (page) =>
  page.$$eval("#chat-log .turn", (turns) =>
    turns.map((turn) => [turn.classList[1], turn.querySelector(".words").textContent]),
  )

/** `at` is a visit, `files` a folder for files of the test's own. */
export async function chats(at, files) {
  const { page, text, shows, fails, idle } = at
  const ask = async (words) => {
    await page.fill("#chat-input", words)
    await page.press("#chat-input", "Enter")
  }
  const wrong = async (pattern) => {
    await page.waitForSelector("#chat-model-error:not([hidden])")
    assert.match(await text("chat-model-error"), pattern)
    await idle()
  }
  await page.click("#tab-chat")
  assert.equal(await page.getAttribute("#chat-log", "aria-live"), "polite")

  await ask("Is anybody there?")
  await fails("chat", /No model is open yet/)
  assert.deepEqual(await said(page), [])
  await page.click("#chat-load")
  await wrong(/There is no address/)
  await writeFile(join(files, "cut.gguf"), (await readFile(join(models, "gguf/llama-Q4_0.gguf"))).subarray(0, 30_000))
  await page.setInputFiles("#chat-file", join(files, "cut.gguf"))
  await wrong(/^Cut\.gguf|^cut\.gguf: tensor .* lies at bytes/)
  await page.setInputFiles("#chat-file", join(models, "templates.json"))
  await wrong(/no \.gguf file/)

  // A folder, as it is chosen.
  const [chooser] = await Promise.all([page.waitForEvent("filechooser"), page.click("#chat-open")])
  await chooser.setFiles(FOLDER.map((name) => join(models, "llama-hf", name)))
  await shows("chat-status", /is loaded/)
  assert.ok(await page.locator("#chat-model-error").isHidden())
  assert.match(await text("chat-shape"), /llama, 0\.1 million parameters/)
  assert.match(await text("chat-state-kind"), /cache for 4,096 tokens/)
  await page.click("text=How it answers")
  await page.fill("#chat-temperature", "0")
  await page.fill("#chat-max-tokens", "6")
  await ask("one two")
  await shows("chat-status", /^Read \d+ tokens/)
  const first = await said(page)
  assert.deepEqual(first[0], ["user", "one two"])
  assert.equal(first[1][0], "assistant")
  assert.ok(first[1][1].length > 0)
  const position = await at.number("chat-position")
  await page.fill("#chat-input", "three")
  await page.click("#chat-send")
  await page.waitForFunction(() => document.querySelectorAll("#chat-log .turn").length === 4)
  await shows("chat-status", /^Read \d+ tokens/)
  const read = Number(/^Read (\d+) tokens/.exec(await text("chat-status"))[1])
  assert.equal(await at.number("chat-position"), position + read + 6, "only what is new was read")
  assert.match(await text("chat-kept-name"), /cache/)
  await at.picture("chat")

  // Another conversation, told something before it; an answer that is stopped stays as far as it came.
  await page.click("#chat-new")
  assert.deepEqual(await said(page), [])
  await page.fill("#chat-system", "Be kind.")
  await page.fill("#chat-top-p", "0.9")
  await page.fill("#chat-seed", "7")
  await page.fill("#chat-temperature", "3")
  await page.fill("#chat-max-tokens", "")
  await ask("go on")
  await page.waitForFunction(() => document.querySelector(".turn.assistant .words")?.textContent.length > 3)
  await page.click("#chat-stop")
  await shows("chat-status", /^Stopped/)
  const stopped = await said(page)
  assert.equal(stopped.length, 2)
  await page.fill("#chat-max-tokens", "3")
  await ask("and then?")
  await shows("chat-status", /^Read \d+ tokens/)
  assert.deepEqual((await said(page)).slice(0, 2), stopped)
  await page.fill("#chat-temperature", "-1")
  await ask("wrong")
  await fails("chat", /Temperature.*must be/)
  await page.fill("#chat-temperature", "0")

  // By its address; a download that is cancelled leaves none.
  await page.selectOption("#chat-context", "1024")
  await page.route("**/slow.gguf", () => new Promise(() => {}))
  await page.fill("#chat-address", "/slow.gguf")
  await page.press("#chat-address", "Enter")
  await page.waitForSelector("#chat-loading:not([hidden])")
  await page.click("#chat-cancel")
  await shows("chat-status", /^Stopped/)
  assert.equal(await text("chat-model"), "none")
  await page.fill("#chat-address", "/public/gguf/llama-Q4_1_smol.gguf")
  await page.click("#chat-load")
  await shows("chat-status", /is loaded/)
  assert.match(await text("chat-state-kind"), /1,024 tokens/)
  assert.match(await text("chat-weights"), /q4/)
  await ask("hello")
  await shows("chat-status", /^Read \d+ tokens/)

  // Dropped.
  const bytes = (await readFile(join(models, "gguf/qwen3-Q4_1.gguf"))).toString("base64")
  const transfer = await page.evaluateHandle((bytes) => {
    const transfer = new DataTransfer()
    transfer.items.add(new File([Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0))], "qwen3-Q4_1.gguf"))
    return transfer
  }, bytes)
  await page.dispatchEvent("#chat-drop", "drop", { dataTransfer: transfer })
  await shows("chat-model", /qwen3/)
  await shows("chat-status", /is loaded/)
  assert.deepEqual(await said(page), [])

  // What was opened here reads there; its cache grows.
  await page.click("#tab-read")
  await page.selectOption("#read-model", "own")
  await shows("read-state-name", /^Key-value cache of this model/)
  assert.equal(await text("read-through"), "your model, qwen3-Q4_1.gguf")
  await page.fill("#read-text", "A text that another model reads.")
  await page.click("#read-paste")
  await shows("read-status", /^Read your text/)
  assert.match(await text("read-memory-words"), /softmax model/)
  assert.match(await text("read-cache-name"), /Reserved for 1,024 tokens/)
  await page.selectOption("#read-model", "builtin")
  await shows("read-state-name", /constant/)
  assert.match(await text("read-through"), /^the built-in model/)
}
