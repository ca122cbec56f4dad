/** Columns padded with blanks, as Go's tabwriter lays them out for runc: at least 12 wide, 3 apart, the last one not padded. */

const MIN_WIDTH = 12
const PADDING = 3

export const table = (rows: readonly (readonly string[])[]): string => {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(MIN_WIDTH, ...rows.map((row) => [...(row[column] ?? '')].length + PADDING)),
  )
  const line = (row: readonly string[]) =>
    row.map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0))).join('')
  return rows.map((row) => `${line(row)}\n`).join('')
}
