// Talks to the admin API of Caddy, through the server that this page came from.

const timeout = 20_000

// A Failure is an answer that says no, or none. kind tells them apart:
// 'console' (the server of this page is gone), 'caddy' (no Caddy answers), 'answer'.
export class Failure extends Error {
  constructor(kind, message, status, body) {
    super(message)
    this.kind = kind
    this.status = status
    this.body = body
  }
}

export async function call(method, path, body) {
  const init = {
    method,
    headers: { [document.body.dataset.header]: '1' },
    cache: 'no-store',
    credentials: 'omit',
    redirect: 'error',
    signal: AbortSignal.timeout(timeout),
  }
  if (body !== undefined) init.body = JSON.stringify(body)
  let response
  let text
  try {
    response = await fetch(path, init)
    text = await response.text()
  } catch {
    throw new Failure('console', 'The console does not answer.')
  }
  const parsed = parse(text)
  if (response.ok) return parsed
  const message = parsed?.error ?? `Caddy answers ${response.status}${text ? `: ${text.slice(0, 200)}` : '.'}`
  throw new Failure(response.status === 502 ? 'caddy' : 'answer', message, response.status, parsed)
}

function parse(text) {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

const at = (name, what) => `/byoa/environments/${encodeURIComponent(name)}/${what}`

export const environments = () => call('GET', '/byoa/environments')
export const decisions = (name) => call('GET', at(name, 'decisions'))
export const check = (name, question) => call('POST', at(name, 'check'), question)
export const disable = (name) => call('POST', at(name, 'disable'))
export const enable = (name) => call('POST', at(name, 'enable'))
export const rotateKeys = (name) => call('POST', at(name, 'keys/rotate'))
export const revokeSession = (id) => call('DELETE', `/byoa/sessions/${encodeURIComponent(id)}`)
export const revokeUser = (id) => call('DELETE', `/byoa/users/${encodeURIComponent(id)}/sessions`)

// health is a report where something is unhealthy too, though the status then is 503.
export async function health() {
  try {
    return await call('GET', '/byoa/health')
  } catch (failure) {
    if (Array.isArray(failure.body?.environments)) return failure.body
    throw failure
  }
}
