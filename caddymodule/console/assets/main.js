// The console: asks the admin API every few seconds and shows what changed.

import * as api from './api.js'
import { checkIn, startCheck } from './check.js'
import { decisionsOf, showDecisions, startDecisions, wantsDecisions } from './decisions.js'
import { byId, icon, make, setText, show } from './dom.js'
import { showEnvironment, startEnvironment } from './environment.js'
import { tick, timeOfDay } from './format.js'
import { showHealth } from './health.js'
import { startRevoke } from './revoke.js'
import { showSettings } from './settings.js'

const interval = 3000
const admin = document.body.dataset.admin

let known = [] // environments, as last heard
let selected = fragment() // the name of the one to show, if there is one of that name
let answered = null // when that was
let timer
let round = 0

// poll asks for everything and shows it. Only the latest round counts: one that was
// overtaken, by a click, say, has nothing new to tell.
async function poll() {
  clearTimeout(timer)
  const mine = ++round
  try {
    const [environments, health] = await Promise.all([api.environments(), api.health()])
    const chosen = choose(environments)
    const decisions = chosen && wantsDecisions(chosen.name) ? await api.decisions(chosen.name) : null
    if (mine !== round) return
    arrived(environments, health, chosen, decisions)
  } catch (failure) {
    if (mine !== round) return
    lost(failure)
  }
  if (!document.hidden) timer = setTimeout(poll, interval)
}

// The environment that is shown stands in the address, so that it can be kept.
function fragment() {
  try {
    return decodeURIComponent(location.hash.slice(1))
  } catch {
    return ''
  }
}

function choose(environments) {
  const chosen = environments.find((e) => e.name === selected) ?? environments.find((e) => e.enabled) ?? environments[0]
  if (chosen && !selected) selected = chosen.name // it stays when it is switched off
  return chosen
}

function arrived(environments, health, chosen, decisions) {
  known = environments
  answered = new Date()
  byId('lost').hidden = true
  connection('ok', `Caddy at ${admin}`)
  if (!chosen) {
    notice('off', 'No environment', 'The config in force has no environment. Add one to the global option byoa and reload; this page goes on by itself.')
    return
  }
  const reportOf = (e) => health.environments?.find((h) => h.name === e.name)
  navigation(chosen, reportOf)
  byId('notice').hidden = true
  byId('environment').hidden = false
  decisionsOf(chosen.name)
  checkIn(chosen.name)
  showEnvironment(chosen, reportOf(chosen))
  showHealth(reportOf(chosen))
  showSettings(chosen)
  if (decisions) showDecisions(decisions)
  document.title = `${reportOf(chosen)?.healthy === false ? 'Unhealthy: ' : ''}${chosen.name} – byoa console`
}

function navigation(chosen, reportOf) {
  byId('environments-nav').hidden = known.length < 2
  show(byId('environments'), known.map((e) => {
    const unwell = reportOf(e)?.healthy === false
    const state = unwell ? 'bad' : e.enabled ? 'ok' : 'off'
    const words = unwell ? 'unhealthy' : e.enabled ? '' : 'disabled'
    return make('li', { 'data-key': e.name },
      make('a', { href: `#${encodeURIComponent(e.name)}`, 'aria-current': e === chosen ? 'page' : null },
        icon(state), e.name, words && make('span', { class: 'unseen' }, ` (${words})`)))
  }))
}

function connection(state, text) {
  const element = byId('connection')
  element.className = `connection ${state}`
  show(element, icon(state), text)
}

const troubles = {
  console: {
    title: 'The console has ended',
    text: 'The command that serves this page does not answer. Start it again; this page goes on by itself.',
    command: 'caddy byoa console',
  },
  caddy: {
    title: 'Caddy is not running',
    text: `No Caddy answers at ${admin}. Start it; this page goes on by itself.`,
    command: 'caddy run --config Caddyfile',
  },
}

const troubleOf = (failure) => {
  if (troubles[failure.kind]) return troubles[failure.kind]
  if (failure.status === 404) return { title: 'This Caddy knows no byoa', text: `The Caddy at ${admin} was built without it, or is an older one.` }
  if (failure.status === 503) return { title: 'No byoa config is in force', text: `Caddy runs at ${admin}, with a config that does not use byoa. Load one that does; this page goes on by itself.` }
  return { title: 'Caddy refuses to answer', text: failure.message ?? String(failure) }
}

// lost says what is wrong: in place of everything as long as there is nothing to show,
// and over what was shown last otherwise.
function lost(failure) {
  const trouble = troubleOf(failure)
  connection('bad', trouble.title)
  if (!answered || byId('environment').hidden) {
    notice('bad', trouble.title, trouble.text, trouble.command)
    return
  }
  byId('lost').hidden = false
  show(byId('lost'), icon('bad'), make('p', {}, make('strong', {}, `${trouble.title}. `), trouble.text, ` What you see is from ${timeOfDay(answered)}.`))
}

function notice(state, title, text, command) {
  byId('environment').hidden = true
  byId('environments-nav').hidden = true
  const element = byId('notice')
  element.hidden = false
  show(byId('notice-icon'), icon(state))
  setText(byId('notice-title'), title)
  setText(byId('notice-text'), text)
  byId('notice-command').hidden = !command
  setText(byId('notice-command'), command ?? '')
}

startEnvironment(poll)
startDecisions()
startCheck()
startRevoke()
connection('wait', `Asking Caddy at ${admin}`)
addEventListener('hashchange', () => {
  selected = fragment()
  poll()
})
document.querySelector('.skip').addEventListener('click', (event) => {
  event.preventDefault() // the fragment is for the environment
  byId('main').focus()
})
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) poll()
})
setInterval(tick, 1000)
poll()
