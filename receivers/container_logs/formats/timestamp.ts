// RFC 3339 as Go writes it (time.RFC3339Nano): 2026-11-25T14:14:33.123456789Z, or with an offset instead of the Z.

const DIGIT = 48
const DOT = 46
const PLUS = 43
const MINUS = 45

/** Milliseconds since the epoch, NaN for what is no such time. Reads `bytes[start, end)` and makes no string of it. */
export function timestampMs(bytes: Uint8Array, start: number, end: number): number {
  if (end - start < 20) return Number.NaN
  const year = two(bytes, start) * 100 + two(bytes, start + 2)
  const minutes = two(bytes, start + 11) * 60 + two(bytes, start + 14)
  const days = daysSinceEpoch(year, two(bytes, start + 5), two(bytes, start + 8))
  let ms = (days * 1440 + minutes) * 60_000 + two(bytes, start + 17) * 1000
  let at = start + 19
  if (bytes[at] === DOT) {
    let unit = 100
    for (at++; at < end; at++, unit /= 10) {
      const digit = (bytes[at] ?? 0) - DIGIT
      if (digit < 0 || digit > 9) break
      ms += digit * unit
    }
  }
  const sign = bytes[at]
  if (sign !== PLUS && sign !== MINUS) return ms
  const offsetMs = (two(bytes, at + 1) * 60 + two(bytes, at + 4)) * 60_000
  return sign === PLUS ? ms - offsetMs : ms + offsetMs
}

function two(bytes: Uint8Array, at: number): number {
  const tens = (bytes[at] ?? 0) - DIGIT
  const ones = (bytes[at + 1] ?? 0) - DIGIT
  return tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9 ? tens * 10 + ones : Number.NaN
}

/** Of the proleptic Gregorian calendar (Howard Hinnant, days_from_civil). */
function daysSinceEpoch(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year
  const era = Math.floor(y / 400)
  const yearOfEra = y - era * 400
  const dayOfYear = Math.floor((153 * (month + (month > 2 ? -3 : 9)) + 2) / 5) + day - 1
  return era * 146_097 + yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear - 719_468
}
