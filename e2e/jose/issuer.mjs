// A login system for tests: it holds the keys, publishes them as a JWKS and signs
// whatever it is asked to. It verifies too, as a backend behind the gateway would.
// Everything cryptographic is done by jose, so that the gateway is never tested with
// its own code. It listens on loopback, writes its URL as the first line of its
// output, and ends when its input does.
//
//   node issuer.mjs ES256 RS256 …
//
//   GET  /.well-known/jwks.json
//   POST /sign    {alg, header, payload, stray}  → {token}    stray: a key that is not published
//   POST /verify  {token, jwks, options}         → {header, payload}
//   POST /rotate  {keep}                         → {}         new keys; of the old ones so many sets stay in the JWKS, or none
//   POST /behave  {status, cacheControl, hang}   → {}         what the JWKS answers from now on; hang: nothing
//   GET  /state                                  → {fetches}  how often the JWKS was asked for

import { createServer } from 'node:http'
import { randomUUID } from 'node:crypto'
import {
  CompactSign, createRemoteJWKSet, exportJWK, generateKeyPair, jwtVerify,
} from 'jose'

const algorithms = process.argv.slice(2)
const behaviour = { status: 200, cacheControl: undefined, hang: false }
let fetches = 0
let keys = await makeKeys()
let earlier = []
const strays = await makeKeys()

async function makeKeys() {
  const made = {}
  for (const alg of algorithms) {
    const { publicKey, privateKey } = await generateKeyPair(alg)
    const kid = `${alg}-${randomUUID()}`
    made[alg] = { kid, privateKey, jwk: { ...await exportJWK(publicKey), kid, alg, use: 'sig' } }
  }
  return made
}

const jwks = () => ({ keys: [keys, ...earlier].flatMap(Object.values).map((key) => key.jwk) })

// The header is what the test asks for; kid and alg are filled in unless it names them,
// and left out where it says null.
async function sign({ alg, header = {}, payload, stray = false }) {
  const protectedHeader = { alg, kid: keys[alg]?.kid, ...header }
  for (const name of Object.keys(protectedHeader)) {
    if (protectedHeader[name] === null) delete protectedHeader[name]
  }
  const key = alg.startsWith('HS') ? secretFrom(keys) : (stray ? strays : keys)[alg].privateKey
  const bytes = new TextEncoder().encode(JSON.stringify(payload))
  return { token: await new CompactSign(bytes).setProtectedHeader(protectedHeader).sign(key) }
}

// The classic confusion: what is public, used as the secret of an HMAC.
const secretFrom = (published) =>
  new TextEncoder().encode(JSON.stringify(Object.values(published)[0].jwk))

async function verify({ token, jwks: url, options }) {
  const { protectedHeader, payload } = await jwtVerify(token, createRemoteJWKSet(new URL(url), { timeoutDuration: 60_000 }), options ?? {})
  return { header: protectedHeader, payload }
}

const routes = {
  'GET /state': async () => ({ fetches }),
  'POST /sign': sign,
  'POST /verify': verify,
  'POST /rotate': async ({ keep = 0 }) => {
    earlier = [keys, ...earlier].slice(0, keep)
    keys = await makeKeys()
    return {}
  },
  'POST /behave': async (asked) => {
    Object.assign(behaviour, asked)
    return {}
  },
}

function answerJWKS(res) {
  fetches++
  if (behaviour.hang) return
  const headers = { 'content-type': 'application/jwk-set+json' }
  if (behaviour.cacheControl) headers['cache-control'] = behaviour.cacheControl
  res.writeHead(behaviour.status, headers)
  res.end(behaviour.status === 200 ? JSON.stringify(jwks()) : '')
}

async function bodyOf(req) {
  const chunks = []
  for await (const chunk of req) chunks.push(chunk)
  const text = Buffer.concat(chunks).toString('utf8')
  return text === '' ? {} : JSON.parse(text)
}

const server = createServer(async (req, res) => {
  if (req.url === '/.well-known/jwks.json') return answerJWKS(res)
  try {
    const route = routes[`${req.method} ${req.url}`]
    if (!route) throw new Error(`no route ${req.method} ${req.url}`)
    const answer = await route(await bodyOf(req))
    res.writeHead(200, { 'content-type': 'application/json' })
    res.end(JSON.stringify(answer))
  } catch (err) {
    res.writeHead(400, { 'content-type': 'application/json' })
    res.end(JSON.stringify({ error: `${err.code ?? err.name}: ${err.message}` }))
  }
})

server.listen(0, '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${server.address().port}`)
})
process.stdin.resume()
process.stdin.on('end', () => process.exit(0))
