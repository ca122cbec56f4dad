/** The races of test/security, a minute for each instead of a second or two, or a million rounds (what a module judges: fifty thousand), or a hundred pipelines. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { globSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { notHere } from '../harness/bundle.ts'
import { root } from '../harness/host.ts'

describe('races', { skip: notHere }, () => {
  for (const file of globSync('test/security/S{03,04,05,15,18,19}*.test.ts', { cwd: root }).sort())
    it(file, async () => {
      const { NODE_TEST_CONTEXT: _, ...env } = process.env // this is a run of its own
      const child = spawn(process.execPath, ['--test', '--test-timeout=200000', join(root, file)], {
        env: { ...env, RACE_MS: '60000', RACE_ROUNDS: '1000000', JUDGED_ROUNDS: '50000', PIPELINES: '100' },
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      let out = ''
      child.stdout.on('data', (text) => {
        out += text
      })
      const code = await new Promise((resolve) => child.once('close', resolve))
      assert.equal(code, 0, out)
    })
})
