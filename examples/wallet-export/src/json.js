// Reads answers. Whoever answers may have anything to say.

// objectIn is the JSON object that a text is, or an empty one.
export function objectIn(text) {
  try {
    return Object(JSON.parse(text))
  } catch {
    return {}
  }
}

// refusalIn reads a refusal as the gateway writes them. Of anybody else's there is the text alone.
export function refusalIn(text) {
  const { code, error, scope } = objectIn(text)
  if (typeof code !== 'string' || typeof error !== 'string') return { code: '', error: text }
  return { code, error, scope }
}
