// "Check a JWT": asks which rules a token meets and which it breaks.

import { adviceFor, ruleName } from './advice.js'
import * as api from './api.js'
import { announce, byId, icon, make, setText, show } from './dom.js'
import { count } from './format.js'

let environment = ''

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
    submit(form.querySelector('button'))
  })
}

// checkIn says which environment is asked. Nothing of the one before stays.
export function checkIn(name) {
  if (name === environment) return
  environment = name
  byId('check').reset()
  byId('check-subject-field').hidden = true
  forgetResult()
}

function forgetResult() {
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

async function submit(button) {
  const token = byId('check-token').value.trim().replace(/^Bearer\s+/i, '')
  const subject = byId('check-subject').value.trim()
  forgetResult()
  if (!token) return complain('Paste a token to check.', 'check-token')
  if (isAssertion() && !subject) return complain('Name the subject that the assertion has to be about.', 'check-subject')
  if (button.ariaDisabled === 'true') return
  button.ariaDisabled = 'true'
  const asked = environment
  try {
    const report = await api.check(asked, isAssertion() ? { assertion: token, subject } : { encodedJwt: token })
    byId('check-token').value = ''
    if (asked === environment) showReport(report)
  } catch (failure) {
    complain(failure.message)
  } finally {
    button.ariaDisabled = 'false'
  }
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
