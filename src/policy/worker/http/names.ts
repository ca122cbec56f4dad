/** Names that requests are for, looked up and kept for a while. */

import type { LookUp } from '../resolver.ts'

/** As long as an answer is believed. */
const CACHE_MS = 30_000
const CACHE_MAX = 4096

export interface NameService {
  /** Every address of the name; none where it has none, or nobody could tell. */
  readonly addressesOf: (name: string) => Promise<readonly string[]>
}

export const nameService = (lookUp: LookUp): NameService => {
  const cache = new Map<string, { readonly until: number; readonly answer: Promise<readonly string[]> }>()
  return {
    addressesOf: (name) => {
      const now = Date.now()
      const cached = cache.get(name)
      if (cached && cached.until > now) return cached.answer
      const answer = lookUp(name).then(({ addresses }) => addresses)
      cache.delete(name)
      if (cache.size >= CACHE_MAX) cache.delete(cache.keys().next().value ?? '')
      cache.set(name, { until: now + CACHE_MS, answer })
      // What nobody could tell is asked again.
      answer.then(
        (found) => found.length === 0 && cache.delete(name),
        () => cache.delete(name),
      )
      return answer
    },
  }
}
