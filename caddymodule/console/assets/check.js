// "Check a JWT": asks which rules a token meets and which it breaks.

import { adviceFor, ruleName } from './advice.js'
import * as api from './api.js'
import { announce, byId, icon, make, setText, show } from './dom.js'
import { count } from './format.js'

let environment = ''
let question = 0 // the number of the latest
let waiting = false // for its answer

const isAssertion = () => byId('check').elements.kind.value === 'assertion'

export function startCheck() {
  const form = byId('check')
  form.addEventListener('change', (event) => {
    if (event.target.name !== 'kind') return
    byId('check-subject-field').hidden = !isAssertion()
    forgetResult()
  })
  form.addEventListener('submit', (event) => {
    event.preventDefault()
    submit()
  })
}

// checkIn says which environment is asked. Nothing of the one before stays.
export function checkIn({ name, providers }) {
  offer((providers ?? []).map((p) => p.issuer))
  if (name === environment) return
  environment = name
  byId('check').reset()
  byId('check-subject-field').hidden = true
  forgetResult()
}

// offer lets the user choose by whose rules, where there is more than one to choose from.
// What was chosen stays chosen while it is offered.
function offer(issuers) {
  const several = issuers.length > 1
  byId('check-issuer-field').hidden = !several
  show(byId('check-issuer'),
    make('option', { value: '' }, 'The one that the token names'),
    several && issuers.map((issuer) => make('option', { value: issuer, 'data-key': issuer }, issuer)))
}

// forgetResult forgets the answer that is still to come, too.
function forgetResult() {
  question++
  waiting = false
  complain('')
  show(byId('check-result'))
}

function complain(text, field) {
  setText(byId('check-error'), text)
  for (const id of ['check-token', 'check-subject']) {
    byId(id).setAttribute('aria-invalid', String(id === field))
  }
  if (field) byId(field).focus()
}

async function submit() {
  const token = byId('check-token').value.trim().replace(/^Bearer\s+/i, '')
  const subject = byId('check-subject').value.trim()
  const issuer = byId('check-issuer').value
  if (!token && waiting) return // asked twice
  forgetResult()
  if (!token) return complain('Paste a token to check.', 'check-token')
  if (isAssertion() && !subject) return complain('Name the subject that the assertion has to be about.', 'check-subject')
  byId('check-token').value = ''
  show(byId('check-result'), make('p', { class: 'soft' }, 'Checking…'))
  waiting = true
  await answer(++question, isAssertion() ? { assertion: token, subject, issuer } : { encodedJwt: token, issuer })
}

// answer shows what comes back, unless something else has been asked by then.
async function answer(mine, asked) {
  let then
  try {
    const report = await api.check(environment, asked)
    then = () => showReport(report)
  } catch (failure) {
    then = () => complain(failure.message)
  }
  if (mine !== question) return
  forgetResult()
  then()
}

function showReport(report) {
  const failed = report.checks.filter((c) => !c.ok) // and in errors are their codes, in the same order
  const verdict = report.valid
    ? `All ${count(report.checks.length, 'check')} passed`
    : `${failed.length} of ${count(report.checks.length, 'check')} failed`
  show(byId('check-result'),
    make('h3', { class: report.valid ? 'verdict good' : 'verdict bad' }, icon(report.valid ? 'ok' : 'bad'), verdict),
    make('ul', { class: 'checks' },
      failed.map((c, i) => broken(c, report.errors[i])),
      report.checks.filter((c) => c.ok).map(passed)))
  announce([verdict, ...failed.map((c) => ruleName(c.name))].join('. '))
}

const passed = (c) => make('li', {}, icon('ok'), make('p', {}, make('span', {}, ruleName(c.name)), ' ', make('span', { class: 'soft' }, 'passed')))

const broken = (c, code) => make('li', { class: 'broken' }, icon('bad'),
  make('div', {},
    make('p', {}, make('strong', {}, ruleName(c.name)), ' ', make('span', { class: 'trouble' }, 'failed'), ' ', make('code', {}, code)),
    make('p', {}, c.detail),
    adviceFor(code) && make('p', { class: 'soft' }, adviceFor(code))))
