/**
 * The operations a plan may contain: the one table that both sides are made from. The encoder (encode.ts) and the
 * types below read it directly; scripts/gen-native.ts renders it as C structs and decoders for native/.
 *
 * Field types
 *   u32, u64   unsigned integers (u64 is a bigint in TypeScript)
 *   i64        signed 64-bit integer (bigint)
 *   str        UTF-8 without NUL
 *   bytes      any bytes
 *   strs       list of str
 *   u32s       list of u32
 *   slot       descriptor register of the running plan, 0 to SLOTS-1; NO_SLOT for none
 *   tmpl       bytes with holes that the executor fills (a Template)
 *   plan       a nested plan
 *
 * Codes are part of the encoding: never reuse one, add at the end (PLAN_VERSION counts incompatible changes).
 */

export const PLAN_VERSION = 1
export const PLAN_MAGIC = 0x314e4c42
export const NO_SLOT = 0xffffffff
/** Slots a plan may use, 0 to SLOTS-1. */
export const SLOTS = 512

/**
 * What a hole in a template stands for; filled when the operation runs: as decimal text, `pid32` as a u32. `ownPid` and `ownStartTime` are those
 * of the process that runs the plan.
 */
export const HOLES = { literal: 0, pid: 1, startTime: 2, now: 3, pid32: 4, ownPid: 5, ownStartTime: 6 } as const

/** Flags of every operation (not of its fields). */
export const OP_FLAGS = {
  /** A failure is no failure: the result is absent and the plan goes on. */
  tolerate: 1,
  /** A failure is remembered, the plan goes on, and ends as failed with the first such error (undo plans). */
  keepGoing: 2,
} as const

export const READ_FLAGS = { missingOk: 1 } as const
/** `atomic` writes a temporary file beside and renames it. `missingOk`: no such file or directory is no error. */
export const WRITE_FLAGS = { create: 1, excl: 2, truncate: 4, append: 8, atomic: 16, missingOk: 32 } as const
/** `subdirs`: rmdir removes the directories below it first, deepest first (cgroups that a container made in its own). */
export const DIR_FLAGS = { existOk: 1, parents: 2, missingOk: 4, busyRetry: 8, subdirs: 16 } as const
export const MOUNT_FLAGS = {
  /** The target need not exist: make a directory (or a file, where the source of a bind is no directory). */
  makeTarget: 1,
  /** A bind of the whole tree. */
  recursive: 2,
  /** Copy what the target held into the new tmpfs. */
  copyUp: 4,
  /** Refuse a target that is reached through a symlink (S4: /proc, /sys). */
  noSymlink: 8,
  /** Not mountable here (no permission in a user namespace): bind the host's instead, as runc and crun do for sysfs. */
  bindFallback: 16,
  /** The ids of the whole tree are mapped, not of its top only. */
  idmapTree: 32,
  /** Refuse a target that lies on a procfs: a destination that is not below /proc led there through a symlink (S4). */
  notOnProc: 64,
  /** Changes the mount that is at the target, and makes none. */
  remount: 128,
} as const
/** `direct`: past the page cache. */
export const LOOP_FLAGS = { attach: 1, direct: 2 } as const
export const PIVOT_FLAGS = {
  /** The root is moved over / where it cannot be swapped with it (an initramfs). */
  noPivot: 1,
  /** The mounts are not the container's own: only the process's view changes. */
  chroot: 2,
} as const
/** Of access(2). */
export const ACCESS = { execute: 1, write: 2 } as const
export const CHDIR_FLAGS = { make: 1 } as const
export const KILL_FLAGS = { missingOk: 1, group: 2 } as const

/** `ownMounts`: what it mounts is gone with it, in a mount namespace that follows ours. */
export const RUN_FLAGS = { ownMounts: 1 } as const

/**
 * What `layer-scan` tells of a path. `remove`: the host has it, and it is to go; `gone`: so does what lies below it. `covered`: something is
 * mounted there on the host, so that it can't be reached.
 */
export const LAYER = { add: 1, change: 2, remove: 3, gone: 4, directory: 5, newDirectory: 6, covered: 7 } as const

/** Which report of the process `resume` waits for. */
/** `listener`: its filter is in force; the descriptor is that of seccomp_unotify(2). */
export const REPORTS = { sync: 1, parked: 2, exec: 3, listener: 4 } as const

/** What `probe` tries, and what `argument` is to it. */
export const PROBES = {
  openat2: 1,
  /** A clone of the tree at /. */
  mountTree: 2,
  mountAttributes: 3,
  /** A new tmpfs, attached. */
  mountNew: 4,
  mountIdmap: 5,
  /** Flags beside SIGCHLD. */
  clone3: 6,
  closeRange: 7,
  execveat: 8,
  /** Flags. */
  memfd: 9,
  pidfdOpen: 10,
  pidfdSignal: 11,
  /** The status of a process that was reaped. */
  pidfdExit: 12,
  /** CLONE_NEW*; in a new user namespace where that is what it takes. */
  namespaces: 13,
  /** SECCOMP_RET_*. */
  seccompAction: 14,
  /** SECCOMP_FILTER_FLAG_*. */
  seccompFlags: 15,
  /** The value is its ABI. */
  landlock: 16,
  /** Loads a BPF program of the type cgroup/dev. */
  deviceFilter: 17,
  memoryPolicy: 18,
  /** The socket at `path`. */
  connect: 19,
  /** Loads a BPF program of the type cgroup/connect4. */
  networkFilter: 20,
} as const

