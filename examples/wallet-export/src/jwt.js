// Finds tokens in a text, wherever they stand.

// A JSON object begins with a brace, and then a quote or a blank: in base64url, ey or ew.
// A signed JWT has three parts, of which the last can be empty; an encrypted one has five.
const compactJWT = /e[wy][\w-]{8,}(?:\.[\w-]*){2}(?:\.[\w-]+){0,2}/g

export const jwtsIn = (text) => [...new Set(text.match(compactJWT))]

export const masked = (text) => text.replace(compactJWT, '[token]')
