// Puts the package (pkg/) and the page (site/) together from what the compilers made. Usage: node bundle.mjs,
// after web/build's other steps.
import { createHash } from "node:crypto"
import { cp, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { build } from "esbuild"

const web = fileURLToPath(new URL(".", import.meta.url))
const at = (...path) => join(web, ...path)
/** The built-in model. */
const MODEL = "novels-2m"
/** What makes SmolLM2-135M-Instruct linear, for the page. */
const LINEAR = "smollm2-135m-linear"
const files = { config: "config.json", weights: "model.safetensors", tokenizer: "tokenizer.json" }

const common = {
  absWorkingDir: web,
  bundle: true,
  format: "esm",
  target: "es2024",
  minify: true,
  keepNames: true,
  sourcemap: true,
  logLevel: "warning",
}

async function makePackage() {
  const digest = async (name) =>
    createHash("sha256")
      .update(await readFile(at("../assets", MODEL, name)))
      .digest("hex")
  const integrity = Object.fromEntries(
    await Promise.all(Object.entries(files).map(async ([key, name]) => [key, await digest(name)])),
  )
  await writeFile(at("generated/model.json"), JSON.stringify({ folder: MODEL, integrity }, null, 1))
  await rm(at("pkg"), { recursive: true, force: true })
  // The engine's end is a chunk of its own: a page that uses the worker never loads it.
  await build({
    ...common,
    entryPoints: ["src/polysketch.ts", "src/worker.ts"],
    outdir: "pkg",
    splitting: true,
    chunkNames: "[name]-[hash]",
  })
  await cp(at("generated/wasm/polysketch_bg.wasm"), at("pkg/polysketch_bg.wasm"))
  for (const name of Object.values(files)) await cp(at("../assets", MODEL, name), at("pkg", MODEL, name))
  const version = /^version = "(.*)"/m.exec(await readFile(at("../Cargo.toml"), "utf8"))[1]
  const manifest = {
    name: "polysketch",
    version,
    description: "Linear-time transformers in the browser, on WebGPU or the CPU",
    license: "MIT OR Apache-2.0",
    type: "module",
    main: "./polysketch.js",
    types: "./polysketch.d.ts",
    exports: {
      ".": { types: "./polysketch.d.ts", default: "./polysketch.js" },
      "./polysketch_bg.wasm": "./polysketch_bg.wasm",
      "./worker.js": "./worker.js",
      [`./${MODEL}/*`]: `./${MODEL}/*`,
      "./package.json": "./package.json",
    },
    sideEffects: false,
  }
  await writeFile(at("pkg/package.json"), JSON.stringify(manifest, null, 2) + "\n")
}

/** What lies in page/results, for the page: whoever adds a file adds nothing else. */
async function resultsIndex() {
  const names = (await readdir(at("page/results"))).filter((name) => name.endsWith(".jsonl")).sort()
  const entry = async (file) => {
    const [first] = (await readFile(at("page/results", file), "utf8")).split("\n", 1)
    const { device, build, date } = JSON.parse(first)
    const driver = [device.driver, device.driver_info].filter(Boolean).join(" ")
    const parts = [`${device.name} (${device.backend})`, device.browser ? "in a browser" : driver, device.note]
    const label = [...parts, `commit ${build.commit}`].filter(Boolean).join(", ")
    return { file, label, date: date.slice(0, 10), software: device.kind === "software" }
  }
  return Promise.all(names.map(entry))
}

async function makeSite() {
  await rm(at("site"), { recursive: true, force: true })
  await mkdir(at("site"))
  // The package stays whole beside the page: it finds its worker and its WebAssembly by its own address.
  const beside = {
    name: "beside",
    setup: ({ onResolve }) =>
      onResolve({ filter: /^polysketch$/ }, () => ({ path: "./pkg/polysketch.js", external: true })),
  }
  await build({
    ...common,
    entryPoints: ["page/main.ts", "page/style.css"],
    outdir: "site",
    plugins: [beside],
  })
  for (const name of ["index.html", "theme.js", "icon.svg", "book.txt"])
    await cp(at("page", name), at("site", name))
  await cp(at("page/results"), at("site/results"), { recursive: true })
  await writeFile(at("site/results/index.json"), JSON.stringify(await resultsIndex(), null, 1) + "\n")
  // What it is worth, and its licence, go with it.
  for (const name of ["adapter.safetensors", "README.md"])
    await cp(at("../assets", LINEAR, name), at("site", LINEAR, name))
  await cp(at("pkg"), at("site/pkg"), { recursive: true })
}

await makePackage()
if ((await readdir(at("page"))).includes("index.html")) await makeSite()
