// The head of an environment: its name, whether it is well and switched on, and the switch.

import * as api from './api.js'
import { confirmed } from './confirm.js'
import { byId, icon, make, setText, show, tell } from './dom.js'

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
    health && verdict(health.healthy ? 'ok' : 'bad', health.healthy ? 'Healthy' : 'Unhealthy'))
  const button = byId('toggle')
  setText(button, e.enabled ? 'Disable…' : 'Enable…')
  button.className = e.enabled ? '' : 'strong'
  button.hidden = !e.enabled && e.disabled_by !== 'operator'
  byId('remark').hidden = e.enabled
  setText(byId('remark'), e.enabled ? '' : remarks[e.disabled_by] ?? remarks.unknown)
}

const verdict = (name, text) => make('span', { class: `chip ${name}` }, icon(name), text)

const refusal = 'Every request is refused with 403 external_auth_disabled, and nobody can sign in.'

const remarks = {
  operator: `Switched off by the operator. ${refusal} It stays off through reloads and restarts until it is enabled here.`,
  config: `Switched off in the config. ${refusal} Only the config can switch it on again.`,
  unknown: 'Whether it is switched off cannot be read from the store. Until it can be, every request is refused.',
}

async function toggle() {
  const { name, enabled } = shown
  const question = enabled
    ? { title: `Disable ${name}?`, action: 'Disable', text: `${refusal} Reloads and restarts do not change that; you can enable it again here.` }
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
