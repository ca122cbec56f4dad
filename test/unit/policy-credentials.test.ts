/** What is told of credentials that are less of a secret than it may seem. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { bundleReader, credentialGaps, hostReader, type Reader } from '../../src/policy/credentials.ts'
import type { HttpRules, Policy } from '../../src/policy/types.ts'

const COMMAND = hostReader('the command')
const attach = (...from: string[]): HttpRules => ({
  allow: ['* *'],
  intercept: true,
  credentials: from.map((text) => ({ request: '* *', attach: 'bearer', from: text })),
})
const told = (policies: readonly Policy[], reader: Reader = COMMAND, landlock = 7): readonly string[] =>
  credentialGaps({ policies: policies.map((policy) => ({ ...policy, from: 'p.json' })), landlock }, reader)
const READ = [
  'policy: http.credentials: the command can read file:/secrets/token itself: name it in files.deny, or leave it out of the lists of files (p.json)',
]

test('a file that the command can read', () => {
  const http = attach('file:/secrets/token', 'env:TOKEN')
  assert.deepEqual(told([{ http }]), READ)
  assert.deepEqual(told([{ http: attach('env:TOKEN') }, { files: { read: ['/'] } }]), [])
  assert.deepEqual(told([{ http: attach('file:/secrets/x/../token') }]).length, 1)
  for (const kind of ['read', 'write', 'execute'])
    assert.deepEqual(told([{ http, files: { [kind]: ['/etc', '/secrets'] } }]), READ, kind)
})

test('a file that a policy keeps it from', () => {
  const http = attach('file:/secrets/token')
  assert.deepEqual(told([{ http }, { files: { read: ['/etc', '/secrets-too'] } }]), [])
  assert.deepEqual(told([{ http, files: { read: ['/secrets'] } }, { files: { execute: [] } }]), [])
  for (const path of ['/secrets', '/secrets/token']) assert.deepEqual(told([{ http, files: { deny: [path] } }]), [])
  assert.deepEqual(told([{ http, files: { deny: ['/secrets/token/x'] } }]), READ)
  // which is in bestEffort, as it would not be created otherwise
  assert.deepEqual(told([{ http, files: { read: ['/etc'] } }], COMMAND, 0), READ)
})

test('a file that a bundle’s container is shown', () => {
  const reader = bundleReader(
    {
      ociVersion: '1.2.0',
      root: { path: 'rootfs' },
      mounts: [
        { destination: '/proc', type: 'proc', source: '/secrets' },
        { destination: '/in', source: '../secrets', options: ['rbind', 'ro'] },
        { destination: 'one', type: 'bind', source: '/etc/one' },
      ],
    },
    '/bundle',
  )
  assert.deepEqual(reader.find('/secrets/token'), ['/in/token'])
  assert.deepEqual(reader.find('/etc/one'), ['/one'])
  assert.deepEqual(reader.find('/bundle/rootfs/a'), ['/a'])
  assert.deepEqual(reader.find('/elsewhere'), [])
  const http = attach('file:/secrets/token')
  assert.match(told([{ http, files: { read: ['/in'] } }], reader)[0] ?? '', /^policy: .*: the container can read file:/)
  assert.deepEqual(told([{ http, files: { read: ['/secrets'] } }], reader), [])
})

test('credentials where TLS is not looked into', () => {
  const { intercept: _, ...http } = attach('env:A', 'env:B')
  const warnings = told([{ http }])
  assert.equal(warnings.length, 1)
  assert.match(warnings[0] ?? '', /without intercept or ca .* plain HTTP, .* nothing that goes by TLS \(p\.json\)$/)
  const ca = { certificate: '/c', key: '/k' }
  for (const other of [{ intercept: true }, { ca }]) assert.deepEqual(told([{ http }, { http: other }]), [])
  assert.deepEqual(told([{ http: { allow: ['* *'] } }]), [])
})
