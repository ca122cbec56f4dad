/** What somebody who misspelt a name may have meant. */

/** Number of single characters to insert, delete or replace (Levenshtein). */
const distance = (a: string, b: string): number => {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (const [i, char] of [...a].entries()) {
    const next = [i + 1]
    for (const [j, other] of [...b].entries())
      next.push(Math.min((next[j] ?? 0) + 1, (row[j + 1] ?? 0) + 1, (row[j] ?? 0) + (char === other ? 0 : 1)))
    row = next
  }
  return row[b.length] ?? 0
}

/** The candidate that is nearest to a name. */
export const nearest = (name: string, candidates: readonly string[]): string | undefined =>
  candidates
    .map((candidate) => ({ candidate, far: distance(name.slice(0, 256).toLowerCase(), candidate.toLowerCase()) }))
    .sort((a, b) => a.far - b.far)[0]?.candidate

/** `; did you mean "read"?` */
export const didYouMean = (name: string, candidates: readonly string[]): string => {
  const candidate = nearest(name, candidates)
  return candidate === undefined ? '' : `; did you mean "${candidate}"?`
}
