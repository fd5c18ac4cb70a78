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
    fetch: fetchForSDK,
  },
  instrumentation: { enabled: false },
  autoInitialize: false,
})

export { isSignedIn }

export const start = () => initializeClient(client)

// hasStarted is false for good if start has failed: only a page that is loaded anew can try again.
export const hasStarted = () => client.initStatus === 'finished'

// onSignedOut listens for every end of the session in this page: the button, and its expiry.
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

let revoked // by the latest call that was to revoke the session

// signOut says whether the gateway has revoked the session. The SDK itself does not: it forgets
// the session, and keeps to itself what became of the call.
export async function signOut() {
  revoked = false
  await logout(client)
  return revoked
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

// fetchForSDK watches the calls of the SDK, for this page to show, and the one that signOut is about.
async function fetchForSDK(url, init) {
  const answer = await watchedFetch(url, init)
  if (new URL(url).pathname.endsWith('/revoke')) revoked = answer.ok
  return answer
}

// askLogin stands for your own backend, which knows its user by a cookie and not by a name in the request.
async function askLogin(path, fields) {
  const answer = await watchedFetch(login + path, { method: 'POST', body: new URLSearchParams(fields) })
  const text = await answer.text()
  if (!answer.ok) throw new Error(text)
  return text.trim()
}
