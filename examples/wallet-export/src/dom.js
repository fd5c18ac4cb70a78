// make returns an element. Children are elements or text, and text is only ever text; what
// is false, null or empty is left out.
export function make(tag, attributes, ...children) {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value)
  element.append(...children.flat().filter(Boolean))
  return element
}

export const byId = (id) => document.getElementById(id)
