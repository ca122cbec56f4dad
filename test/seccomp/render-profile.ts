/**
 * Renders a seccomp profile in the form that engines ship (`archMap`, `includes`, `excludes`) to what they write into config.json. Used to make
 * test/fixtures/*-seccomp.json:
 *
 *     node test/seccomp/render-profile.ts PROFILE amd64 CAP_CHOWN,… > FIXTURE
 */

import { readFileSync } from 'node:fs'

interface Conditions {
  readonly caps?: readonly string[]
  readonly arches?: readonly string[]
  readonly minKernel?: string
}

interface Template {
  readonly defaultAction: string
  readonly defaultErrnoRet?: number
  readonly archMap: readonly { readonly architecture: string; readonly subArchitectures: readonly string[] | null }[]
  readonly syscalls: readonly {
    readonly names: readonly string[]
    readonly action: string
    readonly errnoRet?: number | null
    readonly args?: readonly { readonly index: number; readonly value: number; readonly op: string }[] | null
    readonly includes?: Conditions | null
    readonly excludes?: Conditions | null
  }[]
}

const ARCHITECTURES: Readonly<Record<string, string>> = { amd64: 'SCMP_ARCH_X86_64', arm64: 'SCMP_ARCH_AARCH64' }

export function renderProfile(template: Template, arch: string, caps: ReadonlySet<string>) {
  // Kernels older than any minKernel in use are below the floor of this project.
  const included = ({ caps: wanted = [], arches = [] }: Conditions) =>
    wanted.every((cap) => caps.has(cap)) && (arches.length === 0 || arches.includes(arch))
  const excluded = ({ caps: unwanted = [], arches = [] }: Conditions) =>
    unwanted.some((cap) => caps.has(cap)) || arches.includes(arch)
  const native = ARCHITECTURES[arch]
  return {
    defaultAction: template.defaultAction,
    ...(template.defaultErrnoRet !== undefined && { defaultErrnoRet: template.defaultErrnoRet }),
    architectures: template.archMap
      .filter(({ architecture }) => architecture === native)
      .flatMap(({ architecture, subArchitectures }) => [architecture, ...(subArchitectures ?? [])]),
    syscalls: template.syscalls
      .filter(({ includes, excludes }) => included(includes ?? {}) && !excluded(excludes ?? {}))
      .map(({ names, action, errnoRet, args }) => ({
        names,
        action,
        ...(typeof errnoRet === 'number' && { errnoRet }),
        ...(args && args.length > 0 && { args }),
      })),
  }
}

if (import.meta.main) {
  const [file = '', arch = '', caps = ''] = process.argv.slice(2)
  const rendered = renderProfile(JSON.parse(readFileSync(file, 'utf8')) as Template, arch, new Set(caps.split(',')))
  process.stdout.write(`${JSON.stringify(rendered, undefined, 2)}\n`)
}
