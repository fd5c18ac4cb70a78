// Writes into the page: text is only ever text, and the tokens in it stay out.

import { masked } from './jwt.js'

// make returns an element. Children are elements or text; what is false, null or empty is left out.
export function make(tag, attributes, ...children) {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value)
  element.append(...children.flat().filter(Boolean).map(shown))
  return element
}

const shown = (child) => child instanceof Node ? child : masked(String(child))

export const byId = (id) => document.getElementById(id)

export const write = (id, text) => byId(id).replaceChildren(shown(text ?? ''))
