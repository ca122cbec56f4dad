/** The changes of a command in its layer: told, or applied to the host. */

import { ERRNO } from '../controller/errno.ts'
import type { RunStep } from '../controller/types.ts'
import { BerthError } from '../errors.ts'
import { type Applied, applyChanges, type Change, changeLines, hostPath, readChanges } from '../layer/changes.ts'
import type { Overlay } from '../layer/layer.ts'

const MAX_SCAN = 48 << 20
/** Operations of one step: what has been done is known step by step. */
const CHUNK = 1000

interface LayerChanges {
  readonly overlay: Overlay
  readonly changes: readonly Change[]
}

export const scanLayers = async (step: RunStep, layers: readonly Overlay[]): Promise<readonly LayerChanges[]> => {
  const found: LayerChanges[] = []
  for (const [index, overlay] of layers.entries()) {
    const { upper, lower } = overlay
    const results = await step(`changes ${index}`, [{ op: 'layer-scan', upper, lower, max: MAX_SCAN }])
    found.push({ overlay, changes: readChanges(results.bytes(0) ?? new Uint8Array()) })
  }
  return found
}

/** `A /path` …, sorted by path. */
export const describeChanges = (layers: readonly LayerChanges[]): readonly string[] =>
  layers
    .flatMap(({ overlay, changes }) => changeLines(overlay, changes))
    .toSorted(([, a], [, b]) => (a < b ? -1 : a > b ? 1 : 0))
    .map(([letter, path]) => `${letter} ${path}`)

/** For --dry-run. */
export const dryRunText = (lines: readonly string[]): string =>
  lines.length === 0
    ? 'berth: dry-run: no filesystem changes\n'
    : `berth: dry-run: filesystem changes:\n${lines.map((line) => `${line}\n`).join('')}`

/** A name that is no UTF-8 was read with this in it. */
const REPLACED = '\uFFFD'

const checkAll = (layers: readonly LayerChanges[]): void => {
  for (const { overlay, changes } of layers)
    for (const { kind, path } of changes) {
      if (kind === 'covered')
        throw new BerthError(
          'state',
          `something is mounted at "${hostPath(overlay, path)}", so that what was changed there can not be applied; nothing was`,
        )
      if (path.includes(REPLACED))
        throw new BerthError('unsupported', `the name of "${hostPath(overlay, path)}" is no UTF-8; nothing was applied`)
    }
}

/** Applies all changes, or throws an error that says which were applied and which were not. It may be done again. */
export const commitLayers = async (step: RunStep, lock: string, layers: readonly LayerChanges[]): Promise<void> => {
  checkAll(layers)
  const all = layers.flatMap(({ overlay, changes }) => applyChanges(overlay, changes))
  for (let at = 0; at < all.length; at += CHUNK) {
    const part = all.slice(at, at + CHUNK)
    try {
      await step(`commit ${at / CHUNK}`, [{ op: 'lock', path: lock }, ...part.map(({ op }) => op)])
    } catch (error) {
      if (!(error instanceof BerthError)) throw error
      if (error.op === 'lock' && error.errno === ERRNO.EAGAIN)
        throw new BerthError('state', 'another commit is being done; try again', { cause: error })
      throw halfway(all, at + Math.max((error.at ?? 0) - 1, 0), error)
    }
  }
}

const SHOWN = 20

const halfway = (all: readonly Applied[], done: number, error: BerthError): BerthError => {
  const rest = all.slice(done)
  const list = rest.slice(0, SHOWN).map(({ what }) => what)
  const more = rest.length > SHOWN ? `, and ${rest.length - SHOWN} more` : ''
  return new BerthError(
    error.kind,
    `${done} of ${all.length} changes were applied, then: ${error.message}; not applied: ${list.join(', ')}${more}`,
    { cause: error },
  )
}
