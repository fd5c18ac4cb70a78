// The console: asks the admin API every few seconds and shows what changed.

import * as api from './api.js'
import { checkIn, startCheck } from './check.js'
import { decisionsOf, showDecisions, startDecisions, wantsDecisions } from './decisions.js'
import { byId, icon, make, setText, show } from './dom.js'
import { doubtEnvironment, showEnvironment, startEnvironment } from './environment.js'
import { tick, timeOfDay } from './format.js'
import { showHealth, stateOf } from './health.js'
import { startRevoke } from './revoke.js'
import { showSettings } from './settings.js'
import { troubleOf } from './trouble.js'

const interval = 5000
const roundsToAll = 3 // settings and health change seldom, and Caddy logs each question
const admin = document.body.dataset.admin

let known = [] // environments, as last heard
let shown = null // { chosen, reportOf } of what is on the page
let selected = fragment() // the name of the one to show, if there is one of that name
let answered = null // when that was
let timer
let round = 0
let roundsLeft = 0 // until everything is asked for again

// poll asks for the decisions, and every so often for everything, and shows it. Only the
// latest round counts: one that was overtaken, by a click, say, has nothing new to tell.
async function poll() {
  clearTimeout(timer)
  const mine = ++round
  const all = !shown || roundsLeft-- <= 0
  try {
    const news = all ? await everything() : { decisions: await decisionsFor(shown.chosen) }
    if (mine !== round) return
    arrived(news)
    if (all) roundsLeft = roundsToAll - 1
  } catch (failure) {
    if (mine !== round) return
    roundsLeft = 0
    if (!all && failure.kind === 'answer') return poll() // a reload may have taken the environment away
    lost(failure)
  }
  if (!document.hidden) timer = setTimeout(poll, interval)
}

// pollAll asks for everything at once: something has changed.
function pollAll() {
  roundsLeft = 0
  poll()
}

async function everything() {
  const [environments, health] = await Promise.all([api.environments(), api.health()])
  const chosen = choose(environments)
  return { environments, health, chosen, decisions: await decisionsFor(chosen) }
}

const decisionsFor = async (chosen) => chosen && wantsDecisions(chosen.name) ? api.decisions(chosen.name) : null

// The environment that is shown stands in the address, so that it can be kept. The slash
// keeps its name apart from the IDs of elements.
function fragment() {
  try {
    return location.hash.startsWith('#/') ? decodeURIComponent(location.hash.slice(2)) : ''
  } catch {
    return ''
  }
}

// choose settles on one: it stays when it is switched off.
function choose(environments) {
  const chosen = environments.find((e) => e.name === selected) ?? environments.find((e) => e.enabled) ?? environments[0]
  if (chosen) selected = chosen.name
  return chosen
}

function arrived({ environments, health, chosen, decisions }) {
  if (!environments && !decisions) return // nothing was asked: the table is paused
  answered = new Date()
  byId('lost').hidden = true
  connection('ok', `Caddy at ${admin}`)
  if (environments) showAll(environments, health, chosen)
  if (decisions) showDecisions(decisions)
}

function showAll(environments, health, chosen) {
  known = environments
  if (!chosen) {
    shown = null
    notice('off', 'No environment', 'The config in force has no environment. Add one to the global option byoa and reload; this page goes on by itself.')
    return
  }
  const reportOf = (e) => health.environments.find((h) => h.name === e.name)
  const report = reportOf(chosen)
  shown = { chosen, reportOf }
  navigation(chosen, (e) => lookOf(e, reportOf(e)))
  byId('notice').hidden = true
  byId('environment').hidden = false
  decisionsOf(chosen.name)
  checkIn(chosen)
  showEnvironment(chosen, report)
  showHealth(report, chosen)
  showSettings(chosen)
  document.title = `${{ bad: 'Unhealthy: ', warn: 'Warning: ' }[report && stateOf(report)] ?? ''}${chosen.name} – byoa console`
}

// lookOf is the icon of an environment, and what it says in words.
function lookOf(e, report) {
  const state = report ? stateOf(report) : 'wait'
  if (state === 'bad') return ['bad', 'unhealthy']
  if (!e.enabled) return ['off', 'disabled']
  return [state, { warn: 'has a warning', wait: 'not known now' }[state]]
}

function navigation(chosen, look) {
  byId('environments-nav').hidden = known.length < 2
  show(byId('environments'), known.map((e) => {
    const [state, words] = look(e)
    return make('li', { 'data-key': e.name },
      make('a', { href: `#/${encodeURIComponent(e.name)}`, 'aria-current': e === chosen ? 'page' : null },
        icon(state), e.name, words && make('span', { class: 'unseen' }, ` (${words})`)))
  }))
}

function connection(state, text) {
  const element = byId('connection')
  element.className = `connection ${state}`
  show(element, icon(state), text)
}

// lost says what is wrong: in place of everything as long as there is nothing to show,
// and over what was shown last otherwise, which then counts as no more than that.
function lost(failure) {
  const trouble = troubleOf(failure, admin)
  connection('bad', trouble.title)
  if (!shown) {
    notice('bad', trouble.title, trouble.text, trouble.command)
    return
  }
  const { chosen, reportOf } = shown
  byId('lost').hidden = false
  show(byId('lost'), icon('bad'), make('p', {}, make('strong', {}, `${trouble.title}. `), trouble.text, ` What you see is from ${timeOfDay(answered)}.`))
  doubtEnvironment()
  showHealth(reportOf(chosen), chosen, true)
  navigation(chosen, () => ['wait', 'not known now'])
  document.title = `${trouble.title}: ${chosen.name} – byoa console`
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
  document.title = `${title} – byoa console`
}

startEnvironment(pollAll)
startDecisions()
startCheck()
startRevoke()
connection('wait', `Asking Caddy at ${admin}`)
addEventListener('hashchange', () => {
  selected = fragment()
  pollAll()
})
for (const link of document.querySelectorAll('.skip, .past')) {
  link.addEventListener('click', (event) => {
    event.preventDefault() // the fragment is for the environment
    byId(link.hash.slice(1)).focus()
  })
}
document.addEventListener('visibilitychange', () => {
  if (!document.hidden) pollAll()
})
setInterval(tick, 1000)
poll()
