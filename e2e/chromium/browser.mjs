// A Chromium for tests that are written elsewhere. Each line of input is a JSON object
// that says what to do; each is answered by a line, {result} or {error}. Elements are
// named as Playwright's selectors do, such as role=button[name="Check"]. It ends when
// its input does.
//
//   {do: "open", url, width, height, colorScheme, forcedColors, origins, expected}   in a context of its own
//   {do: "open", url, kept, origins, expected}      in a page beside the one before, with its cookies
//   {do: "reload"}
//   {do: "click" | "focus" | "check", at}
//   {do: "fill", at, text}
//   {do: "press", key}                              where the focus is
//   {do: "wait", at, text, gone}                    until it is visible (and holds text), or gone
//   {do: "text", at}                                → what is visible of it
//   {do: "evaluate", script}                        → its value
//   {do: "accessibility"}                           → what axe-core finds wrong
//   {do: "screenshot", path}
//   {do: "troubles"}                                → errors of scripts and of the policy so far
//
// A request to another origin than the page's is a trouble, unless it is one of origins; so
// is whatever a script leaves uncaught or the console calls an error, unless it holds one of
// the texts that are expected.

import { createInterface } from 'node:readline'
import { createRequire } from 'node:module'
import { readFile } from 'node:fs/promises'
import { chromium } from 'playwright-core'

const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const patience = 90_000
const browser = await chromium.launch({
  timeout: patience,
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: [
    '--headless', '--no-sandbox', '--disable-gpu', '--disable-background-networking',
    // Whoever a page asks elsewhere is not there, with a way to the internet or without.
    '--no-proxy-server', '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1',
  ],
})
let context
let page
let troubles = []

async function open({
  url, width = 1280, height = 800, colorScheme = 'light', forcedColors = 'none', kept = false, origins = [], expected = [],
}) {
  const allowed = [new URL(url).origin, ...origins]
  const trouble = (message) => {
    if (!expected.some((text) => message.includes(text))) troubles.push(message)
  }
  if (!kept) {
    await context?.close()
    context = await browser.newContext({ viewport: { width, height }, colorScheme, forcedColors, reducedMotion: 'reduce' })
    context.setDefaultTimeout(patience)
  }
  page = await context.newPage()
  page.on('pageerror', (error) => trouble(`script: ${error.message}`))
  page.on('console', (message) => {
    // Chromium fails to load every answer of 400 and above, those that the page expects included.
    if (message.type() === 'error' && !message.text().includes('Failed to load resource')) trouble(message.text())
  })
  page.on('request', (request) => {
    const { origin, protocol } = new URL(request.url())
    if (!allowed.includes(origin) && protocol !== 'data:') troubles.push(`external: ${request.url()}`)
  })
  page.on('dialog', (dialog) => {
    troubles.push(`a script of somebody else ran: ${dialog.message()}`)
    dialog.dismiss()
  })
  await page.goto(url)
}

async function wait({ at, text, gone }) {
  const found = page.locator(at).filter(text ? { hasText: text } : {})
  if (gone) await found.first().waitFor({ state: 'hidden' })
  else await found.filter({ visible: true }).first().waitFor()
}

async function accessibility() {
  await page.evaluate(axe)
  const { violations } = await page.evaluate(() => globalThis.axe.run(document))
  return violations.map((v) => `${v.id}: ${v.nodes.map((n) => `${n.target.join(' ')}: ${n.failureSummary}`).join('; ')}`)
}

const tasks = {
  open,
  reload: async () => {
    await page.reload()
  },
  wait,
  accessibility,
  click: ({ at }) => page.locator(at).click(),
  focus: ({ at }) => page.locator(at).focus(),
  check: ({ at }) => page.locator(at).check(),
  fill: ({ at, text }) => page.locator(at).fill(text),
  press: ({ key }) => page.keyboard.press(key),
  text: ({ at }) => page.locator(at).innerText(),
  evaluate: ({ script }) => page.evaluate(script),
  screenshot: ({ path }) => page.screenshot({ path, fullPage: true }),
  troubles: () => troubles,
}

for await (const line of createInterface({ input: process.stdin })) {
  const task = JSON.parse(line)
  let answer
  try {
    const result = await tasks[task.do](task)
    answer = { result: result instanceof Buffer ? null : result ?? null }
  } catch (error) {
    answer = { error: error.message }
  }
  console.log(JSON.stringify(answer))
}
await browser.close()
