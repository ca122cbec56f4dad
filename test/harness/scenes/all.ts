/** Every scene, by name. */
import type { Sequence } from '../sequences.ts'
import { oneTask, pod } from '../sequences.ts'
import { creates, execOfNothing, execs, startCall, starts } from './failures.ts'
import * as shims from './shims.ts'
import * as states from './states.ts'
import * as streams from './streams.ts'

export const scenes: Readonly<Record<string, Sequence>> = {
  'one task': oneTask,
  'a pod': pod,
  unknown: states.unknown,
  created: states.created,
  'deleted before its start': states.deletedBeforeStart,
  'killed before its start': states.killedBeforeStart,
  running: states.running,
  'an update of nothing': states.emptyUpdate,
  paused: states.paused,
  stopped: states.stopped,
  execs: states.execStates,
  'an exec started twice': states.execStartedTwice,
  'init ends first': states.initEndsFirst,
  waits: states.waits,
  'exit codes': states.exitCodes,
  ...creates,
  ...starts,
  'execs that fail': execs,
  'an exec of nothing': execOfNothing,
  'start call without config.json': startCall,
  output: streams.output,
  'output that is held open': streams.outputHeld,
  'outputs left out': streams.partial,
  input: streams.input,
  terminal: streams.terminal,
  'terminal of init': streams.terminalOfInit,
  'output to a file': streams.file,
  'a group': shims.group,
  'an id that is not the shim’s': shims.foreign,
  'bad ids': shims.badIds,
  options: shims.options,
  stats: shims.stats,
  wire: shims.wire,
}
