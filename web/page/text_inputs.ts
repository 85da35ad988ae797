/**
 * Where a visitor's texts come from besides files that are chosen: a field, and what is dropped on the page.
 */
import { el } from "./dom.js"
import { bytes } from "./format.js"
import { fromFile, type Text, typed } from "./text.js"

/** Characters of a pasted text that a field does not show. */
const LARGE = 200_000

/**
 * A field for a text of any size: a large one that is pasted would make the field, and with it the page, too
 * slow to use, and is kept beside it. Returns what tells the text.
 */
export function textField(id: string): () => Text {
  const field = el<HTMLTextAreaElement>(id)
  let pasted: Blob | undefined
  field.addEventListener("paste", (event) => {
    const words = event.clipboardData?.getData("text/plain") ?? ""
    if (words.length < LARGE) return
    event.preventDefault()
    pasted = new Blob([words])
    field.value = ""
    field.placeholder = `A text of ${bytes(pasted.size)} was pasted.`
  })
  field.addEventListener("input", () => {
    pasted = undefined
    field.placeholder = ""
  })
  return () => (pasted ? { name: "your text", data: pasted } : typed(field.value))
}

/** Calls back with a file or a text that is dropped on an element. */
export function onDrop(id: string, act: (open: () => Promise<Text>) => void) {
  const place = el(id)
  const carries = (event: DragEvent, type: string) => event.dataTransfer?.types.includes(type)
  place.addEventListener("dragover", (event) => {
    if (!carries(event, "Files") && !carries(event, "text/plain")) return
    event.preventDefault()
    place.classList.add("over")
  })
  place.addEventListener("dragleave", () => place.classList.remove("over"))
  place.addEventListener("drop", (event) => {
    event.preventDefault()
    place.classList.remove("over")
    const file = event.dataTransfer?.files[0]
    const words = event.dataTransfer?.getData("text/plain")
    if (file) act(() => fromFile(file))
    else if (words) act(async () => typed(words))
  })
}
