// Takes out of a text what should not leave the machine. Runs once per pattern, not per line.
// Every expression reads a text once: no quantifier inside another over the same characters, all runs are bounded.

const GONE = '<*>'
const LONG_WORDS =
  'pass(?:word|wd|phrase|code)|pwd|secret|token|api[-_ ]?key|access[-_ ]?key|private[-_ ]?key|authorization|credentials?|session[-_ ]?id|cookie|signature'
const SHORT_WORDS = 'pass|auth|session|sid|jwt|otp|pin|ssn|cvv|cvc|csrf|nonce'
const SECRET = `(?:${LONG_WORDS}|(?<![a-z])(?:${SHORT_WORDS})(?![a-z]))`

const RULES: readonly (readonly [RegExp, string])[] = [
  // Keys and certificates, also when the end was cut off.
  [/-----BEGIN [A-Z0-9 ]{1,40}-----[^-]*(?:-----END [A-Z0-9 ]{1,40}-----)?/g, GONE],
  [
    /\b((?:set-)?cookie|authorization|proxy-authorization|x-api-key)(["']?\s{0,4}[:=]\s{0,4})[^\r\n"']{1,4096}/gi,
    `$1$2${GONE}`,
  ],
  // scheme://user:password@host
  [/\b([a-z][a-z0-9+.-]{0,20}:\/\/)[^\s/@]{1,512}@/gi, `$1${GONE}@`],
  // What stands behind the question mark of a URL or a path.
  [/((?:[a-z][a-z0-9+.-]{0,20}:\/)?\/[^\s?"'<>]{0,1024})\?[^\s"'<>]{1,4096}/gi, `$1?${GONE}`],
  // password=…, "token": "…", --secret …, PASSWORD is …
  [
    new RegExp(
      `([\\w.-]{0,40}${SECRET}[\\w-]{0,20}["']?\\s{0,4}(?:=>|[:=])\\s{0,4})(?:"[^"]{0,4096}"?|'[^']{0,4096}'?|[^\\s,;&"'}\\])]{1,4096})`,
      'gi',
    ),
    `$1${GONE}`,
  ],
  [new RegExp(`(--?${SECRET}[\\w-]{0,20}\\s{1,4})[^\\s-][^\\s]{0,4096}`, 'gi'), `$1${GONE}`],
  [new RegExp(`(\\b(?:${SECRET}|key)\\s{1,4}(?:is|was|to|set to|of)\\s{1,4})[^\\s]{1,4096}`, 'gi'), `$1${GONE}`],
  [/\b(bearer|basic|digest|negotiate)\s{1,4}[\w.~+/=-]{6,4096}/gi, `$1 ${GONE}`],
  [/[\w.%+-]{1,64}@[a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){1,8}/gi, GONE],
  // Cards: 13 to 19 digits, in groups or not.
  [/(?<![\w.])\d(?:[ -]?\d){12,18}(?![\w.])/g, GONE],
  [/\+\d[\d ()-]{7,17}\d/g, GONE],
  [/(?<![\w.-])\(?\d{3}\)?[ .-]\d{3}[ .-]\d{4}(?![\w.-])/g, GONE],
]

/** Anything long that mixes letters and digits: keys, tokens, ids, digests. */
const LONG = /[A-Za-z0-9_+=~-]{20,4096}/g
/** Letters and digits by turns: `S3cr3tP4ss`. */
const MIXED = /[A-Za-z0-9]{8,4096}/g

export function redacted(text: string): string {
  let out = text
  for (const [pattern, by] of RULES) out = out.replace(pattern, by)
  out = out.replace(LONG, (run) => (/\d/.test(run) && /[A-Za-z]/.test(run) ? GONE : run))
  return out.replace(MIXED, (run) => (turns(run) >= 3 ? GONE : run))
}

/** How often a letter follows a digit or the other way round. */
function turns(run: string): number {
  let count = 0
  for (let at = 1; at < run.length; at++) if (isDigit(run, at) !== isDigit(run, at - 1)) count++
  return count
}

const isDigit = (run: string, at: number) => run.charCodeAt(at) < 58
