/** Plays scenes to a shim, and finds what another one answers otherwise. */
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { until } from './host.ts'
import { eventsSocket, type Image } from './life.ts'
import type { Sequence } from './sequences.ts'
import { Daemon } from './shim.ts'
import { Transcript } from './transcript.ts'

/** What was asked, and what came of it; what is asked again has a number. */
export type Played = ReadonlyMap<string, string>

export interface Shim {
  readonly name: string
  readonly binary: string
}

const numbered = (lines: readonly (readonly [string, string])[]): Played => {
  const counts = new Map<string, number>()
  return new Map(
    lines.map(([at, result]) => {
      const count = (counts.get(at) ?? 0) + 1
      counts.set(at, count)
      return [count === 1 ? at : `${at} #${count}`, result]
    }),
  )
}

const split = (line: string): readonly [string, string] => {
  const arrow = line.indexOf(' → ')
  return arrow < 0 ? [line, ''] : [line.slice(0, arrow), line.slice(arrow + 3)]
}

const topicAndFields = (line: string): readonly [string, string] => {
  const space = line.indexOf(' ')
  return [line.slice(0, space), line.slice(space + 1)]
}

/** A call that is never answered. */
const SCENE_MS = 20_000

/** One scene with a containerd of its own. */
export async function play(
  shim: Shim,
  number: number,
  sequence: Sequence,
  image: Image,
  config: object,
): Promise<Played> {
  using daemon = new Daemon(shim.binary, { logs: true, env: { PATH: process.env.PATH ?? '' } })
  const events = eventsSocket(daemon)
  // All shims of runc keep their containers in one place.
  const id = `scene${number}-${shim.name}`
  const script = new Transcript({ [daemon.dir]: 'DIR', [image.dir]: 'IMAGE', [id]: 'ID' })
  try {
    const late = AbortSignal.timeout(SCENE_MS)
    const over = once(late, 'abort').then(() => script.note({ line: 'the scene → no end' }))
    const told = (deleted: number) =>
      until('events', () => events.topics.filter((topic) => topic === '/tasks/delete').length >= deleted)
    const ended = sequence({ id, daemon, image, config, script, events: told }).catch((error: Error) =>
      script.note({ line: `the scene → ${script.text(error.message)}` }),
    )
    await Promise.race([ended, over])
    // A shim that has left has sent its events.
    await daemon.deserted()
    const lines = script.events(events.requests).map(topicAndFields)
    const order = lines.map(([topic, fields]) => {
      const { execId = '', id: process = '' } = JSON.parse(fields)
      return `${topic.replace('/tasks/', '')}${execId || process ? ` ${execId || process}` : ''}`
    })
    return numbered([...script.lines.map(split), ['events', order.join(', ')], ...lines])
  } finally {
    events.close()
    for (const point of mountsBelow(daemon.dir)) execFileSync('umount', ['-l', point])
  }
}

/** What a shim that could not clean up has left. */
const mountsBelow = (dir: string): string[] =>
  readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((point) => point.startsWith(`${dir}/`))
    .reverse()
