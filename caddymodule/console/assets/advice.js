// Says for each way in which a token can fail what to do about it.

const advices = {
  token_malformed: 'Paste the whole token: three parts with dots between them. A cut-off copy, quotes, or an opaque token of the login system look like this.',
  token_too_large: 'Have the login system put fewer claims into it, or raise max_token_size.',
  algorithm_not_allowed: 'Have the login system sign with an algorithm of this environment, or add its algorithm to algorithms. HMAC and none are never taken.',
  key_not_found: 'Compare its kid with the keys at jwks_url. After a rotation the new set may not be here yet: see Keys of the login system.',
  signature_invalid: 'It was changed after it was signed, or signed with another key under the same kid. Do not trust it.',
  issuer_mismatch: 'Compare its iss with the issuer in the settings, letter by letter: a trailing slash counts.',
  audience_mismatch: 'Have the login system issue it for an audience of this environment, or add its audience to the config.',
  subject_missing: 'Have the login system say in sub who the user is.',
  expiry_missing: 'Have the login system set exp: a token that never ends is not taken.',
  expired: 'Get a new one. If it was just issued, compare the clocks of the two machines.',
  not_yet_valid: 'Its nbf or iat is ahead of this machine’s clock by more than leeway. Compare the clocks.',
  type_mismatch: 'External JWTs and assertions are told apart by typ and aud, as the assertion settings say. Check that the right kind is chosen here.',
  subject_mismatch: 'The assertion is about somebody else than the subject given here.',
  scope_missing: 'Have the backend name in scope what the user confirmed.',
  scope_not_allowed: 'Add the scope to the config, or correct its spelling in the assertion.',
  jti_missing: 'Have the backend give every assertion a jti of its own, so that each is used once.',
  lifetime_too_long: 'Have the backend set exp nearer to when the assertion is issued, or raise max_lifetime of assertion.',
  keys_unavailable: 'There is no key set yet. Keys of the login system says why.',
  external_auth_disabled: 'Enable the environment; until then nobody signs in, whatever the token.',
  store_unavailable: 'See what is wrong with the store: what is switched off or revoked cannot be read.',
}

export const adviceFor = (code) => advices[code] ?? ''

const names = {
  form: 'Form', algorithm: 'Algorithm', type: 'Type', issuer: 'Issuer', subject: 'Subject', expiry: 'Expiry',
  not_before: 'Not before', issued_at: 'Issued at', audience: 'Audience', signature: 'Signature', jti: 'Token ID',
  lifetime: 'Lifetime', scope: 'Scope', scope_allowed: 'Scope allowed', own_type: 'Not one of our own',
  enabled: 'Environment enabled',
}

export const ruleName = (name) => names[name] ?? name
