/** What was measured, by who was measured and what it did, and what statistics make of it. */

const quantile = (values: readonly number[], q: number): number =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * q))] ?? Number.NaN

/** Values of one unit: each by a name and by what was measured. */
export class Samples {
  readonly #values: Map<string, Map<string, number[]>>

  /** `names`: in which order they are told, whoever has the first turn. */
  constructor(names: readonly string[] = []) {
    this.#values = new Map(names.map((name) => [name, new Map()]))
  }

  add(name: string, what: string, value: number): void {
    const of = this.#values.get(name) ?? new Map<string, number[]>()
    this.#values.set(name, of)
    of.set(what, [...(of.get(what) ?? []), value])
  }

  /** Lines `NAME WHAT VALUE`, or `NAME/WHAT VALUE` where WHAT has spaces. */
  addLines(text: string): void {
    for (const line of text.trim().split('\n')) {
      const [, name = '', what = '', value] = /^([^/ ]+)[/ ](.+) ([\d.]+)$/.exec(line) ?? []
      if (value === undefined) throw new Error(`no measurement: ${line}`)
      this.add(name, what, Number(value))
    }
  }

  of(name: string, what: string): readonly number[] {
    return this.#values.get(name)?.get(what) ?? []
  }
  /** The smallest. */
  least(name: string, what: string): number {
    return quantile(this.of(name, what), 0)
  }
  median(name: string, what: string): number {
    return quantile(this.of(name, what), 0.5)
  }
  p95(name: string, what: string): number {
    return quantile(this.of(name, what), 0.95)
  }
  whats(name: string): readonly string[] {
    return [...(this.#values.get(name)?.keys() ?? [])]
  }
  get names(): readonly string[] {
    return [...this.#values.keys()]
  }
}
