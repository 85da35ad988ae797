// Presses everything on the demo page, in Chromium on SwiftShader and once without WebGPU, and keeps pictures
// in test/screenshots.
//   node test/page.test.mjs        serves ../site; SITE=FOLDER another one, ONLY=WORDS only tests whose name
//   has them
import assert from "node:assert/strict"
import { existsSync } from "node:fs"
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { serve } from "../serve.mjs"
import { launch, models, Tests } from "./harness.mjs"
import { chats } from "./page_chat.mjs"
import { linears } from "./page_linear.mjs"

const site = process.env.SITE ?? fileURLToPath(new URL("../site", import.meta.url))
const pictures = fileURLToPath(new URL("screenshots", import.meta.url))
const PARTS = ["read", "chat", "race", "benchmark", "train", "inside"]
/** For one step of a part: SwiftShader on a busy machine is slow. */
const PATIENCE = 120_000

const tests = new Tests()
const test = (name, body) => tests.run(name, body)

/** A page, what its console complained about, and short words for what a visitor does and sees. */
async function visit(query, options = {}, at = browser) {
  const context = await at.newContext({
    viewport: { width: 1280, height: 900 },
    permissions: ["clipboard-read", "clipboard-write"],
    ...options,
  })
  const page = await context.newPage()
  page.setDefaultTimeout(PATIENCE)
  const complaints = []
  page.on(
    "console",
    (message) => ["error", "warning"].includes(message.type()) && complaints.push(message.text()),
  )
  page.on("pageerror", (error) => complaints.push(String(error)))
  page.on("request", (request) => {
    const url = new URL(request.url())
    if (["http:", "https:"].includes(url.protocol) && url.origin !== address)
      complaints.push(`a request to ${url.origin}`)
  })
  await page.addInitScript(() => {
    globalThis.pressed = new Set()
    const note = (event) => pressed.add(event.target.closest?.("[id]")?.id)
    for (const kind of ["click", "change", "input"]) document.addEventListener(kind, note, { capture: true })
  })
  await page.goto(`${address}/${query}`)
  /**
   * What a visitor sees: the parts draw once a frame, so a line may already say what the numbers show a frame
   * later.
   */
  const text = async (id) => {
    await page.evaluate(() => new Promise((drawn) => requestAnimationFrame(drawn)))
    return page.locator(`#${id}`).textContent()
  }
  const number = async (id) => Number((await text(id)).replaceAll(",", ""))
  /** Until the text of an element matches; an error in the part is told rather than waited out. */
  const shows = async (id, pattern) => {
    const part = id.split("-")[0]
    const outcome = await page
      .waitForFunction(
        ([id, part, source]) => {
          const error = document.getElementById(`${part}-error`)
          if (new RegExp(source).test(document.getElementById(id).textContent)) return "yes"
          return error && !error.hidden && id !== error.id ? error.textContent : false
        },
        [id, part, pattern.source],
      )
      .catch(async () => assert.fail(`#${id} shows “${await text(id)}”, not ${pattern}`))
    const said = await outcome.jsonValue()
    assert.equal(said, "yes", `#${id}: ${said}`)
  }
  const idle = () => page.waitForFunction(() => document.getElementById("activity").hidden)
  const fails = async (part, pattern) => {
    await page.waitForSelector(`#${part}-error:not([hidden])`)
    assert.match(await text(`${part}-error`), pattern)
    await idle()
  }
  const beyond = (id, least) =>
    page.waitForFunction(
      ([id, least]) => Number(document.getElementById(id).textContent.replaceAll(",", "")) > least,
      [id, least],
    )
  const fits = async (part) => {
    const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
    assert.ok(over <= 0, `${part} is ${over} px wider than the screen`)
  }
  const picture = async (name) => {
    await page.evaluate(() => scrollTo(0, 0))
    await page.waitForTimeout(150)
    await page.screenshot({ path: join(pictures, `${name}.png`), fullPage: true })
  }
  const downloads = async (id) => {
    const [file] = await Promise.all([page.waitForEvent("download"), page.click(id)])
    const path = join(files, file.suggestedFilename())
    await file.saveAs(path)
    return { name: file.suggestedFilename(), path, bytes: await readFile(path) }
  }
  const ready = () =>
    page.waitForFunction(() => / parameters/.test(document.getElementById("model-line").textContent))
  /** Controls that nothing has touched so far on this page. */
  const untouched = () =>
    page.$$eval("button[id], input[id], select[id], textarea[id]", (all) =>
      all.map((e) => e.id).filter((id) => !pressed.has(id)),
    )
  const off = (id) =>
    page
      .locator(`#${id}`)
      .getAttribute("aria-disabled")
      .then((value) => value === "true")
  return {
    page,
    complaints,
    text,
    number,
    shows,
    idle,
    fails,
    beyond,
    fits,
    picture,
    downloads,
    ready,
    untouched,
    off,
    close: () => context.close(),
  }
}

