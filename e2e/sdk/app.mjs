// What a customer's app does with the client SDK, as tasks of plain data: each is an
// object that says what to do, and is answered by {value}, or by {thrown} if the SDK
// throws. One app is open at a time. The platform is what Node.js lacks.
//
//   {do: "open", api, environment, origin, cookies}   the SDK is initialised; origin is the app's own
//   {do: "login", jwt}                 the login system leaves the external JWT in a cookie
//   {do: "signIn", jwt}                jwt left out: the cookie says who
//   {do: "check", scope}               → {isRequired, credentials}
//   {do: "elevate", jwt}               the assertion for an elevated token, which the SDK keeps
//   {do: "take", scope}                → an elevated token that the SDK keeps, or null
//   {do: "refresh"} {do: "refreshUser"} {do: "logout"}
//   {do: "request", method, path, elevated}   the app's own API behind the gateway → {status, code}
//   {do: "state"}                      → what the SDK tells the app, and the errors that it only logged

import {
  checkStepUpAuth, createDynamicClient, getElevatedAccessToken, initializeClient, InvalidExternalAuthError, isSignedIn,
  logout, refreshAuth, refreshUser, requestExternalAuthElevatedToken, signInWithExternalJwt, UnauthorizedError,
} from '@dynamic-labs-sdk/client'
import { APIError } from '@dynamic-labs-sdk/client/core'

const classes = { InvalidExternalAuthError, UnauthorizedError, APIError }

// described is an error as an app can tell it from others.
function described(error) {
  const [name] = Object.entries(classes).find(([, errorClass]) => error instanceof errorClass) ?? [error.name]
  const { code, status, message, cause } = error
  return { class: name, code, status, message, cause: cause instanceof Error ? described(cause) : undefined }
}

export function makeApp(platform = {}) {
  const fetch = platform.fetch ?? globalThis.fetch.bind(globalThis)
  let app

  const tasks = {
    async open({ api, environment, origin, cookies }) {
      const logged = []
      const quiet = () => {}
      const client = createDynamicClient({
        autoInitialize: false,
        environmentId: environment,
        instrumentation: { enabled: false },
        metadata: { name: 'app', universalLink: origin },
        coreConfig: {
          ...platform,
          apiBaseUrl: `${api}/api/v0`,
          logger: { debug: quiet, info: quiet, warn: quiet, error: (message) => logged.push(message), on: quiet, off: quiet },
        },
      })
      app = { client, api, origin, cookies, logged }
      await initializeClient(client)
    },

    login: ({ jwt }) => fetch(`${app.origin}/login`, { method: 'POST', body: jwt, credentials: 'include' }),
    signIn: ({ jwt }) => signInWithExternalJwt({ externalJwt: jwt }, app.client),
    check: ({ scope }) => checkStepUpAuth({ scope }, app.client),
    elevate: ({ jwt }) => requestExternalAuthElevatedToken({ externalJwt: jwt }, app.client),
    take: ({ scope }) => getElevatedAccessToken({ scope }, app.client),
    refresh: () => refreshAuth(app.client),
    refreshUser: () => refreshUser(app.client),
    logout: () => logout(app.client),

    async request({ method, path, elevated }) {
      const headers = {}
      if (app.client.token) headers.authorization = `Bearer ${app.client.token}`
      if (elevated) headers['x-dyn-elevated-access-token'] = elevated
      const response = await fetch(app.api + path, { method, headers, credentials: app.cookies ? 'include' : 'omit' })
      const { code } = await response.json()
      return { status: response.status, code }
    },

    state: () => {
      const { client, logged } = app
      const { user, token, sessionExpiresAt, projectSettings } = client
      return { signedIn: isSignedIn(client), user, token, sessionExpiresAt, settings: projectSettings, logged }
    },
  }

  return async function run(task) {
    try {
      return { value: (await tasks[task.do](task)) ?? null }
    } catch (error) {
      return { thrown: described(error) }
    }
  }
}
