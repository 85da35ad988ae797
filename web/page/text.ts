/** Texts of any size, read piece by piece: the page never holds a large one as a string. */

export interface Text {
  name: string
  data: Blob
}

/** The novel beside this page. */
export async function bundledNovel(): Promise<Text> {
  const response = await fetch("./book.txt").catch((cause: unknown) => {
    throw new Error("the bundled novel cannot be loaded: the network failed", { cause })
  })
  if (!response.ok) throw new Error(`the bundled novel cannot be loaded: the server says ${response.status}`)
  return { name: "the bundled novel", data: await response.blob() }
}

/** What a visitor typed. */
export const typed = (text: string): Text => ({ name: "your text", data: new Blob([text]) })

/** A visitor's file, if it is a text. UTF-16 becomes UTF-8. */
export async function fromFile(file: File): Promise<Text> {
  const name = `“${file.name}”`
  const head = new Uint8Array(await file.slice(0, 4096).arrayBuffer())
  const wide =
    head[0] === 0xff && head[1] === 0xfe
      ? "utf-16le"
      : head[0] === 0xfe && head[1] === 0xff
        ? "utf-16be"
        : undefined
  if (wide) return { name, data: new Blob([new TextDecoder(wide).decode(await file.arrayBuffer())]) }
  if (head.length === 0) throw new Error(`${name} is empty`)
  if (head.includes(0))
    throw new Error(`${name} is not a text: it holds zero bytes. Choose a plain text file`)
  return { name, data: file }
}

const PIECE = 48 << 10
const isSpace = (byte: number) => byte === 0x20 || (byte >= 0x09 && byte <= 0x0d)

/**
 * The piece that begins at byte `from`, and where the next one begins. It ends before white space that
 * follows a word, where tokens begin too, so that the pieces have the tokens of the whole.
 */
export async function piece(text: Text, from: number): Promise<{ text: string; next: number }> {
  const bytes = new Uint8Array(await text.data.slice(from, from + PIECE).arrayBuffer())
  let end = bytes.length
  if (from + end < text.data.size) {
    while (end > 1 && !(isSpace(bytes[end - 1]!) && !isSpace(bytes[end - 2]!))) end--
    if (end > 1) end--
    else {
      // No white space at all: any whole character will do.
      end = bytes.length - 1
      while (end > 1 && (bytes[end]! & 0xc0) === 0x80) end--
    }
  }
  // As the model was trained: a line ends in one character.
  const decoded = new TextDecoder().decode(bytes.subarray(0, end)).replace(/\r\n?/g, "\n")
  return { text: decoded, next: from + end }
}