await rm(pictures, { recursive: true, force: true })
await mkdir(pictures, { recursive: true })
const files = await mkdtemp(join(tmpdir(), "polysketch-page-"))
const { address, close } = await serve({ "/": site, "/public/": models })
const browser = await launch()
const without = await launch({ webgpu: false })

try {
  const gpu = await visit("?backend=gpu", { colorScheme: "light" })
  const { page, text, number, shows, idle, fails, beyond, picture, downloads, off } = gpu

  await test("starts on the GPU, tabs by keyboard", async () => {
    await gpu.ready()
    assert.match(await text("adapter-kind"), /WebGPU/)
    assert.ok(await page.locator("#banner").isHidden())
    await page.focus("#tab-read")
    const chosen = () => page.evaluate(() => document.activeElement.id)
    for (const [key, tab] of [
      ["ArrowRight", "chat"],
      ["ArrowRight", "race"],
      ["End", "inside"],
      ["ArrowRight", "read"],
      ["ArrowLeft", "inside"],
      ["Home", "read"],
    ]) {
      await page.keyboard.press(key)
      assert.equal(await chosen(), `tab-${tab}`)
      assert.deepEqual(
        await page.$$eval("[role=tabpanel]:not([hidden])", (panels) => panels.map((panel) => panel.id)),
        [tab],
      )
    }
    return text("adapter-name")
  })

  await test("every control has a name", async () => {
    const nameless = await page.$$eval("button, input, select, textarea, [role=img], progress", (all) =>
      all
        .filter(
          (e) =>
            !(
              e.getAttribute("aria-label") ||
              e.getAttribute("aria-labelledby") ||
              e.labels?.length ||
              e.textContent.trim()
            ),
        )
        .map((e) => e.id || e.outerHTML.slice(0, 80)),
    )
    assert.deepEqual(nameless, [])
    const ids = await page.$$eval("[id]", (all) => all.map((e) => e.id))
    assert.equal(new Set(ids).size, ids.length, "an id occurs twice")
  })

  await test("read: novel, stop, read on", async () => {
    await page.click("#read-novel")
    await beyond("read-position", 100)
    assert.ok(await off("read-novel"), "a second run can be started")
    await page.click("#read-novel", { force: true })
    assert.ok((await number("read-loss")) > 0)
    await page.click("#read-stop")
    await shows("read-status", /^Stopped/)
    const stopped = await number("read-position")
    await page.click("#read-resume")
    await beyond("read-position", stopped)
    await page.click("#read-stop")
    await idle()
    assert.match(await text("read-state-bytes"), /iB/)
    assert.match(await text("read-memory-words"), /softmax/)
    const where = `position ${await text("read-position")}, loss ${await text("read-loss")}`
    return `${where}, ${await text("read-speed")} tokens/s`
  })

  let saved
  /** What this page leaves to the one without WebGPU, which is faster. */
  let untouched = []
  await test("read: write, stop, save and load the state", async () => {
    const before = await number("read-position")
    assert.ok(before > 0)
    saved = await downloads("#read-save")
    assert.equal(saved.name, `polysketch-${before}.state`)
    await page.fill("#read-max-tokens", "12")
    const clicked = Date.now()
    await page.click("#read-write")
    await page.waitForFunction(
      () => document.querySelector("#read-output span:last-child:not(.before)")?.textContent.length > 0,
    )
    const first = Date.now() - clicked
    await shows("read-status", /^Wrote 12 tokens/)
    const written = () => page.$eval("#read-output span:last-child", (span) => span.textContent)
    const once = await written()
    await picture("read-light")
    // The same state and seed write the same text.
    await page.setInputFiles("#read-state", saved.path)
    await shows("read-status", /^Loaded/)
    assert.equal(await number("read-position"), before)
    await page.click("#read-write")
    await shows("read-status", /^Wrote 12 tokens/)
    assert.equal(await written(), once)
    await page.fill("#read-temperature", "9")
    await page.click("#read-write")
    await fails("read", /Temperature.*must be/)
    await page.fill("#read-temperature", "0.8")
    return `first text after ${first} ms`
  })

  await test("read: paste, file, drop, and what is no text or no state", async () => {
    await page.click("#read-paste")
    await fails("read", /There is no text/)
    await page.fill(
      "#read-text",
      "It was the best of times, it was the worst of times, and nobody in the village knew why.",
    )
    await page.click("#read-paste")
    await shows("read-status", /^Read your text/)
    const once = await number("read-position")
    await page.check("#read-append")
    await page.click("#read-paste")
    await page.waitForFunction(
      (once) => Number(document.getElementById("read-position").textContent) > 1.8 * once,
      once,
    )
    await idle()
    await page.uncheck("#read-append")
    await page.setInputFiles("#read-file", {
      name: "a.txt",
      mimeType: "text/plain",
      buffer: Buffer.from("A short chapter.\r\nAnd its second line.\r\n"),
    })
    await shows("read-status", /^Read “a.txt”/)
    await page.setInputFiles("#read-file", {
      name: "b.bin",
      mimeType: "text/plain",
      buffer: Buffer.from([0, 1, 2, 3]),
    })
    await fails("read", /is not a text/)
    for (const name of ["read-open", "read-load"]) {
      const [chooser] = await Promise.all([page.waitForEvent("filechooser"), page.click(`#${name}`)])
      assert.ok(!chooser.isMultiple())
    }
    const dropped = await page.evaluateHandle(() => {
      const data = new DataTransfer()
      data.items.add(
        new File(["Dropped words are read like any others."], "dropped.txt", { type: "text/plain" }),
      )
      return data
    })
    await page.dispatchEvent("#read-drop", "dragover", { dataTransfer: dropped })
    await page.dispatchEvent("#read-drop", "drop", { dataTransfer: dropped })
    await shows("read-status", /^Read “dropped.txt”/)
    await page.setInputFiles("#read-state", {
      name: "bad.state",
      mimeType: "application/octet-stream",
      buffer: Buffer.from("no state"),
    })
    await fails("read", /\S\. \S/)
    await page.click("#read-reset")
    await shows("read-status", /forgotten/)
    assert.equal(await number("read-position"), 0)
    await page.click("#read-write")
    await fails("read", /Nothing has been read yet/)
    await page.click("#read-save")
    await fails("read", /no state yet/)
  })

  await test("read: a lost device", async () => {
    await page.click("#read-novel")
    await beyond("read-position", 100)
    await page.click("#read-lose")
    await shows("read-status", /lost at position [\d,]+\. It runs again/)
    const back = await number("read-position")
    await beyond("read-position", back)
    await page.click("#read-stop")
    await idle()
  })

  await test("race", async () => {
    // Shaders that compile meanwhile would take the race's time.
    await gpu.ready()
    await page.click("#tab-race")
    await page.selectOption("#race-longest", "1024")
    await page.fill("#race-budget", "0.5")
    await page.click("#race-start")
    await shows("race-status", /^Done/)
    assert.deepEqual(await page.$$eval("#race-table tbody th", (cells) => cells.map((c) => c.textContent)), [
      "512",
      "1,024",
    ])
    assert.match(await text("race-verdict"), /times as fast/)
    // A row may be too slow for its budget here, but none may be wrong.
    assert.doesNotMatch(await text("race-table"), /wrong/)
    await picture("race-light")
    await page.check("#race-pass-both")
    assert.equal(await page.locator("#race-table tbody tr").count(), 2)
    await page.check("#race-pass-forward")
    await page.check("#race-of-models")
    await page.click("#race-start")
    await fails("race", /No model is open yet: open one under Chat first/)
    await page.check("#race-of-attention")
    return text("race-verdict")
  })

  await test("benchmark", async () => {
    await page.click("#tab-benchmark")
    for (const suite of ["peaks", "attention"]) await page.uncheck(`#benchmark-${suite}`)
    await page.click("#benchmark-start")
    await fails("benchmark", /No suite is chosen/)
    for (const suite of ["peaks", "kernels", "attention", "model", "train"]) {
      await page.check(`#benchmark-${suite}`)
      if (suite !== "peaks") await page.uncheck(`#benchmark-${suite}`)
    }
    await page.check("#benchmark-full")
    await page.check("#benchmark-quick")
    await page.fill("#benchmark-budget", "0.3")
    await page.click("#benchmark-start")
    await shows("benchmark-status", /^Done/)
    const rows = await page.locator("#benchmark-table tbody tr:not(.suite)").count()
    assert.ok(rows > 0)
    assert.ok(await page.locator("#benchmark-software").isVisible(), "SwiftShader is not called software")
    await page.click("#benchmark-copy")
    await shows("benchmark-status", /^Copied/)
    const copied = await page.evaluate(() => navigator.clipboard.readText())
    const file = await downloads("#benchmark-download")
    assert.equal(file.bytes.toString(), copied)
    const lines = copied
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line))
    assert.equal(lines.length, rows)
    assert.ok(lines.every((row) => row.schema === "polysketch.bench/1" && row.suite === "peaks"))
    const [chooser] = await Promise.all([page.waitForEvent("filechooser"), page.click("#benchmark-open")])
    await chooser.setFiles(file.path)
    await page.waitForFunction(() => /rows/.test(document.getElementById("benchmark-other-line").textContent))
    const ratios = await page.$$eval("#benchmark-table tbody tr:not(.suite) td:last-child", (cells) =>
      cells.map((c) => c.textContent).filter(Boolean),
    )
    assert.ok(
      ratios.length > 0 && ratios.every((ratio) => ratio === "1.00 ×"),
      `the same rows differ: ${ratios}`,
    )
    await picture("benchmark-light")
    await page.setInputFiles("#benchmark-file", {
      name: "bad.jsonl",
      mimeType: "text/plain",
      buffer: Buffer.from("{}\n"),
    })
    await fails("benchmark", /line 1/)
    // Two devices of one name, in a file of another program: a mark, CRLF, a name that is HTML.
    const name = "<img src=x onerror=alert(1)>"
    const on = (number) => (row) => ({ ...row, device: { ...row.device, name, number } })
    const two = [...lines.map(on(1)), ...lines.map(on(2))].map((row) => JSON.stringify(row)).join("\r\n")
    const open = (name, buffer) =>
      page.setInputFiles("#benchmark-file", { name, mimeType: "text/plain", buffer })
    const otherLine = (text) =>
      page.waitForFunction(
        (text) => document.getElementById("benchmark-other-line").textContent.includes(text),
        text,
      )
    await open("two.jsonl", Buffer.from(`\ufeff${two}`))
    await otherLine(`${name} #1`)
    const choices = await page.$$eval("#benchmark-other option", (all) =>
      all.filter((o) => o.textContent.includes("two.jsonl")).map((o) => o.value),
    )
    assert.equal(choices.length, 2)
    await page.selectOption("#benchmark-other", choices[1])
    await otherLine(`${name} #2`)
    assert.equal(await page.locator("#benchmark img").count(), 0)
    await open("wide.jsonl", Buffer.from(`\ufeff${two}`, "utf16le"))
    await fails("benchmark", /UTF-16/)
    const bundled = await page.$$eval("#benchmark-other option", (all) =>
      all.map((o) => o.value).filter((value) => value.endsWith(".jsonl")),
    )
    for (const name of bundled.slice(0, 1)) {
      await page.selectOption("#benchmark-other", name)
      await page.waitForFunction(() =>
        /rows\./.test(document.getElementById("benchmark-other-line").textContent),
      )
    }
    await page.selectOption("#benchmark-other", "")
    // Devices beside each other, and a file of the visitor's own beside them.
    await page.locator("#results-table").scrollIntoViewIfNeeded()
    await page.waitForSelector("#results-table .of-device")
    const all = bundled.length
    assert.equal(await text("results-line"), `${all} of ${all} files were checked and taken.`)
    const makers = await page.$$eval("#results-table .maker", (all) => all.map((cell) => cell.textContent))
    assert.equal(makers[0], "NVIDIA")
    assert.equal(await page.locator("#results-table .of-device").count(), bundled.length)
    assert.ok((await page.locator("#results-table .part-of-peak").count()) > 100)
    const drop = async (name, buffer) => {
      const [chooser] = await Promise.all([page.waitForEvent("filechooser"), page.click("#results-open")])
      await chooser.setFiles({ name, mimeType: "text/plain", buffer })
    }
    await drop("mine.jsonl", Buffer.from(copied))
    await page.waitForSelector("#results-table .own")
    assert.match(await text("results-notes"), /“mine.jsonl” is shown to you, but could not be added: /)
    const wrong = copied.replace(/"median_ns":[0-9.e+]+/, '"median_ns":1')
    await drop("wrong.jsonl", Buffer.from(wrong))
    await fails("benchmark", /The file is refused: wrong.jsonl: line \d+: statistics.median_ns: 1, but its samples say/)
    assert.equal(await page.locator("#results-table .own").count(), 1)
    await page.click("#theme")
    await picture("results-dark")
    await page.click("#theme")
    return `${rows} rows, ${bundled.length} files of bundled results`
  })

  await test("train", async () => {
    await page.click("#tab-train")
    await page.click("#train-ask")
    await fails("train", /no trained model/)
    for (const task of ["copy", "mqar", "induction"]) {
      await page.selectOption("#train-task", task)
      assert.ok((await page.locator("#train-example span").count()) > 12)
    }
    await page.fill("#train-context", "16")
    await page.fill("#train-batch", "4")
    await page.fill("#train-steps", "4")
    await page.fill("#train-lr", "0.004")
    await page.fill("#train-seed", "3")
    await page.click("#train-start")
    await shows("train-status", /^Trained for 4 steps/)
    assert.ok((await number("train-loss")) > 0)
    assert.match(await text("train-accuracy"), /%/)
    await page.click("#train-another")
    await page.click("#train-ask")
    await shows("train-answer", /[01] of 1 right/)
    await picture("train-light")
    assert.ok(JSON.parse((await downloads("#train-config")).bytes.toString()))
    assert.ok((await downloads("#train-weights")).bytes.length > 100)
    await page.fill("#train-steps", "0")
    await page.click("#train-start")
    await fails("train", /Steps.*whole number from 1/)
    return `loss ${await text("train-loss")}`
  })

  await test("inside", async () => {
    await page.click("#tab-inside")
    await page.selectOption("#inside-piece", "128")
    await page.click("#inside-step")
    await shows("inside-status", /^One step/)
    await page.click("#inside-step")
    await page.waitForFunction(() => document.getElementById("inside-position").textContent === "256")
    await idle()
    const pixels = () => page.$eval("#inside-heads canvas", (canvas) => canvas.toDataURL())
    const still = await pixels()
    await page.click("#inside-start")
    await beyond("inside-position", 500)
    await page.click("#inside-stop")
    await shows("inside-status", /^Stopped/)
    const first = await pixels()
    assert.notEqual(first, still, "the picture does not change")
    await picture("inside-light")
    await page.selectOption("#inside-layer", { value: "1" })
    await idle()
    assert.notEqual(await pixels(), first, "another layer looks the same")
    for (const choice of ["inside-change", "inside-shared", "inside-each", "inside-state"])
      await page.check(`#${choice}`)
    await page.hover("#inside-heads canvas")
    await shows("inside-cell", /^Head 1, feature \d+, value dimension \d+: /)
    await page.click("#inside-reset")
    await shows("inside-status", /^At the start/)
    assert.equal(await number("inside-position"), 0)
    await page.check("#inside-own")
    await page.click("#inside-step")
    await fails("inside", /There is no text/)
    await page.fill("#inside-text", "My own words. ".repeat(40))
    await page.click("#inside-step")
    await shows("inside-status", /^One step/)
    await page.check("#inside-novel")
    return `${await page.locator("#inside-heads canvas").count()} heads`
  })

  await test("inside: a lost device", async () => {
    await page.click("#inside-start")
    await page.waitForTimeout(3000) // a state is kept
    await beyond("inside-position", 100)
    const before = await number("inside-position")
    await page.click("#tab-read")
    await page.click("#read-lose")
    await page.click("#tab-inside")
    await beyond("inside-position", before + 1)
    assert.ok(await page.locator("#inside-error").isHidden(), await text("inside-error"))
    await page.click("#inside-stop")
    await idle()
  })

  await test("one thing at a time, stopped from anywhere", async () => {
    await page.click("#tab-inside")
    await page.click("#inside-start")
    await page.click("#tab-race")
    await page.click("#race-start", { force: true })
    await shows("race-status", /Inside is running/)
    assert.match(await text("activity-what"), /Inside/)
    await page.click("#activity-stop")
    await idle()
  })

  await test("theme, and another backend goes on", async () => {
    const theme = () => page.evaluate(() => document.documentElement.dataset.theme)
    assert.equal(await theme(), "light")
    await page.click("#theme")
    assert.equal(await theme(), "dark")
    await page.click("#theme")
    await page.click("#tab-read")
    const before = await number("read-position")
    await page.selectOption("#backend", "cpu")
    await page.waitForFunction(() => /CPU/.test(document.getElementById("adapter-kind").textContent))
    await gpu.ready()
    await page.fill("#read-max-tokens", "8")
    await page.click("#read-write")
    await shows("read-status", /^Wrote 8 tokens/)
    assert.ok((await number("read-position")) >= before)
    assert.ok(await page.locator("#banner").isHidden(), "whoever asks for the CPU needs no advice")
    await page.selectOption("#backend", "auto")
    await gpu.ready()
  })

  await test("no complaint on the console, no request elsewhere", async () => {
    assert.deepEqual(gpu.complaints, [])
    untouched = await gpu.untouched()
    await gpu.close()
  })

  await test("a download that fails", async () => {
    if (!existsSync(join(site, "pkg"))) return "not with an imitation"
    const context = await browser.newContext()
    await context.route("**/model.safetensors", (route) => route.abort())
    const page = await context.newPage()
    page.setDefaultTimeout(PATIENCE)
    await page.goto(`${address}/?backend=cpu`)
    await page.waitForSelector("#page-error:not([hidden])")
    const said = await page.textContent("#page-error")
    // Whoever asks again tries again.
    await context.unroute("**/model.safetensors")
    await page.fill("#read-text", "Once more, and it is there.")
    await page.click("#read-paste")
    await page.waitForFunction(() =>
      /^Read your text/.test(document.getElementById("read-status").textContent),
    )
    assert.ok(await page.locator("#page-error").isHidden())
    await context.close()
    return said
  })

  await test("phone, dark", async () => {
    const phone = await visit("?backend=cpu", {
      viewport: { width: 360, height: 740 },
      deviceScaleFactor: 2,
      colorScheme: "dark",
      hasTouch: true,
      isMobile: true,
      reducedMotion: "reduce",
    })
    await phone.ready()
    assert.equal(await phone.page.evaluate(() => document.documentElement.dataset.theme), "dark")
    await phone.page.fill("#read-text", "A text on a small screen. ".repeat(60))
    await phone.page.tap("#read-paste")
    await phone.shows("read-status", /^Read your text/)
    await phone.page.tap("#tab-inside")
    await phone.page.tap("#inside-step")
    await phone.shows("inside-status", /^One step/)
    for (const part of PARTS) {
      await phone.page.tap(`#tab-${part}`)
      await phone.fits(part)
      await phone.picture(`${part}-phone-dark`)
    }
    assert.deepEqual(phone.complaints, [])
    await phone.close()
  })

  await test("without WebGPU", async () => {
    const cpu = await visit("", {}, without)
    await cpu.ready()
    assert.match(await cpu.text("adapter-kind"), /CPU/)
    assert.match(await cpu.text("banner-what"), /^Running on the CPU\. .*WebGPU/)
    assert.match(await cpu.text("banner-advice"), /chrome:\/\/gpu/)
    await cpu.picture("without-webgpu")
    await cpu.page.click("#read-novel")
    await cpu.beyond("read-position", 500)
    await cpu.page.click("#read-stop")
    await cpu.idle()
    await cpu.page.fill("#read-top-p", "0.9")
    await cpu.page.fill("#read-seed", "8")
    await cpu.page.fill("#read-max-tokens", "16")
    await cpu.page.click("#read-write")
    await cpu.shows("read-status", /^Wrote 16 tokens/)
    await cpu.page.fill("#read-max-tokens", "100000")
    const before = await cpu.number("read-position")
    await cpu.page.click("#read-write")
    await cpu.beyond("read-position", before)
    await cpu.page.click("#read-write-stop")
    await cpu.shows("read-status", /^Stopped/)
    await cpu.page.fill("#read-max-tokens", "16")
    // At rest, nobody notices that the device is gone: the page starts it again at once.
    const rest = await cpu.number("read-position")
    await cpu.page.click("#read-lose")
    await cpu.shows("read-status", /runs again\. The state stands/)
    assert.equal(await cpu.number("read-position"), rest)
    await cpu.page.click("#read-write")
    await cpu.shows("read-status", /^Wrote 16 tokens/)

    await chats(cpu, files)
    await linears(cpu)

    await cpu.page.click("#tab-race")
    await cpu.page.selectOption("#race-longest", "2048")
    await cpu.page.fill("#race-budget", "0.5")
    await cpu.page.click("#race-start")
    await cpu.shows("race-status", /^Done/)
    await cpu.picture("race-cpu")
    await cpu.page.click("#race-start")
    await cpu.shows("race-rows", /1 of/)
    await cpu.page.click("#race-stop")
    await cpu.shows("race-status", /^Stopped/)

    await cpu.page.click("#tab-benchmark")
    await cpu.page.uncheck("#benchmark-attention")
    await cpu.page.check("#benchmark-model")
    await cpu.page.click("#benchmark-start")
    await cpu.shows("benchmark-rows", / of /)
    await cpu.page.click("#benchmark-stop")
    await cpu.shows("benchmark-status", /^Stopped/)

    await cpu.page.click("#tab-train")
    await cpu.page.fill("#train-steps", "20")
    await cpu.page.click("#train-start")
    await cpu.shows("train-status", /^Trained for 20 steps/)
    await cpu.picture("train-cpu")
    await cpu.page.fill("#train-steps", "5000")
    await cpu.page.click("#train-start")
    await cpu.beyond("train-step", 1)
    await cpu.page.click("#train-stop")
    await cpu.shows("train-status", /^Stopped/)

    await cpu.page.click("#tab-inside")
    await cpu.page.click("#inside-step")
    await cpu.shows("inside-status", /^One step/)
    // A GPU that is not there is refused in words, and the CPU stays.
    await cpu.page.selectOption("#backend", "gpu")
    await cpu.page.waitForSelector("#page-error:not([hidden])")
    assert.match(await cpu.text("page-error"), /WebGPU/)
    assert.equal(await cpu.page.inputValue("#backend"), "auto")
    await cpu.page.click("#banner-close")
    assert.ok(await cpu.page.locator("#banner").isHidden())
    // The browser's own words about what it lacks.
    assert.deepEqual(
      cpu.complaints.filter((words) => !/WebGPU Context Provider|No available adapters/.test(words)),
      [],
    )
    const left = new Set(await cpu.untouched())
    assert.deepEqual(
      untouched.filter((id) => left.has(id)),
      [],
      "nothing presses these",
    )
  })
} finally {
  await browser.close()
  await without.close()
  close()
  await rm(files, { recursive: true, force: true })
}
tests.report()
