// An OpenID provider for tests: oidc-provider, as companies run it, with users who log
// in by a request instead of in a browser. It listens on loopback, writes its URL, which
// is its issuer too, as the first line of its output, and ends when its input does.
//
//   node provider.mjs
//
// A client starts at /.well-known/openid-configuration. Where a user has to log in, the
// authorization request ends at a login page; posting {user, ago} to that logs the user
// in, as of so many seconds ago. Who has a session there is not asked again. An access
// token is a JWT (RFC 9068) for the resource that was asked for (RFC 8707).
//
// The company's backend, which has the provider's keys, answers under /backend:
//
//   POST /backend/sign    {header, payload}  → {token}    with the key that signs now
//   POST /backend/rotate                     → {}         a new key signs; the last one stays published, older ones go
//   GET  /backend/state                      → {fetches}  how often the JWKS was asked for

import { createServer } from 'node:http'
import { randomUUID } from 'node:crypto'
import { CompactSign, exportJWK, generateKeyPair } from 'jose'
import { interactionPolicy, Provider } from 'oidc-provider'

const alg = 'ES256'
const scopes = 'wallet:export'
const client = {
  client_id: 'app',
  token_endpoint_auth_method: 'none',
  redirect_uris: ['https://app.example.test/callback'],
  id_token_signed_response_alg: alg,
}
const cookieKeys = [randomUUID()]
let keys = [await makeKey()] // the first one signs
let fetches = 0
let issuer
let provider

async function makeKey() {
  const { privateKey } = await generateKeyPair(alg, { extractable: true })
  const kid = randomUUID()
  return { kid, privateKey, jwk: { ...await exportJWK(privateKey), kid, alg, use: 'sig' } }
}

// What its operator does to put a config in force. Sessions and grants are kept.
function reload() {
  provider = new Provider(issuer, {
    jwks: { keys: keys.map((key) => key.jwk) },
    clients: [client],
    cookies: { keys: cookieKeys },
    acrValues: ['pwd', 'mfa'],
    findAccount: (ctx, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
    loadExistingGrant: grantAll,
    extraTokenClaims: loginOf,
    interactions: { policy: loginPolicy(), url: (ctx, interaction) => `/login/${interaction.uid}` },
    features: {
      devInteractions: { enabled: false },
      resourceIndicators: { enabled: true, getResourceServerInfo: api },
    },
    ttl: { Grant: 3600, IdToken: 600, Interaction: 600, Session: 86400 },
  })
}

const api = (ctx, resource) => ({
  scope: scopes, audience: resource, accessTokenFormat: 'jwt', accessTokenTTL: 600, jwt: { sign: { alg } },
})

// Nobody is asked for consent: the app is the company's own.
async function grantAll(ctx) {
  const { client: { clientId }, session: { accountId } } = ctx.oidc
  const grant = new ctx.oidc.provider.Grant({ clientId, accountId })
  grant.addOIDCScope('openid')
  for (const resource of [ctx.oidc.params.resource ?? []].flat()) grant.addResourceScope(resource, scopes)
  await grant.save()
  return grant
}

// How and when the user logged in goes into access tokens too (RFC 9068, section 2.2.1).
function loginOf(ctx) {
  const { acr, authTime } = ctx.oidc.entities.AuthorizationCode
  return { acr, auth_time: authTime }
}

// The provider asks again who is logged in for too long, which it does by itself, and who
// logged in by other means than the client asks for (RFC 9470, section 5).
function loginPolicy() {
  const policy = interactionPolicy.base()
  policy.get('login').checks.add(new interactionPolicy.Check('acr_values', 'another kind of login is required', (ctx) => {
    const wanted = ctx.oidc.params.acr_values
    return wanted !== undefined && !wanted.split(' ').includes(ctx.oidc.session.acr)
  }))
  return policy
}

// The user does what the client asks for, or else gives a password.
async function logIn(req, res) {
  const { user, ago } = await bodyOf(req)
  const { params } = await provider.interactionDetails(req, res)
  await provider.interactionFinished(req, res, {
    login: {
      accountId: user,
      acr: params.acr_values?.split(' ')[0] ?? 'pwd',
      ts: Math.floor(Date.now() / 1000) - ago,
    },
  })
}

async function sign({ header, payload }) {
  const [{ kid, privateKey }] = keys
  const bytes = new TextEncoder().encode(JSON.stringify(payload))
  return { token: await new CompactSign(bytes).setProtectedHeader({ alg, kid, ...header }).sign(privateKey) }
}

const backend = {
  'GET /backend/state': async () => ({ fetches }),
  'POST /backend/sign': sign,
  'POST /backend/rotate': async () => {
    keys = [await makeKey(), keys[0]]
    reload()
    return {}
  },
}

async function bodyOf(req) {
  const chunks = []
  for await (const chunk of req) chunks.push(chunk)
  const text = Buffer.concat(chunks).toString('utf8')
  return text === '' ? {} : JSON.parse(text)
}

function answer(res, status, body) {
  res.writeHead(status, { 'content-type': 'application/json' })
  res.end(JSON.stringify(body))
}

async function serve(req, res) {
  const asked = `${req.method} ${req.url}`
  if (asked in backend) return answer(res, 200, await backend[asked](await bodyOf(req)))
  if (asked.startsWith('POST /login/')) return logIn(req, res)
  if (asked.startsWith('GET /login/')) return answer(res, 200, {}) // the page
  if (asked === 'GET /jwks') fetches++
  return provider.callback()(req, res)
}

const server = createServer((req, res) => {
  serve(req, res).catch((err) => answer(res, 500, { error: `${err.name}: ${err.message}` }))
})

server.listen(0, '127.0.0.1', () => {
  issuer = `http://127.0.0.1:${server.address().port}`
  reload()
  console.log(issuer)
})
process.stdin.resume()
process.stdin.on('end', () => process.exit(0))
