/**
 * Renders the table of operations (src/plan/ops.ts) as C: build/gen/ops.gen.h (codes, constants, a struct for each
 * operation, the handlers' prototypes) and build/gen/ops.gen.c (decoders and the table that executor.c dispatches by).
 *
 * Usage: node scripts/gen-native.ts [output directory]
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import * as table from '../src/plan/ops.ts'

type Field = { readonly name: string; readonly type: string }
type Operation = { readonly name: string; readonly id: string; readonly code: number; readonly fields: Field[] }

/** Codes from 64 to 127 run in the cloned process only, and those that came when these were taken; all others outside of it. */
const INSIDE_TOO: ReadonlySet<number> = new Set([
  table.OPS['host-root'].code,
  table.OPS.reaper.code,
  table.OPS['extend-file'].code,
])
const isInside = (code: number) => (code >= 64 && code < 128) || INSIDE_TOO.has(code)
/**
 * Those outside that may run there too: hooks of the container's namespaces, and what needs no path. The others would resolve
 * paths that the image's author controls.
 */
const ANYWHERE: ReadonlySet<string> = new Set(['affinity', 'hook', 'close', 'clock', 'pipe'])

const C_TYPES: Readonly<Record<string, string>> = {
  u32: 'uint32_t ',
  u64: 'uint64_t ',
  i64: 'int64_t ',
  str: 'const char *',
  bytes: 'struct span ',
  plan: 'struct span ',
  strs: 'struct list ',
  u32s: 'struct list ',
  tmpl: 'struct list ',
  slot: 'uint32_t ',
}

const READS: Readonly<Record<string, string>> = {
  u32: 'reader_u32(r)',
  u64: 'reader_u64(r)',
  i64: '(int64_t)reader_u64(r)',
  str: 'reader_str(r)',
  bytes: 'reader_bytes(r)',
  plan: 'reader_bytes(r)',
  strs: 'reader_strs(r)',
  u32s: 'reader_u32s(r)',
  tmpl: 'reader_tmpl(r)',
  slot: 'reader_u32(r)',
}

const snake = (name: string) => name.replaceAll('-', '_').replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
const upper = (name: string) => snake(name).toUpperCase()

const operations: readonly Operation[] = Object.entries(table.OPS)
  .map(([name, { code, fields }]) => ({
    name,
    id: snake(name),
    code,
    fields: Object.entries(fields).map(([field, type]) => ({ name: snake(field), type })),
  }))
  .sort((a, b) => a.code - b.code)

for (const [at, { name, code, fields }] of operations.entries()) {
  if (operations[at - 1]?.code === code) throw new Error(`operation ${name}: code ${code} is taken`)
  if (code <= 0 || code > 0xffff) throw new Error(`operation ${name}: code ${code} is not a u16`)
  for (const { type } of fields) if (!(type in C_TYPES)) throw new Error(`operation ${name}: unknown type ${type}`)
}

const constants = (prefix: string, values: Readonly<Record<string, number>>) =>
  `enum {\n${Object.entries(values)
    .map(([name, value]) => `  ${prefix}_${upper(name)} = ${value},\n`)
    .join('')}};\n`

const struct = ({ id, fields }: Operation) =>
  `struct op_${id} {\n${
    fields.length === 0 ? '  uint8_t none;\n' : fields.map(({ name, type }) => `  ${C_TYPES[type]}${name};\n`).join('')
  }};\n`

const hex = (value: number) => `0x${value.toString(16)}u`

