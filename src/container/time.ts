/** Nanoseconds since the epoch as RFC 3339 in UTC, with as many digits as needed (as Go's RFC3339Nano, which engines parse and show). */
export const rfc3339 = (nanoseconds: bigint): string => {
  const seconds = new Date(Number(nanoseconds / 1_000_000_000n) * 1000).toISOString().slice(0, 19)
  const fraction = String(nanoseconds % 1_000_000_000n)
    .padStart(9, '0')
    .replace(/0+$/, '')
  return fraction === '' ? `${seconds}Z` : `${seconds}.${fraction}Z`
}
