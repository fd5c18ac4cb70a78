// Shows whether an environment can do its work: keys, store, signing keys.

import { byId, icon, make, show } from './dom.js'
import { count, moment } from './format.js'

// stateOf says how an environment is: bad where it is unhealthy, warn where something
// is wrong that nobody feels yet.
export function stateOf(health) {
  if (!health.healthy) return 'bad'
  const parts = [health.store, health.signing_keys, ...(health.providers ?? [])]
  return health.error || parts.some((part) => part?.error) ? 'warn' : 'ok'
}

// showHealth shows a report, or, where it is stale, what it said when there was an answer.
export function showHealth(health, e, stale = false) {
  const item = (part, name, facts) => itemOf(part, stale, name, facts)
  show(byId('health-providers'), health?.error ? trouble(health.error) : health?.providers?.map((p) => provider(item, p)) ?? unknown())
  show(byId('health-store'), health?.store ? store(item, health.store) : unknown())
  show(byId('health-keys'), health?.signing_keys ? keys(item, health.signing_keys) : health && !health.error ? foreign(e) : unknown())
  byId('rotate').hidden = !health?.signing_keys?.current
}

const unknown = () => make('p', { class: 'soft' }, 'Not known.')

const foreign = (e) => make('p', { class: 'soft' }, 'None of its own: the exchanger ', make('code', {}, e.exchanger), ' has others sign.')

const states = {
  ok: 'Healthy',
  warn: 'Healthy, with a warning', // nobody feels it yet
  bad: 'Unhealthy',
}

// itemOf is one thing, whether it is well, and what there is to say about it: a name and a
// value on each line, so that a time that reads differently moves nothing beside it.
function itemOf({ healthy, error }, stale, name, facts) {
  const state = !healthy ? 'bad' : error ? 'warn' : 'ok'
  return make('div', { class: `item ${stale ? 'stale' : state}` },
    make('p', { class: 'state' }, icon(stale ? 'wait' : state), make('strong', {}, stale ? `Was ${states[state].toLowerCase()}` : states[state]), name),
    error && make('p', { class: 'reason' }, error),
    make('dl', {}, facts.filter(([, value]) => value).map(([fact, value]) =>
      make('div', {}, make('dt', {}, fact), make('dd', {}, value)))))
}

const trouble = (error) => make('p', { class: 'trouble' }, error)

const provider = (item, p) => item(p, make('code', {}, p.issuer), [
  ['Keys', String(p.keys ?? 0)],
  ['Fetched', moment(p.fetched) ?? 'never'],
  ['Next', moment(p.next, 'due now')],
])

const store = (item, s) => item(s, make('code', {}, s.store), [
  ['Keeps', s.healthy && (s.store === 'memory' ? 'what is used and revoked, until Caddy ends' : 'what is used and revoked')],
])

const keys = (item, k) => item(k, k.algorithm && make('code', {}, k.algorithm), [
  ['Signs', k.current && kid(k.current)],
  ['Since', moment(k.since)],
  ['Next', k.next && kid(k.next)],
  ['Rotates', moment(k.rotates, 'due now')],
  ['Published', count(k.published ?? 0, 'key')],
])

const kid = (text) => make('code', { title: text }, text)