/** What a monitor can tell of the container that it holds: parked, executed since, or frozen in either state. */
export const SITUATIONS = { parked: 1, released: 2, frozen: 4 } as const

/** What `watched` tells: an interval is over, a process was killed for want of memory, the process has ended. */
export const WATCHED = { tick: 1, oom: 2, ended: 3 } as const

type FieldType = 'u32' | 'u64' | 'i64' | 'str' | 'bytes' | 'strs' | 'u32s' | 'slot' | 'tmpl' | 'plan'
type OpSpec = { readonly code: number; readonly fields: Readonly<Record<string, FieldType>> }
const op = <const F extends Readonly<Record<string, FieldType>>>(code: number, fields: F) => ({ code, fields })

/** A worker, and what it is held to (src/plan/worker-rules.ts): a Landlock domain, and a filter. */
const WORKER = {
  dist: 'str',
  entry: 'str',
  config: 'bytes',
  fds: 'u32s',
  scratch: 'str',
  timeoutMs: 'u32',
  fs: 'u64',
  net: 'u64',
  scoped: 'u64',
  rights: 'u64',
  ports: 'u32s',
  portRights: 'u64',
  filter: 'bytes',
} as const

export const OPS = {
  // ---- Anywhere outside the container: launcher, or monitor's executor ----------------------------------------
  /** Result: the file's bytes, at most `max` (more is EFBIG). Absent where missing and `missingOk`. */
  read: op(1, { path: 'str', max: 'u32', flags: 'u32' }),
  write: op(2, { path: 'str', data: 'tmpl', flags: 'u32', mode: 'u32' }),
  mkdir: op(3, { path: 'str', mode: 'u32', flags: 'u32' }),
  /** `busyRetry`: EBUSY is retried for up to 2 s (a cgroup whose last task is just leaving). */
  rmdir: op(4, { path: 'str', flags: 'u32' }),
  unlink: op(5, { path: 'str', flags: 'u32' }),
  rename: op(6, { from: 'str', to: 'str' }),
  /** Removes a directory and what lies under it, follows no symlink, crosses no mount. */
  rmtree: op(7, { path: 'str', flags: 'u32' }),
  /** Result: names in a directory, NUL-terminated, sorted bytewise; without . and .. */
  list: op(8, { path: 'str', flags: 'u32' }),
  readlink: op(9, { path: 'str', flags: 'u32' }),
  /** Result: u32 mode, u32 uid, u32 gid, u32 pad, u64 dev, u64 ino, u64 size, u64 filesystem magic. */
  stat: op(10, { path: 'str', flags: 'u32' }),
  /** `oflags` as of open(2); O_CLOEXEC is always added. */
  open: op(11, { path: 'str', oflags: 'u32', mode: 'u32', slot: 'slot' }),
  close: op(12, { slot: 'slot' }),
  chown: op(13, { path: 'str', uid: 'u32', gid: 'u32' }),
  /** Result: u64 nanoseconds since the epoch (CLOCK_REALTIME). */
  clock: op(14, {}),
  /**
   * Sends a signal to a process, by a pidfd that is believed only if the process started at `start` (clock ticks after
   * boot, /proc/PID/stat field 22; 0: any). A process that is gone is ESRCH, no error with `missingOk`.
   */
  kill: op(15, { pid: 'u32', start: 'u64', signal: 'u32', flags: 'u32' }),
  /** Signals each process in the cgroup directory and those below it (cgroup.kill where it exists and signal is 9). */
  'kill-cgroup': op(16, { path: 'str', signal: 'u32', flags: 'u32' }),
  /** Waits until no process is in the cgroup or below it; ETIMEDOUT after `timeoutMs`. */
  'wait-cgroup': op(17, { path: 'str', timeoutMs: 'u32' }),
  /**
   * mount(2) outside of the container (containerd's rootfs mounts). An `overlay` with long data works by relative layers. Where `root` is not
   * empty `target` is resolved in that directory and never leaves it. `loop`: LOOP_FLAGS; the source is an image, and a loop device of it is
   * mounted that goes with the mount.
   */
  mount: op(18, { source: 'str', target: 'str', type: 'str', flags: 'u64', data: 'str', root: 'str', loop: 'u32' }),
  /** Unmounts everything at and below the path; nothing mounted is no error. `flags` of umount2(2). EBUSY is retried. */
  umount: op(19, { path: 'str', flags: 'u32' }),
  /**
   * Runs a hook with `input` on its stdin in the directory `cwd` (empty: where its maker is), killed after `timeoutMs` (0: never); a status other than 0 is
   * an error with its stderr's end.
   */
  hook: op(20, { path: 'str', args: 'strs', env: 'strs', cwd: 'str', input: 'tmpl', timeoutMs: 'u32' }),
  /**
   * Clones a process that then waits for `resume` to run `plan`. Its parent is this process's parent (CLONE_PARENT).
   * Joins `cgroups` (directories) first; writes `uidMap`, `gidMap` where not empty, or has `uidMapper`, `gidMapper` (paths of newuidmap(1)
   * and newgidmap(1)) write them where those are given. In `join` are the slots of namespaces (of any type
   * but mount) that it is to be born in: this process enters them for the clone and leaves them again. Where a user namespace is among
   * them, which nobody can leave, a process between the two does that. `timeOffsets` is written to /proc/self/timens_offsets of a time
   * namespace made before the clone. Result: u32 pid, u64 start time, u32 pid of the process between (0: none), an ended child of
   * this process's parent. The process is kept as `key` for resume, and its exit is reported under that key.
   */
  clone: op(21, {
    key: 'str',
    flags: 'u64',
    cgroups: 'strs',
    uidMap: 'str',
    gidMap: 'str',
    uidMapper: 'str',
    gidMapper: 'str',
    setgroups: 'str',
    timeOffsets: 'str',
    join: 'u32s',
    plan: 'plan',
  }),
  /**
   * Lets a process that waits go on, as `resume` does; that comes next for it, and then only hears what it reports. What is done in between is done
   * at the same time.
   */
  go: op(265, { key: 'str' }),
  /**
   * Lets the process `key` run on until it reports `until` (REPORTS). Its error is this operation's error.
   * `exec` succeeds when the control socket closes at execve. Result of a report with a descriptor: the descriptor is in `slot`.
   */
  resume: op(22, { key: 'str', until: 'u32', slot: 'slot' }),
  /** Result: u32 1 while the process `key` is parked, 2 after its execve, 0 where nothing of that key is held. */
  held: op(23, { key: 'str' }),
  /**
   * Waits for a child of this process (command line). Signals that reach this process are passed on. `pid` 0: what this plan, or the last `remote`
   * of it, has cloned. Result: u32 wait status.
   */
  await: op(24, { pid: 'u32', forward: 'u32' }),
  /** Launcher: signals that `await` or `run-terminal` would pass on wait for it from here on. */
  'hold-signals': op(263, {}),
  /** Keeps a copy of the descriptor in the monitor under a name; a descriptor held under it is closed. */
  keep: op(25, { slot: 'slot', name: 'str' }),
  use: op(26, { name: 'str', slot: 'slot' }),
  /** Closes what is kept under this name or below it (`name/…`), and ends its pumps. */
  drop: op(27, { name: 'str' }),
  /** Monitor: moves bytes from a copy of one descriptor to one of the other until EOF, then closes both. Ended by `drop name`. */
  pump: op(28, { name: 'str', from: 'slot', to: 'slot' }),
  pipe: op(29, { reader: 'slot', writer: 'slot' }),
  /** Opens a FIFO for writing once a reader is there; ETIMEDOUT after `timeoutMs`. */
  'open-fifo': op(30, { path: 'str', slot: 'slot', timeoutMs: 'u32' }),
  /** Connects to a UNIX stream socket. */
  connect: op(31, { path: 'str', slot: 'slot' }),
  /** Sends `data` with the descriptor in `fd` (SCM_RIGHTS, with its first byte) on the socket in `to`. */
  'send-fd': op(32, { to: 'slot', fd: 'slot', data: 'tmpl' }),
  winsize: op(33, { slot: 'slot', rows: 'u32', cols: 'u32' }),
  /** Monitor of the command line: stay as the keeper of `key`, listening on `socket`; at its exit write `exitFile` and leave. */
  stay: op(34, { socket: 'str', exitFile: 'str', key: 'str' }),
  /** Launcher: puts its terminal in raw mode and moves bytes between it and the terminal in `slot` until `pid` ends. Result as await. */
  'run-terminal': op(35, { slot: 'slot', pid: 'u32' }),
  /**
   * Launcher: runs `plan` in the monitor that listens on `socket`; with an empty `socket` in a process re-executed from a
   * read-only clone of the binary for this command (made at the first use; slots 0 to 2 are the command's stdio there; `stay`
   * makes it a monitor, else it ends with the command). Result: the plan's outcome, as one blob; its failure is this failure.
   */
  remote: op(36, { socket: 'str', plan: 'plan' }),
  /** Waits until the process has ended (pidfd); ETIMEDOUT after `timeoutMs`. Gone already is no error. */
  'wait-exit': op(37, { pid: 'u32', start: 'u64', timeoutMs: 'u32' }),
  /** Writes to standard output or error of the command (fd 1 or 2), before the command ends. */
  print: op(38, { fd: 'u32', data: 'bytes' }),
  /** Locks the file (made where missing) until the plan's process ends; EAGAIN where another holds it. */
  lock: op(39, { path: 'str' }),
  /** Runs the plan in the file; refused where the file or a directory above it is not this user's or is writable by others (trap 10). */
  stored: op(40, { path: 'str', flags: 'u32' }),
  /** Process behind `remote`: hands the descriptor to the launcher, which gets it under `name` with the outcome. The slot is empty then. */
  give: op(41, { slot: 'slot', name: 'str' }),
  /** Launcher: puts a descriptor that a `remote` gave under `name` into a slot. */
  take: op(42, { name: 'str', slot: 'slot' }),
  /** Waits until the pumps under this name have moved all there is to move, at most `timeoutMs`. Result: u32 1 if they have, 0 if time ran out. */
  drain: op(43, { name: 'str', timeoutMs: 'u32' }),
  /** v1: cpuset.cpus and cpuset.mems of the cgroup directory, where empty, are copied from its parent's (nothing can join before). */
  'cpuset-inherit': op(44, { path: 'str' }),
  /**
   * v2: loads a BPF program (struct bpf_insn[], type cgroup/dev) and attaches it to the cgroup directory for as long as that exists,
   * in the place of one that this operation attached before.
   */
  'device-filter': op(45, { path: 'str', program: 'bytes' }),
  /** v2: lets the cgroups below this one have these controllers; of `extra` those that it has itself. */
  'subtree-control': op(46, { path: 'str', controllers: 'strs', extra: 'strs' }),
  /**
   * No process is in the cgroup directory or below it, if it is there, and, where its hierarchy `freezes`, it is not to be frozen by one above;
   * EBUSY otherwise.
   */
  vacant: op(47, { path: 'str', freezes: 'u32' }),
  /**
   * Sends `data`, whole D-Bus messages, to the first of `sockets` that is there and lets us in, and waits for the answer to the one with
   * `serial`. Where `signal` is not empty the answer is an object path (o), and that signal of it is waited for too: its body is (u, o, s, s),
   * and the last of these says "done" or why not. An error of a name in `accept` is success. `onlyIf`: a path without which nothing is
   * sent. `subject` is what a failure is told of.
   */
  dbus: op(48, {
    sockets: 'strs',
    subject: 'str',
    data: 'tmpl',
    serial: 'u32',
    signal: 'str',
    accept: 'strs',
    onlyIf: 'str',
    timeoutMs: 'u32',
  }),
  /**
   * Launcher: binds a datagram socket at `path`, runs `plan`, and tells the socket `caller` (sd_notify(3)) once the container has said to
   * the other that it is ready. `wait`: until then, or until the process ends; else it is told while the process is waited for (`await`,
   * `run-terminal`).
   */
  notify: op(49, { path: 'str', caller: 'str', pid: 'u32', start: 'u64', wait: 'u32', plan: 'plan' }),
  /**
   * Freezes (1) or thaws (0) the processes of a cgroup, v1 freezer or v2, and waits until they are. ETIMEDOUT after `timeoutMs`: thawed again,
   * as a process in an uninterruptible sleep can't be frozen. A directory without a freezer is ENOENT.
   */
  freeze: op(50, { path: 'str', frozen: 'u32', timeoutMs: 'u32' }),
  /** Launcher. Result: its standard input up to EOF, at most `max` bytes (more is EFBIG). */
  'read-stdin': op(51, { max: 'u32' }),
  /**
   * Launcher: from here on `watched` tells of each OOM of the cgroup directory of the memory controller ('': of none), of the end of the
   * process, and of each interval that is over. Once for a command.
   */
  watch: op(52, { memory: 'str', pid: 'u32', start: 'u64', intervalNs: 'u64' }),
  /** Launcher: waits for the next of these. Result: u32 WATCHED. */
  watched: op(53, {}),
  /** Whether this process may do this (ACCESS) to a file, with the ids and capabilities in force. Result: u32 errno, 0 where it may. */
  access: op(54, { path: 'str', mode: 'u32' }),
  /** oom_score_adj of this process, for what it clones next: born in a user namespace that is joined, that could not change its own. */
  'own-oom-score': op(55, { value: 'i64' }),
  /** Makes a user namespace with these maps that nobody is in: what mounts are mapped by. */
  'map-ids': op(56, { uidMap: 'str', gidMap: 'str', slot: 'slot' }),
  /**
   * Clones the mount (MOUNT_FLAGS.recursive: the tree) at a path, detached, for a `mount-in` whose process may be unable to: it can
   * reach what the container's root cannot, and may map ids. `propagation`: MS_* or 0; `userns`: where ids are mapped by.
   */
  'mount-source': op(57, { path: 'str', propagation: 'u64', userns: 'slot', flags: 'u32', slot: 'slot' }),
  /** Opens a namespace, which has to be of this type (CLONE_NEW*). */
  'open-namespace': op(58, { path: 'str', nstype: 'u32', slot: 'slot' }),
  /**
   * Moves a network device of this network namespace into that of the process last cloned, under `name` (one that ends in %d has a number put
   * in), with its permanent addresses of global scope, and sets it up. A name that is taken there is EEXIST before anything is moved.
   */
  'net-device': op(59, { device: 'str', name: 'str' }),
  /** Opens a pidfd of the process that started at `start` (as in `kill`); any other, or none, is ESRCH. */
  pidfd: op(63, { pid: 'u32', start: 'u64', slot: 'slot' }),
  /** What this process clones from here on is born in the pid namespace of the process of this pidfd. */
  'join-pid': op(300, { slot: 'slot' }),

  /**
   * Tries what PROBES says, in a process of its own that then ends: nothing is left of it. Result: u32 errno (0: it works), u64 value. It
   * fails only where nothing can be tried at all.
   */
  probe: op(130, { what: 'u32', argument: 'u64', path: 'str' }),
  /**
   * Monitor: from here on it reports when the memory cgroup at `path` may have run out of memory, under `name`. Ended by `drop name`, and by
   * the end of the cgroup. Result: u64 processes killed there so far.
   */
  'watch-oom': op(138, { name: 'str', path: 'str' }),
  /** Writes a line to the log of containerd, the FIFO at `path`. Not read, or not there: nothing is written. */
  log: op(139, { path: 'str', message: 'str' }),

  /**
   * Monitor: once the process has ended that they are named after (`KEY/…`), or one that its key lies below, the pumps under this name end
   * as soon as nothing has come for `quietMs`; if something goes on coming, after `limitMs`. Others may hold what they read from for ever.
   */
  linger: op(160, { name: 'str', quietMs: 'u32', limitMs: 'u32' }),
  /**
   * Monitor: the end of that process is told once its clients have read what is in the FIFOs whose read ends are kept below this name and what
   * is on its way there, or have read nothing for `quietMs`, or `limitMs` have passed: containerd's client closes its ends when it is told.
   */
  unread: op(264, { name: 'str', quietMs: 'u32', limitMs: 'u32' }),

  /**
   * Monitor: the pumps under this name, which are there, move `bytes` at most together; with the next one the container `key`, which has a guard, is
   * ended for the reason `output`.
   */
  meter: op(262, { name: 'str', key: 'str', bytes: 'u64' }),

  /** Attaches the mount in a slot, which `mount-source` has cloned, and empties the slot. `target`, `root`: as in `mount`. */
  attach: op(144, { slot: 'slot', target: 'str', root: 'str' }),
  /**
   * Mounts the pidfd of the process last cloned on a file, made here: whoever opens that can ask for the exit status of a process that others
   * have reaped (Linux 6.15), for as long as it is mounted.
   */
  'hold-exit': op(145, { path: 'str' }),

  /**
   * Makes a BPF map (`type`: BPF_MAP_TYPE_*) for `room` entries, with those of `keys` and `values`, each of its size, one behind the other.
   */
  'bpf-map': op(190, {
    name: 'str',
    type: 'u32',
    keySize: 'u32',
    valueSize: 'u32',
    room: 'u32',
    flags: 'u32',
    keys: 'bytes',
    values: 'bytes',
    slot: 'slot',
  }),
  /**
   * v2: loads a BPF program (struct bpf_insn[], `type`: BPF_PROG_TYPE_*) and attaches it (`attach`: enum bpf_attach_type) to the cgroup
   * directory for as long as that exists, beside others. The maps that it reads are in `maps`, and known to it by their number there.
   */
  'bpf-attach': op(191, {
    path: 'str',
    name: 'str',
    type: 'u32',
    attach: 'u32',
    program: 'bytes',
    maps: 'u32s',
  }),
  /**
   * v2: what an array map of this name has counted, of each program of this attach type on the cgroup directory that reads one, in the order
   * in which they were attached. Result: for each u32 number of values, u64 values.
   */
  'bpf-counts': op(192, { path: 'str', attach: 'u32', map: 'str' }),
  /**
   * Leaves a process that puts entries into maps and removes them, as records from the worker at the other end of `channel` say: u32 action (1 put,
   * 2 remove), u32 position in `maps`, key, value. It ends with the process last cloned, and with the worker; the maps stay as they are then.
   * `record`: as of `spawn`.
   */
  'bpf-apply': op(193, { maps: 'u32s', keySize: 'u32', valueSize: 'u32', channel: 'slot', record: 'str' }),
  /**
   * Starts a program that outlives the plan, with what is in the slots `fds` as its descriptors from 3 on, behind them one to say by that it is
   * ready, and /dev/null as its stdio. Its pid and start time are in the file `record` before it runs (trap 10). Waits for a byte or, where
   * `byte` is 0, EOF of that descriptor; a program that is not ready after `timeoutMs` is killed: ETIMEDOUT.
   */
  spawn: op(150, { path: 'str', args: 'strs', env: 'strs', fds: 'u32s', record: 'str', byte: 'u32', timeoutMs: 'u32' }),
  /**
   * Ends the processes that are recorded in `path`, a file or a directory of them, none if it is missing, and removes their records.
   * They may go by themselves for `eofMs`, then they get SIGTERM, and SIGKILL after `termMs`.
   */
  'end-spawned': op(151, { path: 'str', eofMs: 'u32', termMs: 'u32' }),
  /**
   * Waits until somebody has read what is in the pipe that `keep-pipe` has kept under `name`, or nobody can any more. Result: u32 1, 0 if
   * `timeoutMs` ran out first.
   */
  'wait-read': op(152, { name: 'str', timeoutMs: 'u32' }),
  /**
   * Monitor: `ms` after the process `key` has been let go it is killed, and `plan` is run, which is to kill what else there is. Its exit says that this
   * was the reason.
   */
  deadline: op(260, { key: 'str', ms: 'u64', plan: 'plan' }),
  /**
   * Leaves a process that ends with the process `key`, the one last cloned, and sees to it that this ends with what its policy needs: where its monitor
   * ends before it, or whoever has the other end of one of `helpers` (socket pairs), it is killed, and `plan` is run, which is to kill what else there
   * is. Its exit says that the policy was the reason, in `exitFile` where no monitor is left to write that. The monitor does the same where the
   * guard ends. `record`: as of `spawn`.
   */
  guard: op(261, { key: 'str', helpers: 'u32s', record: 'str', exitFile: 'str', plan: 'plan' }),
  /** Changes the owner of what a descriptor is of. */
  'chown-slot': op(153, { slot: 'slot', uid: 'u32', gid: 'u32' }),
  /** From here on it is recorded when this process, and those it clones, have done which operations. */
  trace: op(290, {}),
  /**
   * Ends that and tells: u64 since when this program runs, then for each operation that is done u64 start, u64 end, u32 code, u32 1 where a cloned
   * process has done it. Times are nanoseconds since the epoch.
   */
  traced: op(291, {}),
  // ---- Monitor of the command line: what it does by itself about a verb ------------------------------------------
  /**
   * How the situation (SITUATIONS) of the container is told: by its process, held under `key` and last cloned by this plan; it is frozen while
   * one of `files` has one of `lines`. Has to come before `prepare`.
   */
  situation: op(180, { key: 'str', files: 'strs', lines: 'strs' }),
  /**
   * What comes of `verb`, with one of `words` behind the container's id (empty: nothing behind it), while the container is in one of
   * `situations`: `plan` is run, and `answer` is what the launcher prints. Its first `guards` operations change nothing, so where one of
   * these fails it was as if nothing had been asked. `quick`: the plan cannot block.
   */
  prepare: op(181, {
    verb: 'str',
    words: 'strs',
    situations: 'u32',
    guards: 'u32',
    quick: 'u32',
    answer: 'tmpl',
    plan: 'plan',
  }),
  /** Sends a signal to the process held under `key`; ESRCH where it has ended. */
  signal: op(182, { key: 'str', signal: 'u32' }),
  /**
   * What the launcher that asks for `verb`, with one of `words`, is to run itself while the container is in one of `situations`: it gets `plan`,
   * with this process's program, to execute before it does so (trap 1), and a pidfd of the container's process, for `take` under the name `init`.
   */
  lend: op(301, { verb: 'str', words: 'strs', situations: 'u32', plan: 'plan' }),
  /**
   * Runs a program to its end in the directory `cwd`, with /dev/null as its standard input and the descriptors of `slots` from 3 on, in these
   * cgroups (directories) from its first instruction; killed after `timeoutMs` (0: never); `flags`: RUN_FLAGS. A status other than 0 is an
   * error with the end of what it wrote.
   */
  run: op(170, {
    path: 'str',
    args: 'strs',
    env: 'strs',
    cwd: 'str',
    cgroups: 'strs',
    slots: 'u32s',
    timeoutMs: 'u32',
    flags: 'u32',
  }),
  /**
   * Takes over a process that a program has left behind: that whose pid it wrote to `pidFile`, and whose parent is this process's parent by
   * now, or whoever that has for one (`subreaper`). It runs already; its exit is reported under `key`. Result: as clone.
   */
  adopt: op(171, { key: 'str', pidFile: 'str' }),
  /** Launcher: processes below it whose parent ends become its children. */
  subreaper: op(172, {}),
  /** Makes where `target` is missing in the directory `root`, which it can't lead out of: a directory, or an empty file where `source` is no directory. */
  'mount-point': op(174, { root: 'str', target: 'str', source: 'str' }),
  /** Result: the last `max` bytes of the file. */
  tail: op(173, { path: 'str', max: 'u32', flags: 'u32' }),
  /** Keeps the pipe itself in the monitor, neither end of it: it ends as if nobody had. */
  'keep-pipe': op(154, { slot: 'slot', name: 'str' }),

  /**
   * What the upper directory of an overlay has that its lower one has not, or not so. Result: for each path u8 kind (LAYER), u32 mode, u64 inode,
   * u32 links, str path; the mode of what is removed is the lower's, else the upper's.
   */
  'layer-scan': op(271, { upper: 'str', lower: 'str', max: 'u32' }),
  /** Removes what is at a path below `root`, with all that lies in it; what is missing is no error. As below: no symlink, no other mount. */
  'layer-remove': op(272, { root: 'str', path: 'str' }),
  /** Puts what `upper` has at a path there below `root`, in the place of any file: whole or not at all. A directory is only made. */
  'layer-place': op(273, { upper: 'str', root: 'str', path: 'str' }),
  /** Makes `to` another name of the file at `path`, in the place of any file. */
  'layer-link': op(274, { root: 'str', path: 'str', to: 'str' }),
  /** Gives the directory at a path ("": the top) below `root` the mode, owner, extended attributes and times of that below `upper`. */
  'layer-attributes': op(275, { upper: 'str', root: 'str', path: 'str' }),

  // ---- The HTTP proxy's connections (src/plan/http.ts) ---------------------------------------------------------
  /**
   * Opens the proxy's sockets on the loopback of the network namespace of the process last cloned, IPv6's where there is one, and puts their
   * ports into the first element of an array map (src/bpf/redirect.ts).
   */
  'http-listen': op(250, { map: 'slot', ip4: 'slot', ip6: 'slot' }),
  /**
   * Leaves a process that accepts on these sockets (`ip6` may be empty) and passes each connection that the hash map `connections` has a note of
   * on to the worker at the other end of `channel`, and no other. It ends with the process last cloned, with the worker, and with who has the other
   * end of `guard`; each of these sees its end. `record`: as of `spawn`.
   */
  'http-accept': op(251, {
    ip4: 'slot',
    ip6: 'slot',
    connections: 'slot',
    channel: 'slot',
    guard: 'slot',
    record: 'str',
  }),
  /**
   * Starts the program `entry` of the build in `dist` with Node, confined as a controller is, but with the network of this process, and waits
   * until it says that it is ready. Its descriptor 3 has `config`, `fds` are its descriptors from 5 on. `scratch`: a directory to build its root
   * on; its output goes to the file `log`. It is in a Landlock domain of `fs`, `net` and `scoped` (all 0: in none), with `rights` to its own files and
   * `portRights` to `ports`, and under the filter (struct sock_filter[]), which asks about execve: Node's own is allowed, once.
   * `record`: as of `spawn`.
   */
  worker: op(254, { ...WORKER, log: 'str', record: 'str' }),
  /** The same with a worker that is to answer and to end. Result: its answer, of at most `max` bytes. */
  'ask-worker': op(255, { ...WORKER, max: 'u32' }),
  // ---- System calls that a policy's module judges (src/plan/supervisor.ts) -------------------------------------------
  /**
   * Leaves a process that is asked, by the listener of seccomp_unotify(2) in `listener` and by those of execs that are sent to it over `socket`, for
   * the system calls `calls` (`ARCH:NUMBER:NAME`), and puts them to a worker of its own, which has no network; see `worker` for what that is given. One that has not
   * answered after `answerMs` has refused; one that ends is started again, if `restarts` is 1. What it does for the container is held to the Landlock
   * rulesets that `domain` makes in the slots `domains`, and to what the kernel says of devices in the cgroups `devices`. Refusals are counted in
   * the file `counters`, for each of `modules`. It ends with the process last cloned, and with who has
   * the other end of `guard`, who sees it end. Who it is stands in `record`, for `end-spawned`.
   */
  supervise: op(280, {
    listener: 'slot',
    socket: 'str',
    calls: 'strs',
    domains: 'u32s',
    devices: 'strs',
    counters: 'slot',
    modules: 'u32',
    guard: 'slot',
    record: 'str',
    answerMs: 'u32',
    restarts: 'u32',
    ...WORKER,
    log: 'str',
    domain: 'plan',
  }),
  /** A pair of stream sockets. */
  'socket-pair': op(252, { one: 'slot', other: 'slot' }),
  /**
   * In the cloned process, before the pivot: covers the file at `path`, which is empty where it is missing and `make` is 1, by one that is `head`,
   * what was there, and `tail`, then what can be read from `from`; nobody can write to it.
   */
  'extend-file': op(253, { path: 'str', head: 'bytes', tail: 'bytes', from: 'slot', make: 'u32' }),

  // ---- In the cloned process: before the pivot -----------------------------------------------------------------
  /** Enters a namespace (`nstype`: CLONE_NEW*); 0 = whatever the descriptor is. A pidfd enters those in `nstype`. */
  setns: op(64, { slot: 'slot', nstype: 'u32' }),
  unshare: op(65, { flags: 'u32' }),
  /** Moves this process, which has one thread, into cgroups of version 1 (directories). */
  'enter-cgroups': op(109, { cgroups: 'strs' }),
  /** Reports `sync` and waits for the next resume. */
  sync: op(66, {}),
  /** Changes the propagation of a host path (MS_* propagation flags, MS_REC). */
  propagation: op(67, { path: 'str', flags: 'u64' }),
  /** Binds the root file system over itself and opens it: what follows resolves paths inside. `propagation`: MS_* or 0. */
  rootfs: op(68, { path: 'str', propagation: 'u64' }),
  /**
   * Mounts at `target` inside the root. `attrSet`/`attrClear`: MOUNT_ATTR_*; the recursive pair is applied to the whole tree.
   * A `type` of `bind` binds `source` (a host path), or what `mount-source` has put into `from`. `propagation`: MS_* or 0. `userns`:
   * what the ids of a new file system are mapped by.
   */
  'mount-in': op(69, {
    type: 'str',
    source: 'str',
    target: 'str',
    options: 'str',
    sbFlags: 'u64',
    attrSet: 'u64',
    attrClear: 'u64',
    recAttrSet: 'u64',
    recAttrClear: 'u64',
    propagation: 'u64',
    flags: 'u32',
    from: 'slot',
    userns: 'slot',
  }),
  /**
   * A bind mount of the container's cgroups (v1: one tmpfs with a bind a hierarchy): `names[i]` at `target/names[i]` from `dirs[i]`.
   * `links`: `name=target`, symlinks beside them for controllers that are mounted together (`cpu=cpu,cpuacct`).
   */
  'mount-cgroups': op(70, { target: 'str', names: 'strs', dirs: 'strs', links: 'strs', readonly: 'u32' }),
  /** Makes a device node inside the root; `type` is S_IFCHR, S_IFBLK or S_IFIFO. One that exists must be the same device. */
  mknod: op(71, { path: 'str', type: 'u32', mode: 'u32', major: 'u32', minor: 'u32', uid: 'u32', gid: 'u32' }),
  symlink: op(72, { target: 'str', path: 'str' }),
  pivot: op(73, { flags: 'u32' }),
  // ---- After the pivot -----------------------------------------------------------------------------------------
  mask: op(74, { paths: 'strs' }),
  readonly: op(75, { paths: 'strs' }),
  /** Remounts / with MOUNT_ATTR_*. */
  'remount-root': op(76, { attrSet: 'u64', propagation: 'u64' }),
  /** Opens a new terminal (devpts in the root), binds it on /dev/console, makes it stdio, reports the master (a sync with a descriptor). */
  terminal: op(77, { rows: 'u32', cols: 'u32', console: 'u32' }),
  stdio: op(78, { in: 'slot', out: 'slot', err: 'slot' }),
  hostname: op(79, { name: 'str' }),
  domainname: op(80, { name: 'str' }),
  sysctl: op(81, { key: 'str', value: 'str' }),
  rlimit: op(82, { resource: 'u32', soft: 'u64', hard: 'u64' }),
  'oom-score': op(83, { value: 'i64' }),
  umask: op(84, { mask: 'u32' }),
  session: op(85, {}),
  /** A new session keyring of this name. */
  keyring: op(86, { name: 'str' }),
  loopback: op(87, {}),
  scheduler: op(88, {
    policy: 'u32',
    nice: 'i64',
    priority: 'u32',
    flags: 'u64',
    runtime: 'u64',
    deadline: 'u64',
    period: 'u64',
  }),
  ioprio: op(89, { value: 'u32' }),
  personality: op(90, { persona: 'u32' }),
  /** Writes an LSM label for the next execve (`attr` below /proc/self/attr, on a procfs of our own). */
  'lsm-exec': op(91, { attr: 'str', value: 'str' }),
  'no-new-privs': op(92, {}),
  /**
   * Loads a BPF program (struct sock_filter[]); `flags` of seccomp(2). With SECCOMP_FILTER_FLAG_NEW_LISTENER it is `resume until listener`
   * that gets the descriptor, without a system call of this process; then it waits for the next resume.
   */
  seccomp: op(93, { program: 'bytes', flags: 'u32' }),
  /**
   * Groups, gid, uid; capabilities are kept for the `caps` that follows. `home` 1: `exec` sets HOME to what the container's /etc/passwd
   * has for the uid, or "/".
   */
  user: op(94, { uid: 'u32', gid: 'u32', groups: 'u32s', setgroups: 'u32', home: 'u32' }),
  /** Drops the bounding set first; the five sets as bit masks; what this process lacks is dropped too. */
  caps: op(95, { bounding: 'u64', effective: 'u64', permitted: 'u64', inheritable: 'u64', ambient: 'u64' }),
  /** Drops from the bounding set only: has to come before `user`. */
  'caps-bounding': op(96, { bounding: 'u64' }),
  /** Enters the directory inside the container; getcwd must then be absolute (S2). `make`: makes it where missing. */
  chdir: op(97, { path: 'str', flags: 'u32' }),
  /** Closes everything but 0 to 2, the `preserve` descriptors from 3 on, and the control socket. */
  'close-fds': op(98, { preserve: 'u32' }),
  /** Finds `name` as execvp would with this PATH value, and checks that it can be executed. What `exec` then runs. */
  'find-exec': op(99, { name: 'str', path: 'str' }),
  /** Reports `parked` and waits: from here only read, write, execve and exit_group are needed. */
  park: op(100, {}),
  exec: op(101, { argv: 'strs', env: 'strs' }),
  /** The same two with the arguments that the launcher was given for the process. */
  'find-given': op(119, { path: 'str' }),
  'exec-given': op(120, { env: 'strs' }),
  /**
   * Changes the owner of stdio descriptors to the user (fchown; a failure on a read-only file is none): of pipes, sockets, files open
   * for writing, and of the terminal that `terminal` made. What else was handed over stays its owner's.
   */
  'chown-stdio': op(102, { uid: 'u32' }),
  /** Sets the CPU affinity of this process to the CPU list's mask bytes (little endian). Outside: what those that it clones begin with. */
  affinity: op(103, { mask: 'bytes' }),
  /**
   * Takes the host's own tree as the root file system, mounted at `path` in this namespace: the tree at / with all that is mounted in it,
   * read-only; or, where `options` are not empty, an overlay with these. `attrs`: MOUNT_ATTR_*.
   */
  'host-root': op(270, { path: 'str', options: 'str', attrs: 'u64' }),
  /**
   * Lets a child go on with the plan, and stays as the first process of the pid namespace: it passes signals on, reaps, and ends as the child does
   * (128 and the signal's number where one ended it).
   */
  reaper: op(276, {}),
  /** Takes a directory that is mounted already as the root file system. */
  'open-root': op(104, { path: 'str' }),
  /** Makes the directory in the slot the process's root. */
  'enter-root': op(105, { slot: 'slot' }),
  /**
   * Makes a Landlock ruleset: `fs`, `net`, `scoped` are what it handles (LANDLOCK_*), `rights[i]` what it allows beneath `paths[i]`, where that
   * is there and no symlink leads to it; `portRights[i]` what of `ports[i]`.
   */
  landlock: op(106, {
    slot: 'slot',
    fs: 'u64',
    net: 'u64',
    scoped: 'u64',
    paths: 'strs',
    rights: 'u32s',
    ports: 'u32s',
    portRights: 'u32s',
  }),
  /** Restricts this process by the ruleset, for good. */
  'landlock-enter': op(107, { slot: 'slot' }),
  /** Hides what is at these paths: a file can't be opened (EACCES), a directory is empty. One that is not there is an error. */
  deny: op(108, { paths: 'strs' }),
  /** NUMA memory policy of this process: mode and flags of set_mempolicy(2), and the mask of nodes (little endian). */
  'memory-policy': op(112, { mode: 'u32', nodes: 'bytes' }),
  /** Fails with ESRCH where the process of this pidfd has ended. */
  alive: op(118, { slot: 'slot' }),
} as const satisfies Record<string, OpSpec>

type FieldValue = {
  u32: number
  u64: bigint
  i64: bigint
  str: string
  bytes: Uint8Array
  strs: readonly string[]
  u32s: readonly number[]
  slot: number
  tmpl: Template
  plan: Plan
}

/** A part of a template: literal text or bytes, or the name of a hole. */
export type TemplatePart = string | Uint8Array | { readonly hole: Exclude<keyof typeof HOLES, 'literal'> }
export type Template = readonly TemplatePart[]

export type OpName = keyof typeof OPS
type Fields<N extends OpName> = {
  readonly [K in keyof (typeof OPS)[N]['fields']]: FieldValue[(typeof OPS)[N]['fields'][K] & FieldType]
}

/** One operation. `pointer` is the JSON pointer into config.json of what asked for it; it stays in TypeScript. */
export type Op = {
  [N in OpName]: { readonly op: N; readonly opFlags?: number; readonly pointer?: string } & Fields<N>
}[OpName]

/** The ordered list of operations that a request compiles to. */
export type Plan = readonly Op[]
