/** What two shims answer otherwise, and the list of what they may. */
import type { Played } from './compare.ts'

/** One difference. */
export interface Difference {
  readonly scene: string
  /** What was asked; the number of repetitions left out where the scene is '*'. */
  readonly at: string
  readonly runc: string
  readonly berth: string
}

/** A difference that is known: a line of the list. */
export interface Known extends Difference {
  /** The row of docs/containerd.md that tells the reason. */
  readonly why: string
  /** Of which versions; left out: of all. */
  readonly of?: readonly string[]
  /** The rest of the scene follows from it, as there: the shim is gone, the task was never made. */
  readonly rest?: boolean
  /** What the reference does is chance. */
  readonly sometimes?: boolean
}

/** Texts that differ wherever they occur. */
export interface Rewording {
  readonly why: string
  readonly at: RegExp
  readonly runc: RegExp
  readonly berth: string
  readonly sometimes?: boolean
}

const NOTHING = 'nothing'
const plain = (at: string): string => at.replace(/ #\d+$/, '')

const matches = (known: Known, found: Difference, version: string): boolean =>
  (known.of === undefined || known.of.includes(version)) &&
  (known.scene === '*' ? plain(found.at) === known.at : known.scene === found.scene && known.at === found.at) &&
  known.runc === found.runc &&
  known.berth === found.berth

export class Differences {
  readonly #known: readonly Known[]
  readonly #rewordings: readonly Rewording[]
  readonly #met = new Set<Known | Rewording>()

  constructor(known: readonly Known[], rewordings: readonly Rewording[]) {
    this.#known = known
    this.#rewordings = rewordings
  }

  /** Those of one scene that are not on the list. */
  unknown(version: string, scene: string, runc: Played, berth: Played): Difference[] {
    const unknown: Difference[] = []
    for (const at of new Set([...berth.keys(), ...runc.keys()])) {
      const found = { scene, at, runc: this.#reworded(at, runc.get(at)), berth: berth.get(at) ?? NOTHING }
      if (found.runc === found.berth) continue
      const known = this.#known.find((one) => matches(one, found, version))
      if (known === undefined) unknown.push(found)
      else this.#met.add(known)
      if (known?.rest) break
    }
    return unknown
  }

  /** Lines of the list that did not occur. */
  get missing(): (Known | Rewording)[] {
    return [...this.#known, ...this.#rewordings].filter((one) => !one.sometimes && !this.#met.has(one))
  }

  #reworded(at: string, result = NOTHING): string {
    return this.#rewordings.reduce((text, rewording) => {
      const changed = rewording.at.test(at) ? text.replace(rewording.runc, rewording.berth) : text
      if (changed !== text) this.#met.add(rewording)
      return changed
    }, result)
  }
}
