// A module for a policy of the node's (docs/policy.md, "Modules"), such as /etc/berth/policies/build.json:
//
//   { "module": { "path": "/etc/berth/policies/module.mjs", "calls": ["execve", "connect", "open"] } }
//
// What is built may write below /work, /tmp and /dev only, fetch packages until the compiler has run for the first time, and run no shell after that.

let compiled = false

export const onSyscall = (event) => {
  switch (event.call) {
    case 'execve':
      compiled ||= event.path.endsWith('/cc')
      return compiled && event.path.endsWith('/sh') ? { errno: 'EACCES' } : 'allow'
    case 'connect':
      return event.family === 'unix' || (!compiled && event.port === 443) ? 'allow' : { errno: 'ENETUNREACH' }
    case 'open':
      return !event.write || /^\/(work|tmp|dev)\//.test(event.path) ? 'allow' : { errno: 'EROFS' }
    default:
      return 'deny'
  }
}
