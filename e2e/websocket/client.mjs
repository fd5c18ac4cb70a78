// A client of WebSockets, by ws. Each line of input is a JSON object that says what to do;
// each is answered by a line, {result} or {error}. Sockets have names. It ends when its
// input does.
//
//   {do: "open", name, url, token}  → {hello}  the first message; or {refused}, the status
//   {do: "say", name, bytes}        sends as many bytes, and waits until they are back
//   {do: "ask", name, message}      sends a message, and waits for nothing
//   {do: "closed", name}            → {code, reason}, once it is

import { createInterface } from 'node:readline'
import { once } from 'node:events'
import { randomBytes } from 'node:crypto'
import { WebSocket } from 'ws'

const sockets = new Map()

async function open({ name, url, token }) {
  const socket = new WebSocket(url, { headers: { authorization: `Bearer ${token}` } })
  const refused = new Promise((resolve) => {
    socket.on('unexpected-response', (_, res) => {
      res.resume()
      resolve({ refused: res.statusCode })
    })
  })
  const closed = new Promise((resolve) => {
    socket.on('close', (code, reason) => resolve({ code, reason: reason.toString() }))
  })
  sockets.set(name, { socket, closed })
  return Promise.race([refused, once(socket, 'message').then(([hello]) => ({ hello: hello.toString() }))])
}

async function say({ name, bytes }) {
  const { socket, closed } = sockets.get(name)
  const sent = randomBytes(bytes)
  const back = once(socket, 'message')
  socket.send(sent)
  const answer = await Promise.race([back, closed])
  if (!Array.isArray(answer)) throw new Error(`the socket was closed: ${JSON.stringify(answer)}`)
  if (!sent.equals(answer[0])) throw new Error(`${bytes} bytes came back as ${answer[0].length} others`)
  return null
}

const tasks = {
  open,
  say,
  ask: ({ name, message }) => {
    sockets.get(name).socket.send(JSON.stringify(message))
    return null
  },
  closed: ({ name }) => sockets.get(name).closed,
}

for await (const line of createInterface({ input: process.stdin })) {
  const task = JSON.parse(line)
  let answer
  try {
    answer = { result: await tasks[task.do](task) }
  } catch (error) {
    answer = { error: error.message }
  }
  console.log(JSON.stringify(answer))
}
process.exit(0) // sockets that are open would keep it
