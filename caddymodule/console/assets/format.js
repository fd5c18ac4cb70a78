// Says times and durations as people do.

import { make } from './dom.js'

const full = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'long' })
const day = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' })
const clock = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' })
const relative = new Intl.RelativeTimeFormat('en', { numeric: 'always' })

const units = [['day', 86400], ['hour', 3600], ['minute', 60], ['second', 1]]

// fromNow says how far away a moment is, in its largest unit: "3 minutes ago".
export function fromNow(date) {
  const seconds = (date - Date.now()) / 1000
  if (Math.abs(seconds) < 1) return 'now'
  const [unit, size] = units.find(([, s]) => Math.abs(seconds) >= s)
  return relative.format(Math.trunc(seconds / size), unit)
}

const parse = (text) => {
  const date = new Date(text)
  // Year 1 is how the admin API says never.
  return text && !Number.isNaN(date.getTime()) && date.getUTCFullYear() > 1 ? date : null
}

// timeOfDay takes a Date, or the text of one.
export function timeOfDay(when) {
  const date = when instanceof Date ? when : parse(when)
  return date ? clock.format(date) : String(when)
}

// moment is a time relative to now, which `tick` keeps true; null where there is none.
// Once it is over it reads as overdue does, where that is given.
export function moment(text, overdue = null) {
  const date = parse(text)
  return date && make('time', { datetime: text, title: full.format(date), 'data-live': true, 'data-overdue': overdue }, told(date, overdue))
}

const told = (date, overdue) => overdue && date <= Date.now() ? overdue : fromNow(date)

// stamp is the time of day, with the date in front where that is not today's.
export function stamp(text) {
  const date = parse(text)
  if (!date) return make('span', {}, text ?? '')
  const today = date.toDateString() === new Date().toDateString()
  return make('time', { datetime: text, title: full.format(date) },
    today ? clock.format(date) : `${day.format(date)} ${clock.format(date)}`)
}

export const fullTime = (text) => {
  const date = parse(text)
  return date ? full.format(date) : text
}

// tick brings the relative times on the page up to date, those that read differently by now.
export function tick() {
  for (const element of document.querySelectorAll('time[data-live]')) {
    const text = told(new Date(element.dateTime), element.dataset.overdue)
    if (element.textContent !== text) element.textContent = text
  }
}

const unitNames = { h: 'h', m: 'min', s: 's', ms: 'ms', 'µs': 'µs', ns: 'ns' }

// duration is one of Go's without the parts that are nothing: "24h0m0s" is "24 h".
export function duration(text) {
  const parts = [...String(text ?? '').matchAll(/(\d+(?:\.\d+)?)(h|ms|µs|ns|m|s)/g)]
    .filter(([, number]) => Number(number) !== 0)
    .map(([, number, unit]) => `${number} ${unitNames[unit]}`)
  return parts.join(' ') || String(text ?? '')
}

export const count = (n, one, many = `${one}s`) => `${n} ${n === 1 ? one : many}`
