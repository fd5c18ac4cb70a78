// The part to copy: sign in with your own login system, ask for a permission, use it.

import {
  createDynamicClient,
  getElevatedAccessToken,
  initializeClient,
  isSignedIn,
  logout,
  onEvent,
  requestExternalAuthElevatedToken,
  signInWithExternalJwt,
} from '@dynamic-labs-sdk/client'
import { environmentId, gateway, login } from './addresses.js'
import { watchedFetch } from './wire.js'

const client = createDynamicClient({
  environmentId,
  coreConfig: {
    apiBaseUrl: `${gateway}/api/v0`, // the gateway, in place of the service that the SDK comes from
    fetch: watchedFetch, // only so that this page can show the calls
  },
  instrumentation: { enabled: false },
  autoInitialize: false,
})

export { isSignedIn, logout as signOut }

export const start = () => initializeClient(client)

// onSignedOut listens for every end of the session: the button, its expiry, another tab.
export const onSignedOut = (listener) => onEvent({ event: 'logout', listener })

// user is who has signed in, by the name that the login system knows.
export function user() {
  const { verifiedCredentials, email } = client.user
  const external = verifiedCredentials.find(({ format }) => format === 'externalUser')
  return { name: external.publicIdentifier, email }
}

export async function signIn(name) {
  const externalJwt = await askLogin('/login', { user: name })
  // One: the gateway verifies the JWT of your login system and answers with a session.
  await signInWithExternalJwt({ externalJwt })
}

// stepUp turns the user's confirmation into a token for one scope.
export async function stepUp(scope) {
  const assertion = await askLogin('/step-up', { user: user().name, scope })
  // Two: the assertion that your backend signed buys an elevated token.
  await requestExternalAuthElevatedToken({ externalJwt: assertion })
  return getElevatedAccessToken({ scope })
}

// call asks the API behind the gateway.
export function call(method, path, elevatedToken) {
  const headers = { Authorization: `Bearer ${client.token}` }
  // Three: the elevated token goes beside the session. The API gets it in its place.
  if (elevatedToken) headers['X-Dyn-Elevated-Access-Token'] = elevatedToken
  return watchedFetch(gateway + path, { method, headers })
}

// askLogin stands for your own backend, which knows its user by a cookie and not by a name in the request.
async function askLogin(path, fields) {
  const answer = await watchedFetch(login + path, { method: 'POST', body: new URLSearchParams(fields) })
  const text = await answer.text()
  if (!answer.ok) throw new Error(text)
  return text.trim()
}
