import { type Finding, point, show } from './finding.ts'
import type { IntelRdt } from './types.ts'

/** What goes into a file of lines, and the name of a directory (config-linux.md, intelRdt). */
export function* checkIntelRdt(rdt: IntelRdt, at: string): Iterable<Finding> {
  const { closID, memBwSchema, l3CacheSchema, schemata = [] } = rdt
  if (closID && closID !== '/' && (closID === '.' || closID === '..' || closID.includes('/'))) {
    yield { pointer: point(at, 'closID'), message: `must be the name of a directory (is ${show(closID)})` }
  }
  const lines = [
    [point(at, 'l3CacheSchema'), l3CacheSchema],
    [point(at, 'memBwSchema'), memBwSchema],
    ...schemata.map((line, index) => [point(at, 'schemata', index), line] as const),
  ] as const
  for (const [pointer, line] of lines) {
    if (line?.includes('\n')) yield { pointer, message: `must be one line (is ${show(line)})` }
  }
  if (memBwSchema && !memBwSchema.startsWith('MB:')) {
    yield { pointer: point(at, 'memBwSchema'), message: `must start with MB: (is ${show(memBwSchema)})` }
  }
}
