// The head of an environment: its name, whether it is well and switched on, and the switch.

import * as api from './api.js'
import { confirmed } from './confirm.js'
import { byId, icon, make, setText, show, tell } from './dom.js'
import { stateOf } from './health.js'

let shown = null // the environment on the page
let refresh = () => {}

export function startEnvironment(onChange) {
  refresh = onChange
  byId('toggle').addEventListener('click', toggle)
  byId('rotate').addEventListener('click', rotate)
}

export function showEnvironment(e, health) {
  shown = e
  setText(byId('name'), e.name)
  setText(byId('id'), e.id)
  show(byId('verdicts'),
    verdict(e.enabled ? 'ok' : 'off', e.enabled ? 'Enabled' : 'Disabled'),
    health && verdict(stateOf(health), chips[stateOf(health)]))
  const button = byId('toggle')
  setText(button, e.enabled ? 'Disable…' : 'Enable…')
  button.className = e.enabled ? '' : 'strong'
  button.hidden = !e.enabled && e.disabled_by !== 'operator'
  byId('remark').hidden = e.enabled
  setText(byId('remark'), e.enabled ? '' : (remarks[e.disabled_by] ?? remarks.unknown)(e))
}

// doubtEnvironment says that nobody knows how the one on the page is by now.
export const doubtEnvironment = () => show(byId('verdicts'), verdict('wait', 'Not known now'))

const chips = { ok: 'Healthy', warn: 'Warning', bad: 'Unhealthy' }

const verdict = (name, text) => make('span', { class: `chip ${name}` }, icon(name), text)

const openRoutes = 'routes that are optional stay open to those without one.'

const refusal = `Every token is refused with 403 external_auth_disabled, and nobody can sign in; ${openRoutes}`

const forgets = (e) => e.store === 'memory' // what the operator switched off, too, once Caddy ends

const remarks = {
  operator: (e) => `Switched off by the operator. ${refusal} ` + (forgets(e)
    ? 'It stays off through reloads until it is enabled here. A restart of Caddy switches it on again: its store is memory.'
    : 'It stays off through reloads and restarts until it is enabled here.'),
  config: () => `Switched off in the config. ${refusal} Only the config can switch it on again.`,
  unknown: () => `Whether it is switched off cannot be read from the store. Until it can be, every token is refused; ${openRoutes}`,
}

const lasts = (e) => forgets(e)
  ? 'Reloads do not change that, but a restart of Caddy does: its store is memory. You can enable it again here.'
  : 'Reloads and restarts do not change that; you can enable it again here.'

async function toggle() {
  const { name, enabled } = shown
  const question = enabled
    ? { title: `Disable ${name}?`, action: 'Disable', text: `${refusal} ${lasts(shown)}` }
    : { title: `Enable ${name}?`, action: 'Enable', text: 'Tokens are accepted again, and sessions that have not ended go on.', harmless: true }
  const done = await confirmed(question, () => enabled ? api.disable(name) : api.enable(name))
  if (!done) return
  tell(`${name} is ${enabled ? 'disabled' : 'enabled'}.`)
  refresh()
}

async function rotate() {
  const { name } = shown
  const done = await confirmed({
    title: `Rotate the signing keys of ${name}?`,
    text: 'The next key is published now and begins to sign in an hour, when everybody who verifies tokens has fetched it. No session ends. The old key is not withdrawn: its tokens stay good until they expire.',
    action: 'Rotate',
    harmless: true,
  }, () => api.rotateKeys(name))
  if (!done) return
  tell(`The next signing key of ${name} is published.`)
  refresh()
}
