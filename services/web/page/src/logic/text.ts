import type { Status } from '../api/types'

const UNITS: [string, number][] = [
  ['d', 86_400],
  ['h', 3_600],
  ['m', 60],
  ['s', 1],
]

/** Nanoseconds in words: `850 ms`, `12 s`, `3 m 5 s`. */
export function duration(nanoseconds: number): string {
  const seconds = nanoseconds / 1e9
  if (seconds <= 0) return '–'
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`
  if (seconds < 10) return `${seconds.toFixed(1)} s`
  let rest = Math.round(seconds)
  const parts: string[] = []
  for (const [unit, size] of UNITS) {
    const count = Math.floor(rest / size)
    rest -= count * size
    if (count) parts.push(`${count} ${unit}`)
  }
  return parts.slice(0, 2).join(' ')
}

/** How long ago, in words. */
export function ago(time: string, now: number): string {
  const seconds = Math.max(0, (now - Date.parse(time)) / 1000)
  if (seconds < 5) return 'just now'
  const [unit, size] = UNITS.find(([, each]) => seconds >= each) ?? ['s', 1]
  return `${Math.floor(seconds / size)} ${unit} ago`
}

export function isActive(status: Status): boolean {
  return status === 'pending' || status === 'running' || status === 'canceling'
}

export function firstLine(text: string): string {
  return text.split('\n', 1)[0] ?? ''
}
