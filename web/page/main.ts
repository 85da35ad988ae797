/** Starts the page: theme, tabs, the line about the device, and the six parts. */
import type { Backend, EngineInfo } from "polysketch"
import { isAbort } from "./abort.js"
import { startBenchmark } from "./benchmark.js"
import { redrawCharts } from "./charts.js"
import { startChat } from "./chat.js"
import { el, onChange, onClick, setText, value } from "./dom.js"
import { browserAdvice, getModel, onDevice, startWith, switchTo } from "./engine.js"
import { bytes, count } from "./format.js"
import { redrawHeads, startInside } from "./inside.js"
import { activity, explain, onActivity, stopAll } from "./part.js"
import { startRace } from "./race.js"
import { startRead } from "./read.js"
import { startTrain } from "./train.js"

function showPageError(thrown: unknown) {
  if (isAbort(thrown)) return
  const { message, advice } = explain(thrown)
  el("page-error").hidden = false
  setText("page-error", advice ? `${message} ${advice}` : message)
}

// What nobody caught still reaches the reader.
addEventListener("error", (event) => showPageError(event.error ?? event.message))
addEventListener("unhandledrejection", (event) => {
  event.preventDefault()
  showPageError(event.reason)
})

// Theme
// ---------------------------------------------------------------------------------------------------------

const theme = document.documentElement.dataset

function setTheme(name: "light" | "dark") {
  theme.theme = name
  setText("theme", name === "dark" ? "Light" : "Dark")
  el("theme").setAttribute("aria-label", `Switch to ${name === "dark" ? "light" : "dark"} colours`)
  redrawCharts()
  redrawHeads()
}

function startTheme() {
  const stored = () => {
    try {
      return localStorage.getItem("polysketch.theme")
    } catch {
      return null // storage may be off
    }
  }
  setTheme(theme.theme === "dark" ? "dark" : "light")
  onClick("theme", () => {
    const next = theme.theme === "dark" ? "light" : "dark"
    try {
      localStorage.setItem("polysketch.theme", next)
    } catch {}
    setTheme(next)
  })
  matchMedia("(prefers-color-scheme: dark)").addEventListener(
    "change",
    (event) => stored() ?? setTheme(event.matches ? "dark" : "light"),
  )
}

// Tabs
// ---------------------------------------------------------------------------------------------------------

const PARTS = ["read", "chat", "race", "benchmark", "train", "inside"]

function startTabs() {
  const tabs = PARTS.map((part) => el(`tab-${part}`))
  const select = (index: number, focus: boolean) => {
    tabs.forEach((tab, i) => {
      const chosen = i === index
      tab.setAttribute("aria-selected", String(chosen))
      tab.tabIndex = chosen ? 0 : -1
      el(PARTS[i]!).hidden = !chosen
    })
    if (focus) tabs[index]!.focus()
    // Below the bar, another part begins at its beginning.
    const bar = document.querySelector(".bar")!.getBoundingClientRect()
    const top = el("parts").getBoundingClientRect().top
    if (top < bar.height) scrollBy({ top: top - bar.height, behavior: "instant" })
    if (location.hash !== `#${PARTS[index]}`) history.replaceState(null, "", `#${PARTS[index]}`)
  }
  tabs.forEach((tab, i) => {
    tab.addEventListener("click", () => select(i, false))
    tab.addEventListener("keydown", (event) => {
      const next = { ArrowRight: i + 1, ArrowLeft: i - 1, Home: 0, End: tabs.length - 1 }[event.key]
      if (next === undefined) return
      event.preventDefault()
      select((next + tabs.length) % tabs.length, true)
    })
  })
  const fromHash = () => {
    const index = PARTS.indexOf(location.hash.slice(1))
    if (index >= 0) select(index, false)
  }
  addEventListener("hashchange", fromHash)
  fromHash()

  onActivity((running) => {
    PARTS.forEach((part, i) => tabs[i]!.classList.toggle("runs", part === running))
    el("activity").hidden = running === undefined
    setText("activity-what", activity())
  })
  onClick("activity-stop", stopAll)
}

// Device
// ---------------------------------------------------------------------------------------------------------

const KINDS: Record<EngineInfo["kind"], string> = {
  discrete: "GPU",
  integrated: "integrated GPU",
  virtual: "virtual GPU",
  software: "software GPU",
  other: "GPU",
  cpu: "CPU",
}

let bannerClosed = false

function showDevice(info: EngineInfo) {
  setText("adapter-name", info.adapter)
  el("adapter-kind").hidden = false
  setText("adapter-kind", info.backend === "webgpu" ? `WebGPU, ${KINDS[info.kind]}` : "WebAssembly, CPU")
  // Whoever asks for the CPU needs no advice.
  const wanted = value("backend") !== "cpu"
  el("banner").hidden = bannerClosed || !(info.backend === "cpu" && wanted)
  if (info.backend !== "cpu") return
  setText("banner-what", `Running on the CPU. ${explain(info.fallback ?? "No GPU was found").message}`)
  setText(
    "banner-advice",
    `Everything works, only slower, and benchmarks have no rows of a GPU. ${browserAdvice()}`,
  )
}

function startDevice() {
  onDevice((event) => {
    if (event.event === "starting") setText("model-line", "Starting the engine…")
    if (event.event === "started") {
      el("page-error").hidden = true
      showDevice(event.info)
    }
    if (event.event === "loading") {
      const p = event.progress
      if (!p) setText("model-line", "Loading the built-in model…")
      else if (p.stage === "compile")
        setText("model-line", `Compiling shaders, ${count(p.done)} of ${count(p.total)}`)
      else {
        const doing =
          p.stage === "upload"
            ? "Uploading the model"
            : p.cached
              ? "Taking the model from the cache"
              : "Downloading the model"
        setText("model-line", `${doing}, ${bytes(p.done)} of ${bytes(p.total)}`)
      }
    }
    if (event.event === "loaded") {
      el("page-error").hidden = true
      setText("announce", "The model is loaded.")
      const { parameters, memory, warnings } = event.model.info
      const all = bytes(memory.weights + memory.state + memory.scratch)
      const size = `${(parameters / 1e6).toFixed(1)} M parameters, ${all} of memory`
      setText("model-line", [size, ...warnings].join(". "))
    }
    if (event.event === "lost") {
      setText("announce", "The device was lost.")
      setText("model-line", "The device was lost; starting it again…")
      queueMicrotask(() => getModel().catch(() => {}))
    }
    if (event.event === "failed") {
      setText("model-line", "")
      showPageError(event.error)
    }
  })

  const choice = el<HTMLSelectElement>("backend")
  const asked = new URLSearchParams(location.search).get("backend")
  if (asked === "gpu" || asked === "cpu") choice.value = asked
  let current = choice.value as Backend
  startWith(current)
  let switching = false
  onChange("backend", async () => {
    if (switching) return void (choice.value = current)
    const wanted = choice.value as Backend
    switching = true
    el("page-error").hidden = true
    const line = el("model-line").textContent
    try {
      await stopAll()
      setText("model-line", "Changing the device…")
      await switchTo(wanted)
      current = wanted
    } catch (error) {
      choice.value = current
      setText("model-line", line)
      showPageError(error)
    } finally {
      switching = false
    }
  })
  onClick("banner-close", () => {
    bannerClosed = true
    el("banner").hidden = true
    choice.focus()
  })
  // Ready before the first click. A failure is shown by the listener above, and whoever needs the model tries
  // again.
  getModel().catch(() => {})
}

startTheme()
startTabs()
startRead()
startRace(startChat())
startBenchmark()
startTrain()
startInside()
startDevice()
