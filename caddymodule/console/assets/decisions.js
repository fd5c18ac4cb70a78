// The live table of what was decided lately.

import { announce, byId, icon, make, setText, show } from './dom.js'
import { count, fullTime, stamp, timeOfDay } from './format.js'
import { revoke } from './revoke.js'

const words = {
  exchange: 'Exchange', link: 'Link', elevate: 'Elevate', step_up: 'Step-up', revoke: 'Revoke',
  refusal: 'Refusal', disable: 'Disable', enable: 'Enable',
}

let environment = ''
let latest = null // null: not loaded yet
let pausedAt = '' // empty: live
const open = new Set() // keys of the rows whose details are shown

// wantsDecisions says whether the table takes news of that environment.
export const wantsDecisions = (name) => !pausedAt || name !== environment

export function startDecisions() {
  byId('decisions-refusals').addEventListener('change', () => {
    render()
    announce(shownText())
  })
  byId('decisions-pause').addEventListener('click', () => {
    pausedAt = pausedAt ? '' : timeOfDay(new Date())
    render()
    announce(pausedAt ? 'Paused.' : 'Live again.')
  })
  byId('decisions').addEventListener('click', clicked)
}

// decisionsOf says whose decisions come next, and forgets another environment's.
export function decisionsOf(name) {
  if (name === environment) return
  environment = name
  latest = null
  pausedAt = ''
  open.clear()
  byId('decisions-scroll').scrollTop = 0
  render()
}

export function showDecisions(list) {
  if (pausedAt) return // since they were asked for
  latest = withKeys(list)
  render()
}

// withKeys gives each decision a key that stays its own: all that it says, and how
// many before it said just the same. It names them in the same way, for the ear.
function withKeys(list) {
  const seen = new Map()
  const nth = (text) => seen.set(text, (seen.get(text) ?? 0) + 1).get(text)
  return [...list].reverse().map((decision) => {
    const text = JSON.stringify(decision)
    const name = `${words[decision.decision] ?? decision.decision} at ${timeOfDay(decision.time)}`
    const n = nth(name)
    return { ...decision, key: `${nth(text)} ${text}`, name: n > 1 ? `${name}, number ${n}` : name }
  }).reverse()
}

const refused = (d) => d.result !== 'ok'

const visible = () => (latest ?? []).filter((d) => !byId('decisions-refusals').checked || refused(d))

const shownText = () => byId('decisions-refusals').checked
  ? `${count(visible().length, 'refusal')} of ${count(latest?.length ?? 0, 'decision')}`
  : count(latest?.length ?? 0, 'decision')

function render() {
  setText(byId('decisions-pause'), pausedAt ? 'Resume' : 'Pause')
  setText(byId('decisions-count'), latest ? shownText() + (pausedAt ? `, paused at ${pausedAt}` : '') : '')
  holdStill(() => show(byId('decisions'), visible().flatMap((d) => open.has(d.key) ? [row(d), details(d)] : [row(d)])))
  byId('decisions-empty').hidden = visible().length > 0
  setText(byId('decisions-empty'), emptyText())
}

// holdStill keeps the row that has the focus where it is when others come in above it.
// Where that row is gone the focus stays in the table.
function holdStill(change) {
  const row = document.activeElement.closest('#decisions tr')
  const before = row?.getBoundingClientRect().top
  change()
  if (row?.isConnected) byId('decisions-scroll').scrollTop += row.getBoundingClientRect().top - before
  else if (row) byId('decisions-scroll').focus({ preventScroll: true })
}

function emptyText() {
  if (!latest) return 'Loading…'
  return latest.length > 0 ? 'No refusals among the latest decisions.' : 'No decisions yet. They appear here as requests arrive.'
}

const cell = (name, ...content) => make('td', { role: 'cell', class: name }, content)

const row = (d) => make('tr', { role: 'row', 'data-key': d.key, class: refused(d) ? 'refused' : null },
  cell('time', stamp(d.time)),
  cell('decision', words[d.decision] ?? d.decision),
  cell('result', icon(refused(d) ? 'bad' : 'ok'), refused(d) ? make('code', {}, d.result) : 'ok', d.report_only && make('span', { class: 'soft' }, ' report only')),
  cell('user', d.external_id || d.user || make('span', { class: 'soft' }, '–')),
  cell('request', make('code', {}, requestOf(d) || '–')),
  cell('more', make('button', {
    type: 'button', class: 'disclose', 'data-open': d.key, 'aria-expanded': String(open.has(d.key)),
    'aria-label': `Details of ${d.name}`,
  }, icon('more'))))

const styles = { Reason: 'prose', 'Report only': 'prose', Request: 'whole' }

const requestOf = (d) => [d.method, d.path].filter(Boolean).join(' ')

const details = (d) => make('tr', { role: 'row', class: 'details', 'data-key': `details ${d.key}` },
  make('td', { role: 'cell', colspan: '6' },
    make('dl', {}, [
      ['Reason', d.reason],
      ['Request', requestOf(d)],
      ['Report only', d.report_only && 'The request went on: it would be refused without report_only.'],
      ['Time', fullTime(d.time)],
      ['Client', d.client_ip],
      ['Scopes', d.scopes?.join(' ')],
      ['User ID', d.user],
      ['External ID', d.external_id],
      ['Session ID', d.session],
      ['Token ID', d.jti],
    ].filter(([, value]) => value).map(([name, value]) =>
      make('div', { class: styles[name] }, make('dt', {}, name), make('dd', {}, value)))),
    make('p', { class: 'actions' },
      d.session && make('button', { type: 'button', class: 'small', 'data-revoke': 'session', 'data-id': d.session }, 'Revoke session…'),
      d.user && make('button', { type: 'button', class: 'small', 'data-revoke': 'user', 'data-id': d.user }, 'Revoke user…'))))

function clicked(event) {
  const button = event.target.closest('button')
  if (!button) return
  const { open: key, revoke: what, id } = button.dataset
  if (what) {
    revoke(what, id)
  } else if (key) {
    if (!open.delete(key)) open.add(key)
    render()
    button.closest('tr').nextElementSibling?.scrollIntoView({ block: 'nearest' })
  }
}
