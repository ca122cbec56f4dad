/** Events for containerd: each is the payload of a Forward request, sent by the monitor in the order of the commits. */

import { containerd } from './proto/messages.gen.js'
import type { Ended, Exit } from './task/record.ts'
import { exitedAt, timestamp } from './time.ts'

const { ForwardRequest, TaskCreate, TaskDelete, TaskExecAdded, TaskExecStarted, TaskExit } = containerd.events
const { TaskOOM, TaskPaused, TaskResumed, TaskStart } = containerd.events

interface Encoder<P> {
  encode(message: P): { finish(): Uint8Array }
}

/** Makes the events of one namespace; `time` is in nanoseconds since the epoch, the outcome of a step. */
export class Events {
  readonly #namespace: string

  constructor(namespace: string) {
    this.#namespace = namespace
  }

  create(time: bigint, message: containerd.events.TaskCreate.$Properties): Uint8Array {
    return this.#envelope(time, '/tasks/create', 'TaskCreate', TaskCreate, message)
  }

  start(time: bigint, containerId: string, pid: number): Uint8Array {
    return this.#envelope(time, '/tasks/start', 'TaskStart', TaskStart, { containerId, pid })
  }

  exit(containerId: string, { execId, pid, exit }: Ended): Uint8Array {
    return this.#envelope(BigInt(exit.time), '/tasks/exit', 'TaskExit', TaskExit, {
      containerId,
      id: execId === '' ? containerId : execId,
      pid,
      exitStatus: exit.status,
      ...exitedAt(exit),
    })
  }

  delete(time: bigint, containerId: string, pid: number, exit: Exit): Uint8Array {
    return this.#envelope(time, '/tasks/delete', 'TaskDelete', TaskDelete, {
      containerId,
      pid,
      exitStatus: exit.status,
      ...exitedAt(exit),
    })
  }

  execAdded(time: bigint, containerId: string, execId: string): Uint8Array {
    return this.#envelope(time, '/tasks/exec-added', 'TaskExecAdded', TaskExecAdded, { containerId, execId })
  }

  execStarted(time: bigint, containerId: string, execId: string, pid: number): Uint8Array {
    return this.#envelope(time, '/tasks/exec-started', 'TaskExecStarted', TaskExecStarted, { containerId, execId, pid })
  }

  oom(time: bigint, containerId: string): Uint8Array {
    return this.#envelope(time, '/tasks/oom', 'TaskOOM', TaskOOM, { containerId })
  }

  paused(time: bigint, containerId: string): Uint8Array {
    return this.#envelope(time, '/tasks/paused', 'TaskPaused', TaskPaused, { containerId })
  }

  resumed(time: bigint, containerId: string): Uint8Array {
    return this.#envelope(time, '/tasks/resumed', 'TaskResumed', TaskResumed, { containerId })
  }

  #envelope<P>(time: bigint, topic: string, name: string, type: Encoder<P>, message: P): Uint8Array {
    const event = { typeUrl: `containerd.events.${name}`, value: type.encode(message).finish() }
    const envelope = { timestamp: timestamp(time), namespace: this.#namespace, topic, event }
    return ForwardRequest.encode({ envelope }).finish()
  }
}
