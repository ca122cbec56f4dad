import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { test } from 'node:test'
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'

const schema = async (name: string): Promise<ValidateFunction> => {
  const text = await readFile(new URL(`../../spec-schemas/${name}.schema.json`, import.meta.url), 'utf8')
  return new Ajv2020({ strict: true, strictTypes: false, strictRequired: false }).compile(JSON.parse(text))
}

test('the state schema takes what the specification shows and refuses a running container without a pid', async () => {
  const valid = await schema('state')
  const state = { ociVersion: '1.3.0', id: 'oci-container1', bundle: '/containers/redis' }
  assert.ok(valid({ ...state, status: 'running', pid: 4422, annotations: { myKey: 'myValue' } }))
  assert.ok(valid({ ...state, status: 'stopped' }))
  assert.ok(valid({ ...state, status: 'stopped', pid: 0 }))
  assert.ok(!valid({ ...state, status: 'running' }))
  assert.ok(!valid({ ...state, status: 'created', pid: 0 }))
  assert.ok(!valid({ ...state, status: 'dead' }))
  assert.ok(!valid({ ...state, status: 'stopped', bundle: 'redis' }))
})

test('the features schema checks types and asks for both versions', async () => {
  const valid = await schema('features')
  const versions = { ociVersionMin: '1.0.0', ociVersionMax: '1.3.0' }
  assert.ok(
    valid({ ...versions, hooks: ['prestart'], linux: { seccomp: { enabled: true }, netDevices: { enabled: true } } }),
  )
  assert.ok(!valid({ ociVersionMin: '1.0.0' }))
  assert.ok(!valid({ ...versions, linux: { seccomp: { enabled: 'yes' } } }))
  assert.ok(!valid({ ...versions, potentiallyUnsafeConfigAnnotations: 'run.oci.' }))
})
