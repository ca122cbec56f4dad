/** Which container a verb is to look at, where it may be containerd's. */

import type { Wanted } from '../container/seen.ts'
import { checkId } from '../spec/id.ts'
import type { Context, Flags } from './verb.ts'

export const NAMESPACE_FLAG: Flags = {
  namespace: {
    type: 'string',
    alias: 'n',
    describe: "containerd's namespace that ID is in (default: berth's own container, or else any namespace)",
  },
}

export const wanted = (context: Context): Wanted => ({
  root: context.globals.root,
  runDir: context.request.runDir,
  id: checkId(context.first),
  namespace: context.text('namespace'),
})
