/**
 * What users of Docker and podman do with a container, told once for both: each scenario runs with runc and with berth, and what a
 * user sees has to be the same.
 */
import assert from 'node:assert/strict'
import { backgroundTests } from './engine-background.ts'
import { foregroundTests } from './engine-foreground.ts'
import type { Finished, RunOptions } from './run.ts'

/** An engine told to use one runtime. */
export interface Engine {
  readonly cli: (args: readonly string[], options?: RunOptions) => Promise<Finished>
  /** The client's words, for a terminal around it. */
  readonly client: readonly string[]
  readonly image: string
  /** What `run` is told beside. */
  readonly options: readonly string[]
  /** Whether the runtime itself tells the engine of OOM kills; else what it knows of them is compared. */
  readonly toldOfOom?: boolean
}

/** Does something with each runtime (the second argument names it, for names of containers); what comes of it has to be the same. */
export type Both = (what: (engine: Engine, name: string) => Promise<unknown>) => Promise<void>

/** The tests of an engine; call it inside of a `describe`. `tries`: how often what a container says at its end is compared where it differs. */
export const engineTests = (engineOf: (runtime: 'runc' | 'berth') => Engine, tries = 1): Both => {
  const both: Both = async (what) => {
    const theirs = await what(engineOf('runc'), 'runc')
    assert.deepEqual(await what(engineOf('berth'), 'berth'), theirs)
  }
  foregroundTests(both, tries)
  backgroundTests(both)
  return both
}
