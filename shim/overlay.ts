/** The layers of an overlay whose ids are mapped: they are reached through a mapped mount of the directory that has them all. */

import { dirname } from 'node:path'
import { BerthError } from '../src/errors.ts'

const KEY = 'lowerdir='

/** The directory that all layers lie in, and the options with the layers named below `mapped` instead. */
export const overlayLayers = (
  options: readonly string[],
  mapped: string,
  name: string,
): { readonly common: string; readonly data: readonly string[] } => {
  const lower = options.find((option) => option.startsWith(KEY))
  const layers = lower === undefined ? [] : splitLayers(lower.slice(KEY.length))
  if (layers.length === 0 || layers.some((layer) => !layer.startsWith('/')))
    throw new BerthError(
      'invalid',
      `${name}: to map the ids of an overlay its lowerdir has to name layers by absolute paths`,
    )
  const common = commonDirectory(layers)
  if (common === '/') throw new BerthError('invalid', `${name}: the overlay's layers are in no common directory but /`)
  const moved = layers.map((layer) => mapped + layer.slice(common.length))
  return {
    common: common.replaceAll(/\\(.)/g, '$1'),
    data: options.map((option) => (option === lower ? KEY + moved.join(':') : option)),
  }
}

/** At each colon that no backslash stands before. */
const splitLayers = (text: string): string[] => text.match(/(?:\\.|[^:\\])+/g) ?? []

const commonDirectory = (paths: readonly string[]): string => {
  const [first = '', ...rest] = paths
  let common = dirname(first)
  while (common !== '/' && rest.some((path) => !path.startsWith(`${common}/`))) common = dirname(common)
  return common
}
