// The page: what the buttons do, and what is said about it.

import { byId, make, write } from './dom.js'
import { objectIn, refusalIn } from './json.js'
import * as session from './session.js'
import { readable, showToken, tokensIn } from './tokens.js'
import { step, wasUnanswered } from './wire.js'

const wallet = '/wallets/1'
let used // the elevated token, kept only to show that it is good for one use

async function signIn() {
  if (!session.hasStarted()) return tell('Reload the page', 'It was loaded when the gateway did not answer.', 'refused')
  step('Sign in')
  await session.signIn('alice')
  render()
  byId('wallet-title').focus() // the button that had the focus is gone
  await look()
}

async function look() {
  step('Look at the wallet')
  const answer = await ask('GET', wallet)
  if (answer.ok) tell('200 OK', 'You are in. To look at the wallet, a session is enough.', 'ok')
}

async function exportKey() {
  step('Export, with the session alone')
  let answer = await ask('POST', `${wallet}/export`)
  if (answer.code === 'step_up_required') {
    if (!await confirmed(answer.scope)) return tell('Not confirmed', 'Nothing was exported.')
    step('Step up: the user has confirmed')
    used = await session.stepUp(answer.scope)
    step('Export, with the elevated token')
    answer = await ask('POST', `${wallet}/export`, used)
  }
  if (answer.ok) tell('200 OK', 'Exported. The API got the elevated token, and knows who confirmed what.', 'ok')
}

async function exportAgain() {
  step('Export again, with the used token')
  await ask('POST', `${wallet}/export`, used)
}

async function signOut() {
  step('Sign out')
  if (await session.signOut()) {
    tell('Signed out', 'The session is revoked, for this page and for everybody who has its token.')
  } else {
    tell('Signed out here', 'This page has forgotten the session. The gateway did not confirm that it is revoked.', 'refused')
  }
}

// ask calls the API and shows what became of it. A refusal has a code, and the scope that is missing.
async function ask(method, path, elevatedToken) {
  const response = await session.call(method, path, elevatedToken)
  const { ok, status } = response
  const text = await response.text()
  showReceived(ok ? objectIn(text) : {})
  if (ok) return { ok }
  const refusal = refusalIn(text)
  if (!refusal.code) {
    tell(`${status}`, 'A refusal of the gateway has a code. This answer came from elsewhere.', 'refused')
    return { ok }
  }
  const over = status === 401
  tell(`${status} ${refusal.code}`, over ? 'The session is over. Sign in again.' : refusal.error, 'refused')
  if (over) await session.signOut()
  return { ...refusal, ok }
}

// confirmed asks the user. In your app this is a passkey, a code, or a second look.
function confirmed(scope) {
  const dialog = byId('confirm')
  write('confirm-scope', scope)
  dialog.returnValue = ''
  dialog.showModal()
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'), { once: true })
  })
}

// showReceived shows the request as the API got it, which is what the API of the demo answers. Another's need not.
function showReceived({ method, path, headers }) {
  byId('received').hidden = !headers
  if (!headers) return
  byId('received-facts').replaceChildren(
    fact('Request', `${method} ${path}`),
    fact('X-User-Id', readable('sub', headers['X-User-Id'])),
    fact('X-User-Email', headers['X-User-Email']),
    fact('Authorization', tokensIn(String(headers.Authorization)).map(showToken)),
  )
}

const fact = (name, value) => make('div', {}, make('dt', {}, name), make('dd', {}, value))

// tell says what came of it, to those who see the page and to those who hear it.
function tell(title, text, state = '') {
  byId('outcome').className = state
  byId('outcome').replaceChildren(make('b', {}, title), make('span', {}, text))
}

function render() {
  const signedIn = session.isSignedIn()
  byId('signed-out').hidden = signedIn
  byId('signed-in').hidden = !signedIn
  byId('again').hidden = !used
  write('key', used ? 'Key exported' : 'Key locked')
  if (!signedIn) return
  const { name, email } = session.user()
  write('name', name)
  write('email', email)
}

let busy = false

// act runs what a button does, one at a time, and brings the page in line with what came of it.
async function act(work) {
  if (busy) return
  busy = true
  try {
    await work()
  } catch (error) {
    const hint = wasUnanswered(error) ? ` If caddy byoa demo is not running, for pages of ${location.origin}, start it and reload.` : ''
    tell('It did not work', `${error.message}.${hint}`, 'refused')
  }
  busy = false
  render()
}

for (const [id, work] of Object.entries({ 'sign-in': signIn, export: exportKey, again: exportAgain, 'sign-out': signOut })) {
  byId(id).addEventListener('click', () => act(work))
}

session.onSignedOut(() => {
  used = undefined
  showReceived({})
  render()
  byId('sign-in').focus()
})

step('Open the page')
await act(async () => {
  await session.start()
  if (session.isSignedIn()) await look()
})
