// The agent as its users meet it: a process with lines, signals and an exit code.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readdirSync, readlinkSync, writeFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer } from 'node:net'
import { test } from 'node:test'
import { until } from '../../until.ts'
import { agent, folder, leadline, SMALL } from './given.ts'

const READY = 'Everything is ready. Begin running and processing data.'

/** The messages of console lines, without time and fields. */
const messages = (stderr: string) =>
  stderr
    .trimEnd()
    .split('\n')
    .map((line) => line.split('\t').slice(1, 3).join(' '))

/** BPF programs, maps and links that a process holds, and its watches on files. None of these comes late. */
function heldInKernel(pid: number | undefined): string[] {
  const links = readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${fd}`)
    } catch {
      return [] // it was closed meanwhile
    }
  })
  return links.filter((link) => /^anon_inode:(bpf|inotify)/.test(link)).sort()
}

test('says the lines of the Collector, serves its page, and ends with 0 after SIGTERM', async (context) => {
  const file = folder(context)('agent.yaml', SMALL)
  const running = agent(context, ['--config', file])
  await running.says('metrics on ')
  const page = await (await fetch(running.url())).text()
  assert.match(page, /^# TYPE /m)
  assert.match(page, /otelcol_/)
  running.child.kill('SIGTERM')
  assert.equal(await running.ended(), 0)
  const said = messages(running.stderr())
  assert.deepEqual(
    said.filter((line) => !/docker/i.test(line)).map((line) => line.replace(/localhost:\d+|127.0.0.1:\d+/, 'HOST')),
    [
      'info Starting leadline...',
      'info cgroup started',
      `info ${READY}`,
      'info metrics on http://HOST/metrics',
      'info Starting shutdown...',
      'info Shutdown complete.',
    ],
  )
  assert.match(
    running.stderr(),
    /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\tinfo\tStarting leadline\.\.\.\t\{"Version":"[^"]+","NumCPU":\d+,/,
  )
  assert.equal(running.stdout(), '', 'standard output belongs to exporters')
})

test('SIGINT ends it as well, also twice', async (context) => {
  const running = agent(context, ['run', '--config', folder(context)('agent.yaml', SMALL)])
  await running.says(READY)
  running.child.kill('SIGINT')
  running.child.kill('SIGINT')
  assert.equal(await running.ended(), 0)
  assert.match(running.stderr(), /Shutdown complete\./)
})

test('with json encoding every line is JSON', async (context) => {
  const write = folder(context)
  const logs = 'yaml:service::telemetry::logs: {encoding: json, initial_fields: {cluster: blue}}'
  const running = agent(context, ['--config', write('agent.yaml', SMALL), '--config', logs])
  await running.says(READY)
  running.child.kill('SIGTERM')
  assert.equal(await running.ended(), 0)
  const lines = running
    .stderr()
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
  assert.deepEqual(lines.map(({ level, msg, cluster }) => ({ level, msg, cluster })).at(-1), {
    level: 'info',
    msg: 'Shutdown complete.',
    cluster: 'blue',
  })
})

test('a port that is taken ends the start with 1, and says which', async (context) => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  context.after(() => server.close())
  const { port } = server.address() as AddressInfo
  const file = folder(context)('agent.yaml', SMALL.replace('localhost:0', `127.0.0.1:${port}`))
  const { code, stderr } = leadline(['run', '--config', file])
  assert.equal(code, 1)
  assert.match(stderr, new RegExp(`error\\tcannot start pipelines: failed to start "prometheus" exporter: .*${port}`))
  assert.doesNotMatch(stderr, /Everything is ready/)
})

test('a configuration that is wrong starts nothing', (context) => {
  const file = folder(context)('agent.yaml', SMALL.replace('collection_interval', 'colection_interval'))
  const { code, stdout, stderr } = leadline(['run', '--config', file])
  assert.equal(code, 1)
  assert.equal(stdout, '')
  const problem = 'receivers::cgroup: has invalid keys: colection_interval (did you mean collection_interval?)'
  assert.equal(stderr, `${file}:1:22  ${problem}\n1 problem. Nothing was started.\n`)
})

test('SIGHUP takes a new configuration, keeps the old one when the new is wrong, and goes back when it cannot start', async (context) => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  context.after(() => server.close())
  const { port } = server.address() as AddressInfo
  const file = folder(context)('agent.yaml', SMALL)
  const running = agent(context, ['--config', file])
  await running.says('metrics on ')
  const first = running.url()

  writeFileSync(file, SMALL.replace('localhost:0', 'nonsense'))
  running.child.kill('SIGHUP')
  await running.says('The new configuration is not valid: the old one goes on')
  assert.equal((await fetch(first)).status, 200)

  writeFileSync(file, SMALL.replace('service: {', 'service: {telemetry: {logs: {output_paths: [/nowhere/log]}}, '))
  running.child.kill('SIGHUP')
  await running.says('The new configuration is not valid: the old one goes on', 2)
  await running.says('output_paths: cannot open /nowhere/log')
  assert.equal((await fetch(first)).status, 200)

  writeFileSync(file, SMALL.replace('200ms', '300ms'))
  running.child.kill('SIGHUP')
  await running.says('Config updated, restart service')
  await running.says(READY, 2)
  await running.says('metrics on ', 2)
  assert.equal((await fetch(running.url())).status, 200)

  writeFileSync(file, SMALL.replace('localhost:0', `127.0.0.1:${port}`))
  running.child.kill('SIGHUP')
  await running.says('The new configuration could not start: going back to the one before')
  await running.says(READY, 3)
  await running.says('metrics on ', 3)
  assert.equal((await fetch(running.url())).status, 200)

  running.child.kill('SIGTERM')
  assert.equal(await running.ended(), 0)
})

test('SIGHUPs faster than it can reload become one reload after the other, and the last one is heard', async (context) => {
  // An address of this process alone, and always the same port: of two services at once the second could not start.
  const endpoint = `127.${64 + (process.pid >> 16)}.${(process.pid >> 8) & 255}.${process.pid & 255}:19464`
  const small = SMALL.replace('localhost:0', endpoint)
  const file = folder(context)('agent.yaml', small)
  const running = agent(context, ['--config', file])
  await running.says('metrics on ')
  const held = () => heldInKernel(running.child.pid)
  const before = held()

  const LAST = 50
  const fields = (round: number) => `service: {telemetry: {logs: {initial_fields: {round: "${round}"}}}, `
  for (let round = 1; round <= LAST; round++) {
    writeFileSync(file, small.replace('service: {', fields(round)))
    running.child.kill('SIGHUP')
  }
  await running.says(new RegExp(`metrics on .*"round":"${LAST}"`))
  await until('its page is there again, and it holds what it held before', async () => {
    assert.equal((await fetch(running.url())).status, 200)
    assert.deepEqual(held(), before)
    return true
  })

  running.child.kill('SIGTERM')
  assert.equal(await running.ended(), 0)
  assert.doesNotMatch(running.stderr(), /could not start|Could not stop/)
  const steps = messages(running.stderr()).filter((line) => /Config updated|Everything is ready|shutdown/.test(line))
  const reloads = steps.filter((line) => line.includes('Config updated')).length
  assert.ok(reloads >= 1 && reloads <= LAST, `${reloads} reloads`)
  const round = ['info Config updated, restart service', `info ${READY}`]
  assert.deepEqual(steps, [`info ${READY}`, ...Array(reloads).fill(round).flat(), 'info Starting shutdown...'])
})

test('SIGTERM ends it also while somebody who asked for the page does not read it', async (context) => {
  // A page of megabytes, more than the kernel keeps for a connection (tcp_wmem in tcp(7)): it cannot have been sent.
  const labels = Object.fromEntries(Array.from({ length: 1000 }, (_, at) => [`label_${at}`, 'x'.repeat(900)]))
  const file = folder(context)(
    'agent.yaml',
    // Of the machine itself there is always something to tell, also where there is no container.
    SMALL.replaceAll('cgroup', 'node').replace(
      '"localhost:0"',
      `"localhost:0", const_labels: ${JSON.stringify(labels)}`,
    ),
  )
  const running = agent(context, ['--config', file])
  await running.says('metrics on ')
  const { hostname, port, host, pathname } = new URL(running.url())
  const socket = connect(Number(port), hostname).setEncoding('latin1')
  context.after(() => socket.destroy())
  // It may be reset, and at any time: as soon as the agent ends, or when the rest is read.
  socket.on('error', () => {})
  const closed = new Promise((resolve) => socket.once('close', resolve))
  socket.write(`GET ${pathname} HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
  const [begin] = await once(socket, 'data')
  socket.pause()
  const wholeBytes = Number(/^content-length: (\d+)/im.exec(begin)?.[1])

  running.child.kill('SIGTERM')
  assert.equal(await running.ended(), 0)
  assert.match(running.stderr(), /Shutdown complete\./)
  socket.resume()
  await closed
  assert.ok(socket.bytesRead < wholeBytes, `it had been sent: ${socket.bytesRead} of ${wholeBytes} bytes`)
})

