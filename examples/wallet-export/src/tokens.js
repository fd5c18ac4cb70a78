// Shows tokens by what they say. The tokens themselves stay out of the page.

import { make } from './dom.js'
import { jwtsIn } from './jwt.js'

// tokensIn finds every token in a text, and decodes it. Nothing is verified here: that is the gateway's work.
export const tokensIn = (text) => jwtsIn(text).map((token) => {
  try {
    const [header, claims] = token.split('.', 2).map(decode)
    return { kind: kindOf(header, claims), claims }
  } catch {
    return { kind: 'unreadable token', claims: {} }
  }
})

function decode(part) {
  const bytes = atob(part.replaceAll('-', '+').replaceAll('_', '/'))
  return JSON.parse(new TextDecoder().decode(Uint8Array.from(bytes, (c) => c.charCodeAt(0))))
}

function kindOf({ typ }, { token_use: use }) {
  if (use) return `${use} token` // of the gateway: session or elevated
  return typ === 'step-up+jwt' ? 'assertion' : 'external JWT'
}

// showToken is a line that says what a token is good for, and opens to show its claims.
export function showToken({ kind, claims }) {
  const gist = [claims.scope ?? claims.external_user_id ?? claims.sub, claims.singleUse && 'one use', validity(claims)]
  return make('details', { class: 'token' },
    make('summary', {}, make('b', {}, kind), ' ', make('span', {}, gist.filter(Boolean).join(' · '))),
    showClaims(claims))
}

const showClaims = (claims) => make('dl', { class: 'facts' },
  Object.entries(claims).map(([name, value]) => make('div', {}, make('dt', {}, name), make('dd', {}, readable(name, value)))))

function validity({ exp, iat }) {
  const seconds = exp - (iat ?? Date.now() / 1000)
  if (!Number.isFinite(seconds)) return ''
  const span = seconds < 120 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`
  return `for ${span}`.replaceAll(' ', '\u00a0')
}

const dates = new Set(['exp', 'iat', 'nbf', 'auth_time'])
const longID = /^[\w.-]{25,}$/

// readable is a claim as people read it: times by the clock, and of an id its beginning.
export function readable(name, value) {
  if (dates.has(name)) return new Date(value * 1000).toLocaleTimeString('en-GB')
  if (typeof value === 'string') return longID.test(value) ? `${value.slice(0, 8)}…` : value
  return JSON.stringify(value)
}
