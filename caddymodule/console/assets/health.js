// Shows whether an environment can do its work: keys, store, signing keys.

import { byId, icon, make, show } from './dom.js'
import { count, moment } from './format.js'

export function showHealth(health) {
  show(byId('health-providers'), health?.error ? trouble(health.error) : health?.providers?.map(provider) ?? unknown())
  show(byId('health-store'), health?.store ? store(health.store) : unknown())
  show(byId('health-keys'), health?.signing_keys ? keys(health.signing_keys) : unknown())
  byId('rotate').hidden = !health?.signing_keys?.current
}

const unknown = () => make('p', { class: 'soft' }, 'Not known.')

const states = {
  ok: 'Healthy',
  warn: 'Healthy, with a warning', // nobody feels it yet
  bad: 'Unhealthy',
}

// item is one thing, whether it is well, and what there is to say about it: a name and a
// value on each line, so that a time that reads differently moves nothing beside it.
function item({ healthy, error }, name, facts) {
  const state = !healthy ? 'bad' : error ? 'warn' : 'ok'
  return make('div', { class: `item ${state}` },
    make('p', { class: 'state' }, icon(state), make('strong', {}, states[state]), name),
    error && make('p', { class: 'reason' }, error),
    make('dl', {}, facts.filter(([, value]) => value).map(([fact, value]) =>
      make('div', {}, make('dt', {}, fact), make('dd', {}, value)))))
}

const trouble = (error) => make('p', { class: 'trouble' }, error)

const provider = (p) => item(p, make('code', {}, p.issuer), [
  ['Keys', String(p.keys ?? 0)],
  ['Fetched', moment(p.fetched) ?? 'never'],
  ['Next', moment(p.next)],
])

const store = (s) => item(s, make('code', {}, s.store), [
  ['Keeps', s.healthy && 'what is used and revoked'],
])

const keys = (k) => item(k, k.algorithm && make('code', {}, k.algorithm), [
  ['Signs', k.current && kid(k.current)],
  ['Since', moment(k.since)],
  ['Next', k.next && kid(k.next)],
  ['Rotates', moment(k.rotates)],
  ['Published', count(k.published ?? 0, 'key')],
])

const kid = (text) => make('code', { title: text }, text)
