/** Where the built-in model's files are, and what they must be. */

import files from "../generated/model.json" with { type: "json" }
import { address } from "./places.js"
import type { ModelFiles } from "./types.js"

/** `base` is the folder that has the model's. */
export function builtIn(base?: string | URL): ModelFiles {
  const { folder, integrity } = files
  if (base !== undefined) {
    const at = (name: string) => new URL(`${folder}/${name}`, `${address(base).replace(/\/$/, "")}/`).href
    return {
      config: at("config.json"),
      weights: at("model.safetensors"),
      tokenizer: at("tokenizer.json"),
      integrity,
    }
  }
  return {
    // Bundlers look for exactly this: they bring the files along, and put their own addresses here.
    config: new URL("novels-2m/config.json", import.meta.url),
    weights: new URL("novels-2m/model.safetensors", import.meta.url),
    tokenizer: new URL("novels-2m/tokenizer.json", import.meta.url),
    integrity,
  }
}

/** Its name in the rows of a benchmark. */
export const modelName = files.folder
