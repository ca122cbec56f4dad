import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { outputTargets, targetOf } from '../../shim/output.ts'

const loggerOf = (text: string) => {
  const target = targetOf(text)
  assert.equal(target.kind, 'logger')
  return target.kind === 'logger' ? target.logger : undefined
}

describe('output', () => {
  test('schemes', () => {
    assert.deepEqual(targetOf(''), { kind: 'none' })
    assert.deepEqual(targetOf('/run/x:1'), { kind: 'fifo', path: '/run/x:1' })
    assert.deepEqual(targetOf('fifo:///run/x'), { kind: 'fifo', path: '/run/x' })
    assert.deepEqual(targetOf('file:///a%20b?x=y#z'), { kind: 'file', path: '/a b' })
    assert.throws(() => targetOf('ttrpc+unix:///s?streaming_id=1'), /unknown STDIO scheme ttrpc\+unix$/)
    assert.throws(() => targetOf('file://a'), /must be absolute/)
    assert.throws(() => targetOf('file:///%zz'), /not escaped/)
    assert.throws(() => targetOf('file:///a%00b'), /not escaped/)
  })

  test('arguments of a logging program: each key once, with its first value, in order', () => {
    assert.deepEqual(loggerOf('binary:///bin/a%2Bb?z=1&a=x+y%3D&z=2&&flag&=v#h=1'), {
      path: '/bin/a+b',
      args: ['z', '1', 'a', 'x y=', 'flag', '', '', 'v'],
      strict: false,
    })
    assert.deepEqual(loggerOf('binary-v2:///bin/a'), { path: '/bin/a', args: [], strict: true })
    assert.throws(() => targetOf('binary:///a?x=%'), /not escaped/)
    assert.throws(() => targetOf('binary://host/a'), /must be absolute/)
  })

  test('stdout decides for both', () => {
    const logger = targetOf('binary:///a')
    assert.deepEqual(outputTargets('binary:///a', ''), { stdout: logger, stderr: logger })
    assert.deepEqual(outputTargets('file:///a', ''), { stdout: targetOf('file:///a'), stderr: { kind: 'none' } })
    assert.deepEqual(outputTargets('/a', 'file:///b'), { stdout: targetOf('/a'), stderr: targetOf('file:///b') })
    assert.throws(() => outputTargets('', 'binary:///a'), /takes stdout as well/)
  })
})
