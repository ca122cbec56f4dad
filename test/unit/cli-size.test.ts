import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseSize } from '../../src/cli/size.ts'

test('sizes are bytes, or have a suffix', () => {
  const sizes: Readonly<Record<string, bigint>> = {
    '0': 0n,
    '1048576': 1n << 20n,
    '64m': 64n << 20n,
    '64M': 64n << 20n,
    '2g': 2n << 30n,
    '1.5g': 3n << 29n,
    '3kb': 3072n,
    '3KiB': 3072n,
    '7b': 7n,
    '1 t': 1n << 40n,
    '-1': -1n,
  }
  for (const [text, bytes] of Object.entries(sizes)) assert.equal(parseSize('memory', text), bytes, text)
})

test('anything else is refused, never rounded', () => {
  for (const text of [
    '',
    'm',
    '-2',
    '1e6',
    '0x10',
    '1.5',
    '1.1k',
    '64mm',
    '64 m b',
    '9p9',
    '999999999999999999t',
    ' 1',
  ])
    assert.throws(() => parseSize('memory', text), /^BerthError: --memory/, text)
})
