/** Restarts of every containerd under its tasks. */
import { versions } from '../harness/containerd.ts'
import { restartTests } from '../harness/restart.ts'

for (const version of versions) restartTests(version, ['SIGTERM', 'SIGKILL'])
