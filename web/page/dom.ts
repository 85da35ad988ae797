/** Small helpers over the DOM. */

/** The element with this id; a missing one is a bug of index.html. */
export function el<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id)
  if (!found) throw new Error(`index.html has no #${id}`)
  return found as T
}

type Attributes = Record<string, string | number | boolean | undefined>

/**
 * A new element; `class`, `data-…`, `aria-…` and the like are attributes, false and undefined leave one out.
 */
export function create<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: (Node | string)[]
) {
  const node = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : String(value))
  }
  node.append(...children)
  return node
}

/** Sets text only where it changes, so that a screen reader and the layout are left alone. */
export function setText(id: string, text: string) {
  const node = el(id)
  if (node.textContent !== text) node.textContent = text
}

/** Calls `draw` at most once a frame, however often it is asked for. */
export function oncePerFrame(draw: () => void): () => void {
  let asked = false
  return () => {
    if (asked) return
    asked = true
    requestAnimationFrame(() => {
      asked = false
      draw()
    })
  }
}

/** Text that comes piece by piece into `words`, drawn once a frame at the end of what `scroller` shows. */
export function growing(words: HTMLElement, scroller: HTMLElement, drawn: () => void = () => {}) {
  let fresh = ""
  const draw = () => {
    // Who has scrolled up is left there.
    const atEnd = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 60
    words.append(fresh)
    fresh = ""
    if (atEnd) scroller.scrollTop = scroller.scrollHeight
    drawn()
  }
  const show = oncePerFrame(draw)
  const add = (text: string) => {
    fresh += text
    show()
  }
  return { add, draw }
}

export const value = (id: string) => el<HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement>(id).value
export const isChecked = (id: string) => el<HTMLInputElement>(id).checked
export const onClick = (id: string, act: () => unknown) => el(id).addEventListener("click", () => void act())
export const onChange = (id: string, act: () => unknown) =>
  el(id).addEventListener("change", () => void act())

/** The number in a field; one out of its bounds is an error that names the field. */
export function numberIn(id: string): number {
  const field = el<HTMLInputElement | HTMLSelectElement>(id)
  const number = field.value.trim() === "" ? NaN : Number(field.value)
  const label = field.labels?.[0]?.textContent?.trim() ?? id
  if (Number.isFinite(number) && field.checkValidity()) return number
  const { min, max } = field as HTMLInputElement
  const whole = (field as HTMLInputElement).step === "1" ? "a whole number" : "a number"
  throw new RangeError(`“${label}” must be ${whole}${min && max ? ` from ${min} to ${max}` : ""}`)
}

/** Hands a file to the visitor. */
export function download(name: string, parts: BlobPart[], type = "application/octet-stream") {
  const url = URL.createObjectURL(new Blob(parts, { type }))
  const link = create("a", { href: url, download: name })
  document.body.append(link)
  link.click()
  link.remove()
  // The browser may read the address after the click.
  setTimeout(() => URL.revokeObjectURL(url), 60_000)
}

/** Lets one file choice serve many times, the same file again included. */
export function onFile(id: string, act: (file: File) => unknown) {
  const field = el<HTMLInputElement>(id)
  field.addEventListener("change", () => {
    const file = field.files?.[0]
    field.value = ""
    if (file) void act(file)
  })
}

/** A button that opens a hidden file choice: it looks and behaves like the other buttons. */
export function opensFile(button: string, field: string, act: (file: File) => unknown) {
  onFile(field, act)
  el(button).addEventListener("click", () => {
    if (el(button).getAttribute("aria-disabled") !== "true") el<HTMLInputElement>(field).click()
  })
}
