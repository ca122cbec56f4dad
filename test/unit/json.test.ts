import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BerthError } from '../../src/errors.ts'
import { parseJson, stringifyJson } from '../../src/spec/json.ts'

/** Message of the error that parsing gives. */
const failure = (text: string | Uint8Array, options = {}): string => {
  try {
    parseJson(text, { file: 'config.json', ...options })
  } catch (error) {
    assert.ok(error instanceof BerthError)
    assert.equal(error.kind, 'invalid')
    return error.message
  }
  return assert.fail(`accepted ${text}`)
}

test('agrees with JSON.parse on ordinary documents', () => {
  for (const text of [
    '{"a":[1,-2,3.5,1e3,2E-2,-0.5],"b":{"c":null,"d":true,"e":false},"":[]}',
    ' \t\r\n[ ] ',
    '"\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00 plain é 😀"',
    '{}',
    '0',
  ]) {
    assert.equal(JSON.stringify(parseJson(text)), JSON.stringify(JSON.parse(text)), text)
  }
})

test('keeps integers that a double cannot hold', () => {
  assert.equal(parseJson('18446744073709551615'), 18446744073709551615n)
  assert.equal(parseJson('-9223372036854775808'), -9223372036854775808n)
  assert.equal(parseJson('9007199254740993'), 9007199254740993n)
  assert.equal(parseJson('9007199254740991'), 9007199254740991)
  assert.equal(parseJson(`1${'0'.repeat(400)}`), 10n ** 400n)
  assert.ok(Object.is(parseJson('-0'), 0))
})

test('writes bigints as integers and reads them back', () => {
  const text = '{"soft":18446744073709551615,"list":[-9223372036854775808,1],"s":"x"}'
  assert.equal(stringifyJson(parseJson(text)), text)
  assert.equal(stringifyJson({ a: 1n, b: undefined }, '\t'), '{\n\t"a": 1\n}')
})

test('takes __proto__ and constructor for ordinary keys', () => {
  const parsed = parseJson('{"__proto__":{"polluted":1},"b":{}}') as Record<string, Record<string, unknown>>
  assert.deepEqual(Object.keys(parsed), ['__proto__', 'b'])
  assert.equal(Object.getPrototypeOf(parsed), null)
  assert.equal(parsed.b?.polluted, undefined)
  assert.equal(parsed.b?.constructor, undefined)
  assert.equal(({} as Record<string, unknown>).polluted, undefined)
})

test('takes the last of duplicate keys', () => {
  assert.deepEqual({ ...(parseJson('{"a":1,"a":2}') as object) }, { a: 2 })
  assert.deepEqual({ ...(parseJson('{"a":1,"a":null}', { dropNulls: true }) as object) }, {})
})

test('leaves out null properties on request, not null items', () => {
  const options = { dropNulls: true }
  assert.deepEqual({ ...(parseJson('{"a":null,"b":[null]}', options) as object) }, { b: [null] })
  assert.equal(parseJson('null', options), null)
})

test('bounds nesting', () => {
  assert.doesNotThrow(() => parseJson('['.repeat(512) + ']'.repeat(512)))
  assert.equal(failure('['.repeat(513) + ']'.repeat(513)), 'config.json: line 1 column 513: nested more than 512 deep')
  assert.match(failure('{"a":'.repeat(1_000_000)), /nested more than 512 deep$/)
})

test('says where the error is and what it is', () => {
  const cases: readonly (readonly [string, string])[] = [
    ['', 'line 1 column 1: expected a value, found the end'],
    ['{\n  "a": 1,\n  "b": x\n}', 'line 3 column 8: expected a value, found "x"'],
    ['{"a":1,}', 'line 1 column 8: expected a property name, found "}"'],
    ['{"a" 1}', 'line 1 column 6: expected ":", found "1"'],
    ['{"a":1 "b":2}', 'line 1 column 8: expected "," or "}", found "\\""'],
    ['[1 2]', 'line 1 column 4: expected "," or "]", found "2"'],
    ['[1,]', 'line 1 column 4: expected a value, found "]"'],
    ['{"a":1}\n😀', 'line 2 column 1: unexpected "😀" after the document'],
    ['"abc', 'line 1 column 1: unterminated string'],
    ['"a\nb"', 'line 1 column 3: control character in a string'],
    ['"\\x"', 'line 1 column 2: bad escape'],
    ['"\\u12g4"', 'line 1 column 2: bad \\u escape'],
    ['01', 'line 1 column 2: unexpected "1" after the document'],
    ['+1', 'line 1 column 1: expected a value, found "+"'],
    ['1.', 'line 1 column 2: unexpected "." after the document'],
    ['1e999', 'line 1 column 1: number 1e999 is out of range'],
    ['truth', 'line 1 column 1: expected a value, found "t"'],
    ['// no\n{}', 'line 1 column 1: expected a value, found "/"'],
    ["{'a':1}", 'line 1 column 2: expected a property name, found "\'"'],
    ['NaN', 'line 1 column 1: expected a value, found "N"'],
  ]
  for (const [text, message] of cases) assert.equal(failure(text), `config.json: ${message}`, text)
})

test('refuses NUL in strings on request', () => {
  assert.equal(parseJson('"a\\u0000"'), 'a\0')
  assert.equal(failure('"a\\u0000"', { refuseNul: true }), 'config.json: line 1 column 3: NUL character in a string')
})

test('reads bytes as UTF-8 and nothing else', () => {
  assert.equal(parseJson(Buffer.from('"é"')), 'é')
  assert.equal(failure(Uint8Array.of(0x22, 0xff, 0x22)), 'config.json: is not valid UTF-8')
})