const header = (common: string) => `/* Made from src/plan/ops.ts by scripts/gen-native.ts: change it there. */
#ifndef BERTH_OPS_GEN_H
#define BERTH_OPS_GEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "${common}/buf.h"
#include "${common}/reader.h"

struct executor;

#define PLAN_VERSION ${table.PLAN_VERSION}u
#define PLAN_MAGIC ${hex(table.PLAN_MAGIC)}
#define OPS_NO_SLOT ${hex(table.NO_SLOT)}
#define OPS_SLOTS ${table.SLOTS}

enum op_code {
${operations.map(({ name, code }) => `  OP_${upper(name)} = ${code},\n`).join('')}};

${constants('HOLE', table.HOLES)}
${constants('OP_FLAG', table.OP_FLAGS)}
${constants('READ', table.READ_FLAGS)}
${constants('WRITE', table.WRITE_FLAGS)}
${constants('DIR', table.DIR_FLAGS)}
${constants('MOUNT', table.MOUNT_FLAGS)}
${constants('LOOP', table.LOOP_FLAGS)}
${constants('PIVOT', table.PIVOT_FLAGS)}
${constants('CHDIR', table.CHDIR_FLAGS)}
${constants('KILL', table.KILL_FLAGS)}
${constants('RUN', table.RUN_FLAGS)}
${constants('LAYER', table.LAYER)}
${constants('REPORT', table.REPORTS)}
${constants('PROBE', table.PROBES)}
${constants('WATCHED', table.WATCHED)}
${constants('SITUATION', table.SITUATIONS)}
${operations.map(struct).join('\n')}
/* The handlers, written by hand. 0: done; 1: done, and its result was appended to \`result\`; -1: failed, ex->fail says why. */
${operations.map(({ id }) => `int run_${id}(struct executor *ex, const struct op_${id} *op, struct buf *result);\n`).join('')}
/* What the executor knows of an operation. */
struct op_entry {
  uint16_t code;
  bool outside, inside; /* where it may run; inside: in a cloned process */
  const char *name;
  /* Whether the payload is exactly this operation's fields; \`nested\` is its nested plan (data NULL: it has none). */
  bool (*check)(struct span payload, struct span *nested);
  /* Decodes and runs. As the handlers; -2: the payload is not this operation's fields. */
  int (*run)(struct executor *ex, struct span payload, struct buf *result);
};

/* NULL where no operation has this code. */
const struct op_entry *ops_find(uint16_t code);

#endif
`

const source = (common: string) => `/* Made from src/plan/ops.ts by scripts/gen-native.ts: change it there. */
#include "ops.gen.h"

#include "${common}/../executor/executor.h"

_Static_assert(OPS_SLOTS == SLOTS && OPS_NO_SLOT == NO_SLOT, "executor.h and src/plan/ops.ts disagree on slots");

${operations
  .map(({ id, fields }) => {
    const nested = fields.find(({ type }) => type === 'plan')?.name
    return `static bool decode_${id}(struct span payload, struct op_${id} *op) {
  struct reader reader = reader_of(payload.data, payload.len), *r = &reader;
${fields.length === 0 ? '  op->none = 0;\n' : fields.map(({ name, type }) => `  op->${name} = ${READS[type]};\n`).join('')}  return !r->bad && r->left == 0;
}
static bool check_${id}(struct span payload, struct span *nested) {
  struct op_${id} op;
  bool good = decode_${id}(payload, &op);
  *nested = ${nested === undefined ? '(struct span){NULL, 0}' : `op.${nested}`};
  return good;
}
static int start_${id}(struct executor *ex, struct span payload, struct buf *result) {
  struct op_${id} op;
  return decode_${id}(payload, &op) ? run_${id}(ex, &op, result) : -2;
}
`
  })
  .join('\n')}
static const struct op_entry ops_table[] = {
${operations
  .map(
    ({ name, id, code }) =>
      `  {OP_${upper(name)}, ${!isInside(code) || ANYWHERE.has(name)}, ${isInside(code) || ANYWHERE.has(name)}, "${name}", check_${id}, start_${id}},\n`,
  )
  .join('')}};

const struct op_entry *ops_find(uint16_t code) {
  size_t low = 0, high = sizeof ops_table / sizeof *ops_table; /* sorted by code */
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (ops_table[middle].code == code) return &ops_table[middle];
    if (ops_table[middle].code < code)
      low = middle + 1;
    else
      high = middle;
  }
  return NULL;
}
`

/** Leaves a file alone that is right already, so that make does not compile all over. */
const writeIfChanged = (path: string, text: string) => {
  try {
    if (readFileSync(path, 'utf8') === text) return
  } catch {
    // Not there yet.
  }
  writeFileSync(path, text)
}

const top = dirname(dirname(fileURLToPath(import.meta.url)))
const output = resolve(process.argv[2] ?? join(top, 'build/gen'))
const common = relative(output, join(top, 'native/common'))
mkdirSync(output, { recursive: true })
writeIfChanged(join(output, 'ops.gen.h'), header(common))
writeIfChanged(join(output, 'ops.gen.c'), source(common))
