/** Restarts of containerd under its tasks; every version and way in test/soak. */
import { restartTests } from '../harness/restart.ts'

restartTests('1.6', ['SIGTERM'])
restartTests('2.1', ['SIGKILL'])
