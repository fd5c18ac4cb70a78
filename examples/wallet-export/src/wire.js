// Shows what goes over the wire. An app needs none of this.

import { login } from './addresses.js'
import { byId, make } from './dom.js'
import { showToken, tokensIn } from './tokens.js'

const besideTheApp = matchMedia('(min-width: 60rem)') // as in style.css

// step begins a group of calls.
export function step(title) {
  byId('steps').append(make('li', { class: 'step' }, make('h3', {}, title), make('ol', { class: 'calls' })))
}

// watchedFetch is fetch, and shows the call in the step in which it began.
export async function watchedFetch(input, init) {
  const request = new Request(input, init)
  const call = { method: request.method, url: new URL(request.url) }
  call.sent = tokensIn([...request.headers.values(), await request.clone().text()].join('\n'))
  const row = make('li', { class: 'call' })
  byId('steps').lastElementChild.lastElementChild.append(row)
  try {
    row.replaceChildren(...showCall(call, 'wait', '…'))
    const response = await fetch(request)
    const text = await response.clone().text()
    row.replaceChildren(...showAnswered(call, response, text))
    if (besideTheApp.matches) row.scrollIntoView({ block: 'nearest' })
    return response
  } catch (error) {
    row.replaceChildren(...showCall(call, 'refused', 'no answer'))
    throw error
  }
}

function showAnswered(call, { ok, status }, text) {
  const { code = '', error } = ok ? {} : readRefusal(text)
  return [
    ...showCall(call, ok ? 'ok' : 'refused', `${status} ${code}`, ok),
    showTokens(isForAPI(call) ? 'The API got' : 'Answered with', tokensIn(text)),
    error && make('p', { class: 'note' }, error),
  ].filter(Boolean)
}

const showCall = (call, state, verdict, passed) => [
  make('p', { class: 'who' }, whoAnswers(call, passed)),
  make('p', { class: 'request' }, make('b', {}, call.method), ' ', breakable(shortPath(call.url))),
  make('p', { class: `verdict ${state}` }, verdict),
  showTokens('Sent', call.sent),
].filter(Boolean)

const showTokens = (label, tokens) => tokens.length > 0 &&
  make('div', { class: 'tokens' }, make('p', {}, label), make('div', {}, tokens.map(showToken)))

const isForAPI = ({ url }) => url.origin !== login && !url.pathname.startsWith('/api/v0/')

function whoAnswers(call, passed) {
  if (call.url.origin === login) return 'Login system'
  return isForAPI(call) && passed ? 'API' : 'Gateway'
}

// shortPath leaves out most of the environment's id, and the query.
const shortPath = ({ pathname }) => pathname.replace(/([0-9a-f]{8})-[0-9a-f-]{27}/, '$1…')

// breakable lets a narrow page begin a line at each slash.
const breakable = (path) => path.split(/(?=\/)/).flatMap((part) => [make('wbr', {}), part])

function readRefusal(text) {
  try {
    return JSON.parse(text)
  } catch {
    return { error: text } // not the gateway's
  }
}
