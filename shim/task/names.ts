/** How the task service and its methods are called. */

/** The same methods and messages under both names. */
export const SERVICES: readonly string[] = ['containerd.task.v2.Task', 'containerd.task.v3.Task']

export const METHOD_NAMES = [
  'State',
  'Create',
  'Start',
  'Delete',
  'Pids',
  'Pause',
  'Resume',
  'Checkpoint',
  'Kill',
  'Exec',
  'ResizePty',
  'CloseIO',
  'Update',
  'Wait',
  'Stats',
  'Connect',
  'Shutdown',
] as const
export type MethodName = (typeof METHOD_NAMES)[number]
