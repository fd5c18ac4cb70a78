// Shows the settings of an environment.

import { byId, make, show } from './dom.js'
import { duration } from './format.js'

export function showSettings(e) {
  show(byId('settings'),
    ...(e.providers ?? []).map(provider),
    group('Credential', [
      ['Header', code(e.header)],
      ['Cookie', code(e.cookie_name)],
      ['Origins that may call', codes(e.cors)],
      ['Linked accounts', e.link ? 'yes' : 'no'],
    ]),
    group('Session', [
      ['Lifetime', duration(e.session?.lifetime)],
      ['Longest, refreshed', duration(e.session?.max_lifetime)],
      ['Cookie', code(e.session?.cookie)],
    ]),
    group('Assertion', [
      ['Type', code(e.assertion?.type)],
      ['Audience', code(e.assertion?.audience)],
      ['Longest lifetime', duration(e.assertion?.max_lifetime)],
    ]),
    scopes(e.scopes ?? []),
    group('Behind it', [
      ['Exchanger', code(e.exchanger)],
      ['Store', code(e.store)],
    ]),
  )
}

const none = () => make('span', { class: 'soft' }, 'none')

const code = (text) => text ? make('code', {}, text) : none()

const codes = (texts) => texts?.length ? texts.map((t) => make('code', { class: 'line' }, t)) : none()

const group = (title, rows) => make('div', { 'data-key': title }, make('h3', {}, title), list(rows))

const list = (rows) => make('dl', {}, rows.filter(Boolean).map(([name, value]) =>
  make('div', {}, make('dt', {}, name), make('dd', {}, value || none()))))

const provider = (p, i) => make('div', { 'data-key': `provider ${i}` },
  make('h3', {}, i === 0 ? 'Login system' : `Login system ${i + 1}`),
  list([
    ['Issuer', code(p.issuer)],
    p.jwks_file ? ['Keys from', code(p.jwks_file)] : ['Keys from', p.jwks_url ? code(p.jwks_url) : p.discovery ? 'discovery' : none()],
    p.discovery && p.jwks_url && ['Discovery', 'yes'],
    ['Audience', p.audience?.length ? codes(p.audience) : 'any'],
    ['Algorithms', p.algorithms?.length ? codes(p.algorithms) : 'every asymmetric one'],
  ]))

const scopes = (all) => make('div', { 'data-key': 'scopes' }, make('h3', {}, 'Scopes'),
  all.length === 0
    ? make('p', {}, 'Any scope may be asked for, each good for one request.')
    : make('table', {},
      make('thead', {}, make('tr', {},
        ['Scope', 'Good for', 'Lifetime'].map((h) => make('th', { scope: 'col' }, h)))),
      make('tbody', {}, all.map((s) => make('tr', { 'data-key': s.name },
        make('td', {}, make('code', {}, s.name)),
        make('td', {}, s.multi_use ? 'any number' : 'one request'),
        make('td', {}, duration(s.lifetime)))))))
