/** Heat-maps of heads: a colour for a value on a symmetric logarithmic scale, as pixels. */
import type { HeadState } from "polysketch"

/** Below this part of the largest value, the colour scale is linear; above it, logarithmic. */
const KNEE = 1e-3
/** Columns between the values and the normaliser, and how wide the latter is drawn. */
export const [GAP, STRIP] = [2, 3]

/** −1 … 1 for a value, where the largest is `most`: a symmetric logarithm. */
export function position(v: number, most: number): number {
  if (most === 0) return 0
  return (Math.sign(v) * Math.log1p(Math.abs(v) / (KNEE * most))) / Math.log1p(1 / KNEE)
}

type Rgb = [number, number, number]
let palette: Uint32Array | undefined

/** 511 colours from the lowest value through zero to the highest, as pixels. */
function colours(): Uint32Array {
  if (palette) return palette
  const style = getComputedStyle(document.documentElement)
  const rgb = (name: string): Rgb => {
    const hex = style.getPropertyValue(name).trim().slice(1)
    return [0, 2, 4].map((i) => parseInt(hex.slice(i, i + 2), 16)) as Rgb
  }
  const [low, zero, high] = [rgb("--heat-low"), rgb("--heat-zero"), rgb("--heat-high")]
  palette = new Uint32Array(511)
  for (let i = -255; i <= 255; i++) {
    const [to, t] = [i < 0 ? low : high, Math.abs(i) / 255]
    const [r, g, b] = zero.map((from, c) => Math.round(from + (to[c]! - from) * t)) as Rgb
    palette[i + 255] = (255 << 24) | (b << 16) | (g << 8) | r
  }
  return palette
}

/** For a new theme: colours are read again. */
export const forgetColours = () => (palette = undefined)

/** Largest magnitudes, of the values and of the normaliser. */
export interface Extremes {
  value: number
  normaliser: number
}

export function extremes({ values, rows, columns }: HeadState): Extremes {
  const most = { value: 0, normaliser: 0 }
  for (let r = 0; r < rows; r++) {
    const row = values.subarray(r * columns, (r + 1) * columns)
    for (let c = 0; c < columns - 1; c++) most.value = Math.max(most.value, Math.abs(row[c]!))
    most.normaliser = Math.max(most.normaliser, Math.abs(row[columns - 1]!))
  }
  return most
}

/** Width of a head's picture; it has a pixel a value. */
export const widthOf = ({ columns }: HeadState) => columns - 1 + GAP + STRIP

/** A head's values, and its normaliser as a strip beside them. */
export function paintHead(canvas: HTMLCanvasElement, { values, rows, columns }: HeadState, most: Extremes) {
  const table = colours()
  const { width } = canvas
  const pixels = new Uint32Array(width * rows)
  const colour = (v: number, most: number) => table[255 + Math.round(255 * position(v, most))]!
  for (let r = 0; r < rows; r++) {
    const row = values.subarray(r * columns, (r + 1) * columns)
    for (let c = 0; c < columns - 1; c++) pixels[r * width + c] = colour(row[c]!, most.value)
    const strip = r * width + columns - 1 + GAP
    pixels.fill(colour(row[columns - 1]!, most.normaliser), strip, (r + 1) * width)
  }
  put(canvas, pixels)
}

/** All colours, from the lowest to the highest. */
export function paintScale(canvas: HTMLCanvasElement) {
  const table = colours()
  const colour = (_: unknown, i: number) => table[Math.round((510 * i) / (canvas.width - 1))]!
  put(canvas, Uint32Array.from({ length: canvas.width }, colour))
}

function put(canvas: HTMLCanvasElement, pixels: Uint32Array<ArrayBuffer>) {
  const image = new ImageData(
    new Uint8ClampedArray(pixels.buffer),
    canvas.width,
    pixels.length / canvas.width,
  )
  canvas.getContext("2d")!.putImageData(image, 0, 0)
}
