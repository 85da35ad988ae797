/** Something on the device that is opened when first asked for, and again after its device is gone. */
import { epoch } from "./engine.js"

export class Opened<T> {
  private opening: Promise<T> | undefined
  private openedIn = -1

  constructor(private readonly open: () => Promise<T>) {}

  /** The one at hand, unless its device is gone. */
  get current(): Promise<T> | undefined {
    return this.openedIn === epoch() ? this.opening : undefined
  }

  /** Forgets the one at hand; the next is opened anew. */
  close() {
    this.opening = undefined
  }

  get(): Promise<T> {
    if (this.current) return this.current
    this.openedIn = epoch()
    const mine = (this.opening = this.open())
    // What failed to open may be tried again.
    mine.catch(() => {
      if (this.opening === mine) this.opening = undefined
    })
    return mine
  }
}
