// Revokes sessions, from the form or from a decision that is shown.

import * as api from './api.js'
import { confirmed } from './confirm.js'
import { byId, setText, tell } from './dom.js'

const uuid = '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}'

// form is what an ID has to look like before it is sent anywhere: what is pasted in its
// place may be a token.
const kinds = {
  session: {
    form: new RegExp(`^${uuid}(\\.${uuid})?$`),
    wrong: 'This is no session ID: it is a lower-case UUID, or two with a dot between them. Nothing was sent.',
    label: 'Session ID',
    hint: 'The sid of its tokens. Decisions show it in their details.',
    title: 'Revoke this session?',
    text: (id) => `The session ${id} ends, with every token that came from it and the external JWT that it started with.`,
    done: (id) => `The session ${id} is revoked.`,
    act: api.revokeSession,
  },
  user: {
    form: new RegExp(`^${uuid}$`),
    wrong: 'This is no user ID: it is a lower-case UUID. Nothing was sent.',
    label: 'User ID',
    hint: 'The gateway’s own ID of the user: sub of a session token, not of the external JWT.',
    title: 'Revoke all sessions of this user?',
    text: (id) => `Every session of the user ${id} that has started until now ends. The user can sign in anew, with a token that is issued from now on.`,
    done: (id) => `All sessions of the user ${id} are revoked.`,
    act: api.revokeUser,
  },
}

const chosen = () => byId('revoke').elements.what.value

export function startRevoke() {
  const form = byId('revoke')
  form.addEventListener('change', (event) => {
    if (event.target.name === 'what') describe()
  })
  form.addEventListener('submit', async (event) => {
    event.preventDefault()
    const id = byId('revoke-id').value.trim()
    const wrong = mistake(kinds[chosen()], id)
    complain(wrong)
    if (!wrong && await revoke(chosen(), id)) byId('revoke-id').value = ''
  })
  describe()
}

function describe() {
  setText(byId('revoke-id-label'), kinds[chosen()].label)
  setText(byId('revoke-hint'), kinds[chosen()].hint)
  complain('')
}

function mistake(kind, id) {
  if (!id) return `Give the ${kind.label}.`
  return kind.form.test(id) ? '' : kind.wrong
}

function complain(text) {
  setText(byId('revoke-error'), text)
  byId('revoke-id').setAttribute('aria-invalid', String(text !== ''))
  if (text) byId('revoke-id').focus()
}

// revoke asks first. It returns whether it was done.
export async function revoke(what, id) {
  const kind = kinds[what]
  const done = await confirmed({ title: kind.title, text: kind.text(id), action: 'Revoke' }, () => kind.act(id))
  if (done) tell(kind.done(id))
  return done
}
