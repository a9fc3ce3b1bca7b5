// What must not leave, in the ways it gets into logs; and that what helps stays.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { redacted } from '../../../processors/log_fingerprint/redact.ts'

const SECRET = 'Zq7mXw2kLp9vRt4y'

const leaks = [
  `password=${SECRET}`,
  `password: "${SECRET} with spaces"`,
  `"password": "${SECRET}"`,
  `{"user":"bob","passwd":"${SECRET}","n":1}`,
  `DB_PASSWORD=${SECRET}`,
  `db.password = '${SECRET}'`,
  `the password is ${SECRET}`,
  `token to ${SECRET}`,
  `mysqld --password ${SECRET}`,
  `psql postgres://app:${SECRET}@db:5432/shop`,
  `amqp://guest:${SECRET}@mq`,
  `GET /login?user=bob&key=${SECRET}&x=1 HTTP/1.1`,
  `https://shop.example/reset?t=${SECRET}#top`,
  `Authorization: Bearer ${SECRET}`,
  `authorization: Basic ${SECRET}==`,
  `Cookie: a=1; sid=${SECRET}; b=2`,
  `x-api-key: ${SECRET}`,
  `api_key=${SECRET}`,
  `apiKey => ${SECRET}`,
  `client secret: ${SECRET}`,
  `AKIA${SECRET.toUpperCase()}`,
  `ghp_${SECRET}${SECRET}`,
  `eyJhbGciOiJIUzI1NiJ9.${SECRET}.${SECRET}`,
  `-----BEGIN RSA PRIVATE KEY-----\n${SECRET}\n-----END RSA PRIVATE KEY-----`,
  `-----BEGIN PRIVATE KEY-----\n${SECRET}`,
  `signature=${SECRET}`,
  `session_id=${SECRET}`,
  `got ${SECRET} from the vault`,
  `otp=${SECRET}`,
]

test('secrets are taken out wherever they stand', () => {
  for (const text of leaks) assert.ok(!redacted(text).includes(SECRET), `${text} → ${redacted(text)}`)
  for (const text of leaks) assert.ok(!redacted(text).toLowerCase().includes(SECRET.toLowerCase()), text)
})

// A word like any other: only where it stands says what it is.
const WORD = 'correcthorse'

test('secrets that look like words are known by where they stand', () => {
  for (const text of [
    `password for bob is ${WORD}`,
    `the password is: ${WORD}`,
    `passphrase "${WORD} and more"`,
    `ALTER USER bob WITH PASSWORD '${WORD}'`,
    `CREATE USER bob IDENTIFIED BY '${WORD}'`,
    `{"password":"a\\"b ${WORD}"}`,
    `{\\"password\\":\\"${WORD}\\"}`,
    `passwords: ["x","${WORD}"]`,
    `password%3D${WORD}&x`,
    `<db:password>${WORD}</db:password>`,
    `<add key="Password" value="${WORD}"/>`,
    `mysql -u root -p${WORD} shop`,
    `curl -u admin:${WORD} http://x`,
    `PHPSESSID=${WORD}`,
    `encryption_key=${WORD}`,
    `license-key: ${WORD}`,
    `requirepass ${WORD}`,
    `1714650000.1 [0 10.0.0.1:4] "AUTH" "default" "${WORD}"`,
    `ghp_${WORD}${WORD}${WORD}`,
    `glpat-${WORD}${WORD}`,
    `sk_live_${WORD}${WORD}`,
    `hvs.${WORD}${WORD}`,
    `SG.${WORD}.${WORD}`,
    `eyJhbGciOiJI.${WORD}.${WORD}`,
    `-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: a - b\n${WORD}`,
  ]) {
    assert.ok(!redacted(text).includes(WORD), `${text} → ${redacted(text)}`)
  }
})

test('addresses of people, cards and phones are taken out', () => {
  for (const [text, gone] of [
    ['mail to alice.smith+tag@mail.example.org bounced', 'alice'],
    ['card 4111 1111 1111 1111 declined', '4111'],
    ['card 4111111111111111 declined', '4111'],
    ['card 5500-0000-0000-0004', '5500'],
    ['called +49 30 1234 5678 twice', '1234'],
    ['called (555) 867-5309', '867'],
    ['sms to 555-867-5309', '867'],
    ['tel. 030/8675309', '8675309'],
    ['+1.555.867.5309', '867'],
    ['card 4111.1111.1111.1111', '4111'],
    ['ssn 123-45-6789', '6789'],
    ['your verification code is 482910', '482910'],
    ['mailto:bob%40example.com', 'bob'],
    ['josé@exämple.com', 'jos'],
  ] as const) {
    assert.ok(!redacted(text).includes(gone), `${text} → ${redacted(text)}`)
  }
})

test('what helps to understand a message stays', () => {
  for (const text of [
    '2024-05-02 11:20:31,004 ERROR [main] connection to 10.0.0.1:5432 refused after 3000 ms',
    'open /var/lib/app/data.db: no such file or directory',
    'java.lang.IllegalStateException: could not reserve stock for order 88123',
    'password authentication failed',
    'worker process 29 exited on signal 9',
    'host=db-1 port=5432 retries=3',
    'sk_stream_wait_memory failed, exit code is 137',
    'secret kube-system/db-creds not found',
    'Failed password for invalid user admin from 10.0.0.5 port 22 ssh2',
  ]) {
    assert.equal(redacted(text), text)
  }
})

test('the time it takes grows with the length, not faster', () => {
  const shapes = [
    'mysql -p',
    '\\\\"',
    'password"',
    '<pass>',
    'eyJaaaaaa.',
    'key is ',
    'tel 1',
    ' -u a:',
    'pass ',
    'a',
    'a.',
    'a@',
    '1 ',
    'password',
    'http://',
    '/?',
    '-----BEGIN ',
    '"token":',
    '+1 ',
    '--',
    'x=',
  ]
  for (const shape of shapes) {
    const text = shape.repeat(4096 / shape.length)
    const startMs = performance.now()
    redacted(text)
    assert.ok(performance.now() - startMs < 2000, `${JSON.stringify(shape)} took ${performance.now() - startMs} ms`)
  }
})
