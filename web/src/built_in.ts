/** Where the built-in model's files are, and what they must be. */

import files from "../generated/model.json" with { type: "json" }
import type { ModelFiles } from "./types.js"

export function builtIn(base: string): ModelFiles {
  const at = (name: string) => new URL(`${files.folder}/${name}`, base).href
  return {
    config: at("config.json"),
    weights: at("model.safetensors"),
    tokenizer: at("tokenizer.json"),
    integrity: files.integrity,
  }
}

/** Its name in the rows of a benchmark. */
export const modelName = files.folder