test('a signal during the start is not lost', async (context) => {
  const running = agent(context, ['--config', folder(context)('agent.yaml', SMALL)])
  await running.says('Starting leadline...')
  running.child.kill('SIGTERM')
  assert.equal(await running.ended(), 0)
  assert.match(running.stderr(), /Shutdown complete\./)
})

test('without --config it runs the built-in one, and says which that is', async (context) => {
  const running = agent(context, ['run', '--set=exporters.prometheus.endpoint=localhost:0'])
  await running.says(READY)
  running.child.kill('SIGTERM')
  assert.equal(await running.ended(), 0)
  assert.match(running.stderr(), /Starting leadline\.\.\..*"config":"built-in \(.*otel-config\/agent\.yaml\)"/)
})

for (const [what, how] of [
  ['an error that nobody caught', 'throw new Error("boom")'],
  ['a promise that nobody waited for', 'Promise.reject(new Error("boom"))'],
] as const) {
  test(`${what} is logged and ends the agent with 1`, async (context) => {
    const trap = `data:text/javascript,process.on("SIGUSR2",()=>{${how}})`
    const running = agent(context, ['--config', folder(context)('agent.yaml', SMALL)], ['--import', trap])
    await running.says(READY)
    running.child.kill('SIGUSR2')
    assert.equal(await running.ended(), 1)
    assert.match(running.stderr(), /\terror\tSomething went wrong that should not\t\{"error":"Error: boom/)
  })
}
