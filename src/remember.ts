/** Results of pure functions, kept by what they were made from: the controller is asked the same again and again. */

/** More than this is not worth its memory. */
const MAX_TEXT = 1 << 18

/** The function with its last `entries` results by `text`, which has to say all that they depend on. What it throws is not kept, and what it returns must not be changed. */
export const remembered = <T, More extends unknown[] = []>(
  entries: number,
  compute: (text: string, ...more: More) => T,
): ((text: string, ...more: More) => T) => {
  const results = new Map<string, { readonly value: T }>()
  return (text, ...more) => {
    const found = results.get(text)
    const result = found ?? { value: compute(text, ...more) }
    if (text.length > MAX_TEXT) return result.value
    // The order of a Map is that of insertion: the first is the one that was not asked for the longest.
    results.delete(text)
    results.set(text, result)
    const [oldest] = results.keys()
    if (results.size > entries && oldest !== undefined) results.delete(oldest)
    return result.value
  }
}
