// Which lines share a pattern and which do not, in the shapes of logs that are widely known.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { hashOf, readMessages } from './given.ts'

/** Lines of one list have one pattern, lines of different lists different ones. */
const same: Readonly<Record<string, readonly (readonly string[])[]>> = {
  'an ssh daemon behind syslog': [
    [
      'Dec 10 06:55:46 web-1 sshd[24200]: Invalid user webmaster from 173.234.31.186',
      'Jan  2 16:05:06 db sshd[7]: Invalid user oracle from 10.1.2.3',
    ],
    [
      'Dec 10 06:55:48 web-1 sshd[24200]: Failed password for invalid user webmaster from 173.234.31.186 port 38926 ssh2',
      'Dec 11 07:00:00 web-1 sshd[242]: Failed password for invalid user test from 10.9.8.7 port 1 ssh2',
    ],
    [
      'Dec 10 07:13:43 web-1 sshd[24227]: Failed password for root from 5.36.59.76 port 42393 ssh2',
      'Dec 10 07:13:56 web-1 sshd[24228]: Failed password for git from 5.36.59.77 port 42394 ssh2',
    ],
    [
      'Dec 10 07:27:50 web-1 sshd[24300]: pam_unix(sshd:auth): check pass; user unknown',
      'Dec 10 07:27:52 web-2 sshd[1]: pam_unix(sshd:auth): check pass; user unknown',
    ],
  ],
  'an old web server': [
    [
      '[Sun Dec 04 04:47:44 2005] [notice] workerEnv.init() ok /etc/httpd/conf/workers2.properties',
      '[Mon Dec 05 19:15:57 2005] [notice] workerEnv.init() ok /etc/httpd/conf/workers3.properties',
    ],
    [
      '[Sun Dec 04 04:47:44 2005] [error] mod_jk child workerEnv in error state 6',
      '[Sun Dec 04 04:51:18 2005] [error] mod_jk child workerEnv in error state 10',
    ],
    [
      '[Sun Dec 04 05:15:09 2005] [error] [client 222.166.160.184] Directory index forbidden by rule: /var/www/html/',
      '[Sun Dec 04 06:15:09 2005] [error] [client 10.0.0.1] Directory index forbidden by rule: /srv/www/',
    ],
  ],
  'a phone application with bars between fields': [
    [
      '20171223-22:15:29:606|Step_Counter|30002312|onStandStepChanged 3579',
      '20171224-0:0:5:73|Step_Other|30002312|onStandStepChanged 12',
    ],
    [
      '20171223-22:15:29:615|Step_Counter|30002312|getTodaySteps = 1514038440000##6993##548365',
      '20171223-22:16:29:615|Step_Counter|30002312|getTodaySteps = 1514038500000##7000##548366',
    ],
  ],
  'a cluster with epoch seconds in the middle': [
    [
      '134681 node-246 unix.hw state_change.unavailable 1077804742 1 Component State Change: Component "alt0" is in the unavailable state (HWID=1234)',
      '350766 node-109 unix.hw state_change.unavailable 1084680778 1 Component State Change: Component "alt0" is in the unavailable state (HWID=3180)',
    ],
    ['459384 gige7 gige temperature 1145552216 1 warning', '459385 gige3 gige temperature 1145552217 1 warning'],
  ],
  'a cluster that tags alerts': [
    [
      '- 1131566461 2005.11.09 dn228 Nov 9 12:01:01 dn228/dn228 crond(pam_unix)[2915]: session closed for user root',
      '- 1131566462 2005.11.09 dn731 Nov 9 12:01:02 dn731/dn731 crond(pam_unix)[2916]: session closed for user root',
    ],
    [
      'DISK_FAULT 1131566463 2005.11.09 an101 Nov 9 12:01:03 an101/an101 kernel: cciss: cmd 0000010000 has CHECK CONDITION',
      '- 1131566464 2005.11.09 an102 Nov 9 12:01:04 an102/an102 kernel: cciss: cmd 0000020000 has CHECK CONDITION',
    ],
  ],
  'a laptop whose programs have spaces in their names': [
    [
      'Jul  1 09:00:55 laptop-10-105 kernel[0]: Thunderbolt HPD packet for route = 0x0 port = 11 unplug = 0',
      'Jul  4 19:10:15 laptop-10-106 kernel[0]: Thunderbolt HPD packet for route = 0x1 port = 12 unplug = 1',
    ],
    [
      'Jul  1 09:00:55 laptop-10-105 Some Web Browser[35628]: no window for tab 7',
      'Jul  2 10:00:55 laptop Some Web Browser[2]: no window for tab 12',
    ],
  ],
  'a coordinator with brackets in brackets': [
    [
      '2015-07-29 17:41:44,747 - INFO  [Peer[myid=1]/0:0:0:0:0:0:0:0:2181:Election@774] - Notification time out: 3200',
      '2015-07-30 01:00:00,001 - INFO  [Peer[myid=2]/0:0:0:0:0:0:0:0:2181:Election@774] - Notification time out: 60000',
    ],
    [
      '2015-07-29 19:04:12,394 - WARN  [Sender[myid=1]:Manager@368] - Cannot open channel to 2 at election address /10.10.34.12:3888',
      '2015-07-29 19:04:13,394 - WARN  [Sender[myid=3]:Manager@368] - Cannot open channel to 1 at election address /10.10.34.11:3888',
    ],
  ],
  'a scheduler on a virtual machine for Java': [
    [
      '2015-10-18 18:01:47,978 INFO [main] org.acme.v2.app.Master: Created Master for application attempt_1445144423722_0020_000001',
      '2015-10-18 18:02:47,978 INFO [RMCommunicator Allocator] org.acme.v2.app.Other: Created Master for application attempt_1445144423722_0021_000002',
    ],
    ['2015-10-18 18:01:53,885 INFO [AsyncDispatcher event handler] org.acme.Job: Job Transitioned from NEW to INITED'],
    [
      '2015-10-18 18:01:54,885 INFO [AsyncDispatcher event handler] org.acme.Job: Job Transitioned from INITED to SETUP',
    ],
  ],
  'values by their type': [
    ['took 12 ms', 'took 1204ms', 'took 4 seconds'],
    ['wrote 12 KB to /var/lib/a', 'wrote 3 bytes to C:\\temp\\b'],
    ['peer fe80::1:aa:bb:cc joined', 'peer 00:11:22:aa:bb:cc joined', 'peer 10.0.0.1:80 joined'],
    ['got 6f3c1b2e-9d1e-4a53-a1f0-0c4a5e6b7d8e', 'got deadbeef', 'got 0x7ffe'],
    ['rows [1, 2, 3] left', 'rows [7] left'],
    ['opened "a.txt" for reading', "opened 'b.bin' for reading"],
    ['GET https://a.example/x?y=1 failed', 'GET http://b.example failed'],
    ['mail to bob@example.org bounced', 'mail to alice.b@sub.example.com bounced'],
    ['is ready=true', 'is  ready=true'],
    ['is ready=false'],
    ['VM started'],
    ['VM paused'],
    ['naïve café ouvert 12', 'naïve café ouvert 7'],
  ],
  'access logs by method and class of status': [
    [
      '10.0.0.1 - - [02/May/2024:11:20:31 +0000] "GET /a?x=1 HTTP/1.1" 200 512 "-" "curl/8.5.0"',
      '10.0.0.2 - bob [02/May/2024:11:21:31 +0000] "GET /b/c HTTP/2.0" 204 0 "https://shop/" "Mozilla/5.0 (X11; Linux)"',
    ],
    ['10.0.0.1 - - [02/May/2024:11:20:31 +0000] "GET /a HTTP/1.1" 502 512 "-" "curl/8.5.0"'],
    ['10.0.0.1 - - [02/May/2024:11:20:31 +0000] "POST /a HTTP/1.1" 201 512 "-" "curl/8.5.0"'],
  ],
  'one message in many formats': [
    [
      'connection to db-1 lost after 12 ms',
      '2024-05-02 11:20:31,004 ERROR [main] connection to db-7 lost after 3 ms',
      '2024-05-02T11:20:31.004Z  WARN 1 --- [main] c.acme.Db   : connection to db-7 lost after 3 ms',
      '{"level":"error","ts":1714651231.1,"msg":"connection to db-2 lost after 99 ms","n":1}',
      'time="2024-05-02T11:20:31Z" level=error msg="connection to db-3 lost after 1 ms" n=2',
      'E0502 11:20:31.004251       1 db.go:250] connection to db-4 lost after 5 ms',
      '<27>May  2 11:20:31 node-1 app[77]: connection to db-5 lost after 5 ms',
      '\x1b[31mERROR\x1b[0m connection to db-5 lost after 5 ms',
      '[11:20:31 ERR] connection to db-5 lost after 5 ms',
      '1:M 02 May 2024 11:20:31.002 # connection to db-5 lost after 5 ms',
      '2024-05-02 11:20:31.210 UTC [77] ERROR:  connection to db-5 lost after 5 ms',
    ],
  ],
}

