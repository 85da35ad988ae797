/** Stopping: promises that give way to a signal. No DOM here. */

/** Whether what was thrown is a stop, not an error. */
export const isAbort = (thrown: unknown) => (thrown as Error | undefined)?.name === "AbortError"

/** What a promise gives, unless the signal comes first. */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(new DOMException("stopped", "AbortError"))
    if (signal.aborted) return abort()
    signal.addEventListener("abort", abort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort))
  })
}

/** Resolves after so many milliseconds; rejects at once when cancelled. */
export function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return abortable(new Promise((resolve) => setTimeout(resolve, milliseconds)), signal)
}
