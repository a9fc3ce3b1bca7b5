// Draws the arrows between the rooms from the code's own imports, and fails when one points the wrong way.
import { globSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'

/** A room may import from itself and from those that stand after it. */
const order = ['otel-config', 'processors', 'receivers', 'native']

const wrong: string[] = []
for (const file of globSync(`{${order.join(',')}}/**/*.{ts,mjs}`, { exclude: (name) => name === 'build' })) {
  const room = order.indexOf(file.split('/')[0] ?? '')
  for (const [, target = ''] of readFileSync(file, 'utf8').matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g)) {
    const path = normalize(join(dirname(file), target))
    const targetRoom = order.indexOf(path.split('/')[0] ?? '')
    if (targetRoom === -1 ? path !== 'package.json' : targetRoom < room) wrong.push(`${file} imports ${path}`)
  }
}
if (wrong.length > 0) {
  process.stderr.write(`imports go ${order.join(' → ')}, but:\n  ${wrong.join('\n  ')}\n`)
  process.exit(1)
}
