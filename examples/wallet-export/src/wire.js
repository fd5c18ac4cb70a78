// Shows what goes over the wire. An app needs none of this.

import { login } from './addresses.js'
import { byId, make } from './dom.js'
import { refusalIn } from './json.js'
import { showToken, tokensIn } from './tokens.js'

const besideTheApp = matchMedia('(min-width: 60rem)') // as in style.css

// step begins a group of calls.
export function step(title) {
  byId('steps').append(make('li', { class: 'step' }, make('h3', {}, title), make('ol', { class: 'calls' })))
}

const unanswered = new WeakSet()

// wasUnanswered says whether an error is that of a call to which nobody answered.
export const wasUnanswered = (error) => unanswered.has(error)

// watchedFetch is fetch, and shows the call in the step in which it began.
export async function watchedFetch(input, init) {
  const request = new Request(input, init)
  const call = { method: request.method, url: new URL(request.url) }
  call.sent = tokensIn([...request.headers.values(), await request.clone().text()].join('\n'))
  const row = make('li', { class: 'call' })
  byId('steps').lastElementChild.lastElementChild.append(row)
  row.replaceChildren(...showCall(call, 'wait', '…'))
  const [response, text] = await answerTo(request).catch((error) => {
    row.replaceChildren(...showCall(call, 'refused', 'no answer'))
    unanswered.add(error)
    throw error
  })
  row.replaceChildren(...showAnswered(call, response, text))
  if (besideTheApp.matches) row.scrollIntoView({ block: 'nearest' })
  return response
}

async function answerTo(request) {
  const response = await fetch(request)
  return [response, await response.clone().text()]
}

function showAnswered(call, { ok, status }, text) {
  const { code = '', error } = ok ? {} : refusalIn(text)
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
