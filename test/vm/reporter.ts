/** Reports node:test's tests in the form that test/harness/vm.ts reads: a line for each, why it failed indented below. */
import type { TestEvent } from 'node:test/reporters'

export default async function* reporter(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  for await (const event of source) {
    if (event.type !== 'test:pass' && event.type !== 'test:fail') continue
    const { name, skip } = event.data
    if (event.type === 'test:pass') {
      if (event.data.details.type !== 'suite')
        yield `ok ${name}${skip === undefined ? '' : ` # skip ${skip === true ? '' : skip}`}\n`
      continue
    }
    const error = event.data.details.error as { cause?: { stack?: string; message?: string } } & Error
    const why = error.cause?.stack ?? error.cause?.message ?? error.message
    yield `not ok ${name}\n${why.replace(/^/gm, '  ')}\n`
  }
}
