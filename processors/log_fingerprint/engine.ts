// All that reads lines, behind one door: the bundle makes one plain block of code of it (otel-config/bundle.mjs), where
// constants are numbers and nothing is loaded late. Split over lazily loaded modules it is a fifth slower.
export { contentTemplate } from './content.ts'
export { LEVELS, type Level, levelNamed } from './levels.ts'
export { createPatterns, createRoom, hashText, type Patterns, type Room } from './patterns.ts'
export { createReader, type Message, type Reader } from './reader.ts'
export { masked } from './tokens.ts'
