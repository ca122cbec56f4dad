/** Reads the figures that the kernel keeps of a container. */

import type { FigureFile, Figures } from '../cgroup/figures.ts'
import type { RunStep } from '../controller/types.ts'
import { OP_FLAGS } from '../plan/ops.ts'
import { readOp } from './inspect.ts'

const MAX = 1 << 20

/** `dirOf`: the container's directory of a controller. */
export const readFigures = async (
  step: RunStep,
  files: readonly FigureFile[],
  dirOf: (controller: string) => string | undefined,
): Promise<Figures> => {
  const wanted = files.flatMap(([controller, name]) => {
    const dir = dirOf(controller)
    return dir === undefined ? [] : [{ name, path: `${dir}/${name}` }]
  })
  // Tolerated: kernels and controllers differ in what they have, and some files refuse to be read (EOPNOTSUPP).
  const results = await step(
    'stats',
    wanted.map(({ path }) => readOp(path, MAX, OP_FLAGS.tolerate)),
  )
  const texts = new Map(wanted.map(({ name }, index) => [name, results.text(index)]))
  return (name) => texts.get(name)
}
