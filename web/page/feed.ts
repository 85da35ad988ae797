/** A text as tokens, so many at a time. No DOM here. */
import { InputError, type Model } from "polysketch"
import { piece, type Text } from "./text.js"

/** Where a feed stands in its text. */
export interface FeedPlace {
  text: Text
  ids: Int32Array<ArrayBuffer>
  used: number
  from: number
}

export class Feed {
  private text: Text | undefined
  /** Tokens of the piece at hand, how many of them are taken, and where the next piece begins. */
  private ids = new Int32Array()
  private used = 0
  private from = 0

  /** `open` gives the text; it is asked again after `rewind`. */
  constructor(private readonly open: () => Promise<Text>) {}

  /** Begins anew with what is asked for next. */
  rewind() {
    this.text = undefined
  }

  /** The next tokens of the text; none at its end. */
  async next(tokens: number, model: () => Promise<Model>): Promise<Int32Array> {
    const text = (this.text ??= await this.begin())
    if (this.used === this.ids.length && this.from < text.data.size) {
      const here = await piece(text, this.from)
      this.ids = new Int32Array(await (await model()).encode(here.text))
      this.used = 0
      this.from = here.next
    }
    const taken = this.ids.slice(this.used, this.used + tokens)
    this.used += taken.length
    return taken
  }

  /** Where it stands, to go back to. */
  get place(): FeedPlace | undefined {
    const { text, ids, used, from } = this
    return text && { text, ids, used, from }
  }

  /** Goes back to where it stood. */
  return(place: FeedPlace) {
    ;({ text: this.text, ids: this.ids, used: this.used, from: this.from } = place)
  }

  private async begin(): Promise<Text> {
    const text = await this.open()
    if (text.data.size === 0) throw new InputError("there is no text", "type or paste one first")
    this.from = this.used = 0
    this.ids = new Int32Array()
    return text
  }
}
