// What a test needs of the machine. Missing: the test is skipped and says why, except under CI, where that is a failure.

import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'

type Requirement =
  | 'root'
  | 'addon'
  | 'docker'
  | 'containerd'
  | 'journald'
  | 'debootstrap'
  | 'bpf'
  | 'go'
  | 'promtool'
  | 'stress-ng'
  | 'socket activation'
  | 'tcpdump'
  | 'ping'
  | 'qemu'
  | 'netfilter'
  | 'nginx'
  | 'redis'
  | 'postgres'

const missing: Readonly<Record<Requirement, () => string | undefined>> = {
  root: () => (process.getuid?.() === 0 ? undefined : 'needs root'),
  addon: () => (existsSync('native/build/leadline.node') ? undefined : 'needs the addon: bash native/setup.sh build'),
  docker: () =>
    spawnSync('docker', ['info'], { stdio: 'ignore', timeout: 10_000 }).status === 0
      ? undefined
      : 'needs a Docker daemon: start dockerd',
  containerd: () =>
    spawnSync('containerd', ['--version'], { stdio: 'ignore' }).status === 0 ? undefined : 'needs containerd and ctr',
  journald: () => (existsSync('/lib/systemd/systemd-journald') ? undefined : 'needs systemd-journald (apt: systemd)'),
  debootstrap: () => (absentOf('debootstrap').length === 0 ? undefined : 'needs debootstrap (apt: debootstrap)'),
  bpf: () => (existsSync('/sys/kernel/btf/vmlinux') ? undefined : 'needs a kernel with BTF'),
  go: () => (spawnSync('go', ['version'], { stdio: 'ignore' }).status === 0 ? undefined : 'needs Go'),
  promtool: () =>
    spawnSync('promtool', ['--version'], { stdio: 'ignore' }).status === 0
      ? undefined
      : 'needs promtool (apt: prometheus)',
  'stress-ng': () =>
    spawnSync('stress-ng', ['--version'], { stdio: 'ignore' }).status === 0 ? undefined : 'needs stress-ng',
  'socket activation': () =>
    absentOf('systemd-socket-activate').length === 0 ? undefined : 'needs systemd-socket-activate (apt: systemd)',
  tcpdump: () => (absentOf('tcpdump').length === 0 ? undefined : 'needs tcpdump (apt: tcpdump)'),
  ping: () => (absentOf('ping').length === 0 ? undefined : 'needs ping (apt: iputils-ping)'),
  nginx: () => (existsSync('/usr/sbin/nginx') ? undefined : 'needs nginx (apt: nginx-light)'),
  redis: () => (existsSync('/usr/bin/redis-server') ? undefined : 'needs Redis (apt: redis-server)'),
  postgres: () => (existsSync('/usr/lib/postgresql') ? undefined : 'needs PostgreSQL (apt: postgresql)'),
  // Debian's kernels are for x64, and so is the Node that runs in the guest.
  qemu: () => {
    const absent = absentOf(
      'qemu-system-x86_64',
      'mke2fs',
      'depmod',
      'xz',
      'busybox',
      'apt-get',
      'ip',
      'nft',
      'ipvsadm',
    )
    if (process.arch !== 'x64') return 'needs an x64 machine'
    if (absent.length === 0) return undefined
    return `needs ${absent.join(', ')} (on Debian: apt-get install qemu-system-x86 e2fsprogs kmod xz-utils busybox-static iproute2 nftables ipvsadm)`
  },
  netfilter: () => {
    const absent = absentOf('ip', 'ss', 'iptables', 'nft', 'conntrack', 'nsenter')
    if (absent.length === 0) return undefined
    return `needs ${absent.join(', ')} (on Debian: apt-get install iproute2 iptables nftables conntrack util-linux)`
  },
}

const absentOf = (...tools: string[]) =>
  tools.filter((tool) => spawnSync('which', [tool], { stdio: 'ignore' }).status !== 0)

/** For a test's options: `test('…', requires('root', 'bpf'), async () => …)`. */
export function requires(...what: Requirement[]): { skip?: string } {
  const reasons = what.map((name) => missing[name]()).filter((reason) => reason !== undefined)
  if (reasons.length === 0) return {}
  if (process.env.CI === 'true') throw new Error(`a test cannot run under CI: ${reasons.join(', ')}`)
  return { skip: reasons.join(', ') }
}
