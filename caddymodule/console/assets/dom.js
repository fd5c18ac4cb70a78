// Builds elements and brings what is on the page in line with them. Text is only ever
// text here: much of what the console shows was chosen by whoever sent a request.

export const byId = (id) => document.getElementById(id)

// make returns an element. Attributes that are null or false are left out; children are
// elements, or anything else, which becomes text.
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(name, value === true ? '' : value)
    }
  }
  element.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false))
  return element
}

const svg = 'http://www.w3.org/2000/svg'

// icon is decoration: what it says stands beside it in words.
export function icon(name) {
  const element = document.createElementNS(svg, 'svg')
  element.setAttribute('class', `icon ${name}`)
  element.setAttribute('aria-hidden', 'true')
  const use = document.createElementNS(svg, 'use')
  use.setAttribute('href', `#icon-${name}`)
  element.append(use)
  return element
}

// show makes children the content of parent and touches only what differs, so that
// focus, selection and scroll position outlive a poll. Children with data-key are told
// apart by it, and those that stay are not moved as long as their order is the same.
export function show(parent, ...children) {
  const wanted = children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false).map(asNode)
  const keys = new Set(wanted.map(keyOf))
  const present = new Map()
  for (const child of [...parent.childNodes]) {
    if (!keyOf(child)) continue
    if (keys.has(keyOf(child))) present.set(keyOf(child), child)
    else child.remove()
  }
  let at = parent.firstChild
  for (const want of wanted) {
    const have = keyOf(want) ? present.get(keyOf(want)) : alike(at, want) && at
    if (!have) {
      parent.insertBefore(want, at)
      continue
    }
    if (have !== at) parent.insertBefore(have, at)
    adjust(have, want)
    at = have.nextSibling
  }
  while (at) {
    const next = at.nextSibling
    at.remove()
    at = next
  }
}

const asNode = (child) => child instanceof Node ? child : document.createTextNode(String(child))

const keyOf = (node) => node.dataset?.key

const alike = (have, want) => have && have.nodeName === want.nodeName && !keyOf(have)

function adjust(have, want) {
  if (have.nodeType === Node.TEXT_NODE) {
    if (have.data !== want.data) have.data = want.data
    return
  }
  for (const { name } of [...have.attributes]) {
    if (!want.hasAttribute(name)) have.removeAttribute(name)
  }
  for (const { name, value } of want.attributes) {
    if (have.getAttribute(name) !== value) have.setAttribute(name, value)
  }
  show(have, ...want.childNodes)
}

// setText is show for an element that has nothing but text.
export const setText = (element, text) => show(element, text || null)

// announce tells those who do not see the page what it shows by now.
export const announce = (text) => say(byId('announcer'), text)

let fading

// tell says to everybody what was just done.
export function tell(text) {
  clearTimeout(fading)
  say(byId('toast'), text)
  fading = setTimeout(() => setText(byId('toast'), ''), 10_000)
}

function say(region, text) {
  region.textContent = ''
  // The same words twice are news twice, but only if the region was empty in between.
  requestAnimationFrame(() => { region.textContent = text })
}
