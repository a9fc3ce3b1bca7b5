// Takes out of a text what should not leave the machine. Runs once per pattern, not per line.
// Every expression reads a text once: no quantifier inside another over the same characters, all runs are bounded.

const GONE = '<*>'
const LONG_WORDS =
  'pass(?:word|wd|phrase|code)|pwd|secret|token|(?:api|access|private|encryption|signing|license|master|shared|account)[-_ ]?key|authorization|credentials?|sess(?:ion)?[-_ ]?id|cookie|signature'
const SHORT_WORDS = 'pass|auth|session|sid|jwt|otp|pin|ssn|cvv|cvc|csrf|nonce'
const SECRET = `(?:${LONG_WORDS}|(?<![a-z])(?:${SHORT_WORDS})(?![a-z]))`
/** A string in quotes, also when they are escaped, as in JSON within JSON; its end may be cut off. */
const QUOTED = String.raw`\\{1,3}["'][^"'\\]{0,4096}|"(?:[^"\\]|\\.){0,4096}"?|'(?:[^'\\]|\\.){0,4096}'?`

const rule = (pattern: string, by: string): readonly [RegExp, string] => [new RegExp(pattern, 'gi'), by]

const RULES: readonly (readonly [RegExp, string])[] = [
  // Keys and certificates, also when the end was cut off.
  [/-----BEGIN [A-Z0-9 ]{1,40}-----[\s\S]{0,65536}?(?:-----END [A-Z0-9 ]{1,40}-----|$)/g, GONE],
  // JSON Web Tokens: RFC 7519, `{"` in base64url.
  [/\beyJ[\w-]{6,4096}\.[\w-]{2,4096}(?:\.[\w-]{0,4096})?/g, GONE],
  // Tokens that say whose they are: GitHub, GitLab, npm, PyPI, Slack, Stripe, OpenAI, Google, Vault, Docker, AWS.
  [
    /\b(?:gh[pousr]_|github_pat_|gl(?:pat|ptt|dt|rt)-|npm_|pypi-|xox[a-z]-|AIza|AKIA|ASIA|ya29\.)[\w.~+/=-]{8,4096}/g,
    GONE,
  ],
  [/\b(?:[spr]k_(?:live|test)_|whsec_|sk-|hv[sbr]\.|dckr_pat_|dop_v1_|SG\.)[\w.~+/=-]{16,4096}/g, GONE],
  [
    /\b((?:set-)?cookie|authorization|proxy-authorization|x-api-key)(["']?\s{0,4}[:=]\s{0,4})[^\r\n"']{1,4096}/gi,
    `$1$2${GONE}`,
  ],
  // scheme://user:password@host
  [/\b([a-z][a-z0-9+.-]{0,20}:\/\/)[^\s/@]{1,512}@/gi, `$1${GONE}@`],
  // What stands behind the question mark of a URL or a path.
  [/((?:[a-z][a-z0-9+.-]{0,20}:\/)?\/[^\s?"'<>]{0,1024})\?[^\s"'<>]{1,4096}/gi, `$1?${GONE}`],
  // password=…, "token": "…", PASSWORD => …, passwords: […]
  rule(
    String.raw`([\w.-]{0,40}${SECRET}[\w-]{0,20}(?:\\{0,3}["'])?\s{0,4}(?:=>|[:=]|%3d)\s{0,4})(?:${QUOTED}|\[[^\]]{0,4096}\]?|[^\s,;&"'}\])]{1,4096})`,
    `$1${GONE}`,
  ),
  // <password>…</password>, <add key="Password" value="…"/>
  rule(String.raw`(<[\w:.-]{0,40}${SECRET}[\w:.-]{0,20}>)[^<]{1,4096}`, `$1${GONE}`),
  rule(String.raw`((?:key|name)=["'][^"']{0,40}${SECRET}[^"']{0,20}["']\s{1,4}value=["'])[^"']{1,4096}`, `$1${GONE}`),
  // --secret …, -u user:…, mysql -p…
  rule(String.raw`(--?${SECRET}[\w-]{0,20}\s{1,4})[^\s-][^\s]{0,4096}`, `$1${GONE}`),
  [/(\s(?:-u|--user)[ =]{0,2}[^\s:]{1,64}:)\S{1,512}/g, `$1${GONE}`],
  [/(\bmysql[\w-]{0,16}\s[^\n|;]{0,128}?(?<=\s)-p)[^\s]{1,512}/g, `$1${GONE}`],
  // The password of bob is …, password "…", PASSWORD '…', identified by '…', password hunter2
  rule(
    String.raw`(\b(?:${SECRET}|key)(?:\s(?:for|of)\s\S{1,64})?\s{1,4}(?:is|was|to|set to|of):?\s{1,4})(?:${QUOTED}|\S{1,4096})`,
    `$1${GONE}`,
  ),
  rule(String.raw`(\b(?:${SECRET}|identified by)\s{1,4})(?:"[^"]{1,512}"|'[^']{1,512}')`, `$1${GONE}`),
  rule(String.raw`(\bpass(?:word|wd|phrase|code)\s{1,4})(?=[a-z_]{0,64}\d)\S{1,512}`, `$1${GONE}`),
  rule(String.raw`(\b(?:requirepass|masterauth)\s{1,4})\S{1,512}`, `$1${GONE}`),
  [/("auth")(?: "[^"]{0,512}"){1,2}/gi, `$1 ${GONE}`],
  [
    /\b((?:verification|security|login|access|confirmation|one[- ]time|your) (?:code|pin)(?: is|:| is:)\s{1,4})\S{1,64}/gi,
    `$1${GONE}`,
  ],
  [/\b(bearer|basic|digest|negotiate)\s{1,4}[\w.~+/=-]{6,4096}/gi, `$1 ${GONE}`],
  [/[\p{L}\p{N}_.%+-]{1,64}(?:@|%40)[\p{L}\p{N}-]{1,63}(?:\.[\p{L}\p{N}-]{1,63}){1,8}/giu, GONE],
  // Cards: 13 to 19 digits, in groups or not.
  [/(?<![\w.])\d(?:[ -]?\d){12,18}(?![\w.])/g, GONE],
  [/(?<![\w.])\d{4}(?:\.\d{4}){3}(?![\w.])/g, GONE],
  [/\+\d[\d ().-]{7,17}\d/g, GONE],
  [/(?<![\w.-])\(?\d{3}\)?[ .-]\d{3}[ .-]\d{4}(?![\w.-])/g, GONE],
  [/\b((?:tel|phone|mobile|fax)\w{0,8}[:=.]?\s{0,3})\+?\(?\d[\d ()/.-]{4,20}\d/gi, `$1${GONE}`],
  // Social security numbers.
  [/(?<![\w-])\d{3}-\d{2}-\d{4}(?![\w-])/g, GONE],
]

/** Anything long that mixes letters and digits: keys, tokens, ids, digests. */
const LONG = /[A-Za-z0-9_+=~-]{20,4096}/g
/** A secret key of AWS, whose slashes part it. */
const KEY_OF_40 = /(?<![\w/+=.-])[A-Za-z0-9+][A-Za-z0-9/+]{39}(?![\w/+=.-])/g
/** Letters and digits by turns: `S3cr3tP4ss`. */
const MIXED = /[A-Za-z0-9]{8,4096}/g

export function redacted(text: string): string {
  let out = text
  for (const [pattern, by] of RULES) out = out.replace(pattern, by)
  out = out.replace(LONG, (run) => (/\d/.test(run) && /[A-Za-z]/.test(run) ? GONE : run))
  out = out.replace(KEY_OF_40, (run) => (/\d/.test(run) && /[A-Z]/.test(run) && /[a-z]/.test(run) ? GONE : run))
  return out.replace(MIXED, (run) => (turns(run) >= 3 ? GONE : run))
}

/** How often a letter follows a digit or the other way round. */
function turns(run: string): number {
  let count = 0
  for (let at = 1; at < run.length; at++) if (isDigit(run, at) !== isDigit(run, at - 1)) count++
  return count
}

const isDigit = (run: string, at: number) => run.charCodeAt(at) < 58
