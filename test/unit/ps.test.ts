import assert from 'node:assert/strict'
import { test } from 'node:test'
import { psColumns, psTable, type Row } from '../../src/cli/ps-columns.ts'

const ROW: Row = {
  ...{ pid: '68', ppid: '1', uid: '0', user: 'root', gid: '0', c: '0', pcpu: '0.0', stime: '04:08', tty: '?' },
  ...{ time: '00:00:00', etime: '05:00', s: 'S', rss: '4', vsz: '1272', nlwp: '1', comm: 'sleep', args: 'sleep 1000' },
}
const shown = (...options: string[]) => psTable(psColumns(options), [ROW])

test('ps: columns as ps(1) lays them out', () => {
  const full = [
    'UID          PID    PPID  C STIME TTY          TIME CMD\n',
    'root          68       1  0 04:08 ?        00:00:00 sleep 1000\n',
  ].join('')
  for (const options of [[], ['-ef'], ['-e', '-f'], ['--', '-A']]) assert.equal(shown(...options), full)
  for (const options of [['-o', 'pid'], ['-eo', 'pid'], ['-opid']])
    assert.equal(shown(...options), '    PID\n     68\n')
  assert.equal(shown('-o', 'user,pid', '-o', 'cmd'), 'USER         PID COMMAND\nroot          68 sleep 1000\n')
  assert.equal(shown('-o', 'pid='), '     68\n')
  assert.equal(shown('-o', 'comm=WHAT IT IS'), 'WHAT IT IS\nsleep\n')
})

test('ps: what is not known is refused by name', () => {
  for (const [options, message] of [
    [['-x'], /option "-x" is not known/],
    [['aux'], /option "aux" is not known/],
    [['-o'], /-o needs names/],
    [['-o', 'pid,nosuch'], /unknown column "nosuch": known are pid ppid/],
  ] as const)
    assert.throws(() => psColumns(options), message)
})