for (const [name, groups] of Object.entries(same)) {
  test(`patterns of ${name}`, () => {
    const hashes = groups.map((lines) => lines.map(hashOf))
    for (const [i, lines] of groups.entries()) {
      for (const [k, line] of lines.entries()) assert.equal(hashes[i]?.[k], hashes[i]?.[0], line)
    }
    assert.equal(new Set(hashes.map(([first]) => first)).size, groups.length, 'different patterns')
  })
}

test('a hash never depends on what was read before', () => {
  const lines = Object.values(same).flat(2)
  const alone = new Map(lines.map((line) => [line, hashOf(line)]))
  for (const order of [lines, lines.toReversed(), lines.toSorted()]) {
    const found = readMessages(`${order.join('\n')}\n`)
    for (const { line, hash } of found) assert.equal(hash, alone.get(order[line - 1] ?? ''), order[line - 1])
  }
})

test('the rules are a version of their own: these hashes change only when it does', () => {
  assert.equal(hashOf('connection to db-1 lost after 12 ms'), '0891ba30d7f96159')
})

test('traces are known by what went wrong, not by where', () => {
  const trace = (error: string) =>
    `Traceback (most recent call last):\n  File "/a.py", line 3, in x\n    f()\n${error}\n`
  const [first] = readMessages(trace("KeyError: 'a'"))
  assert.equal(readMessages(trace("KeyError: 'b'"))[0]?.hash, first?.hash)
  assert.notEqual(readMessages(trace('OSError: disk full'))[0]?.hash, first?.hash)
  const panic = (message: string) => `thread 'main' panicked at src/a.rs:1:2:\n${message}\n`
  assert.notEqual(readMessages(panic('no such key'))[0]?.hash, readMessages(panic('out of memory'))[0]?.hash)
})
