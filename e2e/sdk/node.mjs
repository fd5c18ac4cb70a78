// The app in Node.js. Each line of input is a task of app.mjs as JSON; each is answered by
// a line, {result}. It ends when its input does.
//
// What a browser would keep for the SDK is kept here: a storage, a database for its keys, and
// cookies, for servers and for what the SDK knows as document.cookie. An app that is
// opened finds nothing there, unless it is opened with {kept: true}, as after a reload.

import { createInterface } from 'node:readline'
import 'fake-indexeddb/auto'
import { IDBFactory } from 'fake-indexeddb'
import { CookieJar } from 'tough-cookie'
import { makeApp } from './app.mjs'

const stored = new Map()
const storageAdapter = {
  getItem: async (key) => stored.get(key) ?? null,
  setItem: async (key, value) => stored.set(key, value),
  removeItem: async (key) => stored.delete(key),
}

let jar
let origin

async function fetchWithCookies(url, init = {}) {
  if (init.credentials !== 'include') return fetch(url, init)
  const headers = new Headers(init.headers)
  const cookies = await jar.getCookieString(url)
  if (cookies !== '') headers.set('cookie', cookies)
  const response = await fetch(url, { ...init, headers })
  for (const cookie of response.headers.getSetCookie()) await jar.setCookie(cookie, url)
  return response
}

globalThis.document = {
  get cookie() { return jar.getCookiesSync(origin).filter((c) => !c.httpOnly).map((c) => c.cookieString()).join('; ') },
  set cookie(text) { jar.setCookieSync(text, origin, { http: false }) },
}

function forget(opening) {
  stored.clear()
  globalThis.indexedDB = new IDBFactory()
  jar = new CookieJar()
  origin = opening.origin
}

const run = makeApp({ fetch: fetchWithCookies, storageAdapter })

// The SDK fetches in the background too, unheard of where the gateway ends with its test.
process.on('unhandledRejection', (error) => {
  if (!['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET'].includes(error?.cause?.code)) throw error
})

for await (const line of createInterface({ input: process.stdin })) {
  const task = JSON.parse(line)
  if (task.do === 'open' && !task.kept) forget(task)
  console.log(JSON.stringify({ result: await run(task) }))
}
process.exit(0) // the SDK's timers would keep it
