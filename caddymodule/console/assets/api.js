// Talks to the admin API of Caddy, through the server that this page came from.

const timeout = 20_000

// A Failure is an answer that says no, or none. kind tells them apart: 'console' (the
// server of this page is gone), 'caddy' (no Caddy answers it), 'stranger' (what answers
// is not what was asked for), 'answer' (Caddy says no).
export class Failure extends Error {
  constructor(kind, message, status, body) {
    super(message)
    this.kind = kind
    this.status = status
    this.body = body
  }
}

// call returns the answer, which has to look as it is expected to.
async function call(expected, method, path, body) {
  const { response, text } = await send(method, path, body)
  const parsed = parse(text)
  if (response.ok) {
    if (expected(parsed)) return parsed
    throw new Failure('stranger', `It answers ${text ? text.slice(0, 200) : 'nothing'}`, response.status)
  }
  const message = parsed?.error ?? `It answers ${response.status}${text ? `: ${text.slice(0, 200)}` : '.'}`
  throw new Failure(response.status === 502 ? 'caddy' : 'answer', String(message), response.status, parsed)
}

// send tells a console that is gone, whose connections are refused at once, from one
// that waits for Caddy in vain.
async function send(method, path, body) {
  const signal = AbortSignal.timeout(timeout)
  const headers = { [document.body.dataset.header]: '1' }
  const init = { method, headers, signal, cache: 'no-store', credentials: 'omit', redirect: 'error' }
  if (body !== undefined) init.body = JSON.stringify(body)
  let response
  try {
    response = await fetch(path, init)
    return { response, text: await response.text() }
  } catch {
    if (signal.aborted) throw new Failure('caddy', `No answer is here after ${timeout / 1000} seconds.`)
    if (response) throw new Failure('caddy', 'The answer breaks off.')
    throw new Failure('console', 'The console does not answer.')
  }
}

function parse(text) {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}

// What the answers have to look like: enough that nothing else is shown in their place.
const isObject = (a) => typeof a === 'object' && a !== null && !Array.isArray(a)
const isList = (a) => Array.isArray(a) && a.every(isObject)
const isNamedList = (a) => isList(a) && a.every((e) => typeof e.name === 'string')
const isHealth = (a) => isNamedList(a?.environments)
const isReport = (a) => isList(a?.checks) && Array.isArray(a.errors)
const isNothing = (a) => a === null

const at = (name, what) => `/byoa/environments/${encodeURIComponent(name)}/${what}`

export const environments = () => call(isNamedList, 'GET', '/byoa/environments')
export const decisions = (name) => call(isList, 'GET', at(name, 'decisions'))
export const check = (name, question) => call(isReport, 'POST', at(name, 'check'), question)
export const disable = (name) => call(isObject, 'POST', at(name, 'disable'))
export const enable = (name) => call(isObject, 'POST', at(name, 'enable'))
export const rotateKeys = (name) => call(isObject, 'POST', at(name, 'keys/rotate'))
export const revokeSession = (id) => call(isNothing, 'DELETE', `/byoa/sessions/${encodeURIComponent(id)}`)
export const revokeUser = (id) => call(isNothing, 'DELETE', `/byoa/users/${encodeURIComponent(id)}/sessions`)

// health is a report where something is unhealthy too, though the status then is 503.
export async function health() {
  try {
    return await call(isHealth, 'GET', '/byoa/health')
  } catch (failure) {
    if (isHealth(failure.body)) return failure.body
    throw failure
  }
}
