// The customer's app on a page of its own: what it shows is what the SDK's hooks say, and
// run does what its buttons would. Each task is an object that says what to do, and is
// answered by {value}, or by {thrown} if the SDK throws.
//
//   {do: "login", jwt}                 the login system leaves the external JWT in a cookie
//   {do: "signIn", jwt, user}          jwt left out: the cookie says who
//   {do: "isRequired", scope}          → whether the scope needs step-up
//   {do: "check", scope}               → {isRequired, credentials}
//   {do: "elevate", jwt}               the assertion for an elevated token, which the SDK keeps
//   {do: "take", scope}                → an elevated token that the SDK keeps, or null
//   {do: "refresh"} {do: "logout"}
//   {do: "request", method, path, elevated}   the app's own API behind the gateway → {status, code}
//   {do: "token"}                      → the session token, or null where scripts do not see it
//
// The page's address says where the gateway is, which environment it is for, and, where
// cookies are used, that requests include them.

import { useLayoutEffect } from 'react'
import { createRoot } from 'react-dom/client'
import {
  DynamicContextProvider, getAuthToken, useDynamicContext, useExternalAuth, useIsLoggedIn, useRefreshAuth,
  useStepUpAuthentication,
} from '@dynamic-labs/sdk-react-core'
import { getElevatedAccessToken, InvalidExternalAuthError, UnauthorizedError } from '@dynamic-labs-sdk/client'
import { APIError } from '@dynamic-labs-sdk/client/core'

const address = new URLSearchParams(location.search)
const api = address.get('api')
const credentials = address.get('credentials')
const classes = { InvalidExternalAuthError, UnauthorizedError, APIError }

// described is an error as an app can tell it from others.
function described(error) {
  const [name] = Object.entries(classes).find(([, errorClass]) => error instanceof errorClass) ?? [error.name]
  const { code, status, message, cause } = error
  return { class: name, code, status, message, cause: cause instanceof Error ? described(cause) : undefined }
}

async function request({ method, path, elevated }) {
  const headers = {}
  const token = getAuthToken()
  if (token) headers.authorization = `Bearer ${token}`
  if (elevated) headers['x-dyn-elevated-access-token'] = elevated
  const response = await fetch(api + path, { method, headers, credentials })
  const { code } = await response.json()
  return { status: response.status, code }
}

function useTasks() {
  const { handleLogOut } = useDynamicContext()
  const { signInWithExternalJwt, verifyWithExternalJwt } = useExternalAuth()
  const { isStepUpRequired, checkStepUpAuth } = useStepUpAuthentication()
  const refreshAuth = useRefreshAuth()
  return {
    login: async ({ jwt }) => (await fetch('/login', { method: 'POST', body: jwt })).ok,
    signIn: ({ jwt, user }) => signInWithExternalJwt({ externalJwt: jwt, externalUserId: user }),
    isRequired: ({ scope }) => isStepUpRequired({ scope }),
    check: ({ scope }) => checkStepUpAuth({ scope }),
    elevate: ({ jwt }) => verifyWithExternalJwt({ externalJwt: jwt }),
    take: ({ scope }) => getElevatedAccessToken({ scope }),
    refresh: () => refreshAuth(),
    logout: () => handleLogOut(),
    token: () => getAuthToken(),
    request,
  }
}

function App() {
  const { sdkHasLoaded, user } = useDynamicContext()
  const isLoggedIn = useIsLoggedIn()
  const tasks = useTasks()
  useLayoutEffect(() => {
    globalThis.run = async (task) => {
      try {
        return { value: (await tasks[task.do](task)) ?? null }
      } catch (error) {
        return { thrown: described(error) }
      }
    }
  })
  return (
    <main>
      <p role="status">{sdkHasLoaded ? isLoggedIn ? 'signed in' : 'signed out' : 'loading'}</p>
      {user && <Profile user={user} />}
    </main>
  )
}

const Profile = ({ user }) => (
  <>
    <h1>{user.userId}</h1>
    <address>{user.email}</address>
    <ul>
      {user.verifiedCredentials.map((c) => <li key={c.id}>{`${c.format} ${c.publicIdentifier}`}</li>)}
    </ul>
  </>
)

createRoot(document.body.appendChild(document.createElement('div'))).render(
  <DynamicContextProvider settings={{ environmentId: address.get('environment'), apiBaseUrl: `${api}/api/v0` }}>
    <App />
  </DynamicContextProvider>,
)
