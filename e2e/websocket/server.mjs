// An API behind the gateway that keeps its connections: a WebSocket server, by ws, and event
// streams. It listens on loopback, writes its URL as the first line of its output, and ends
// when its input does.
//
// On a WebSocket it first says whose the token is that it got, and then sends back what comes;
// {close: code} has it close with that code. The event stream at /events begins with whose the
// token is, and has a further event every tenth of a second.

import { createServer } from 'node:http'
import { WebSocketServer } from 'ws'

function userOf(req) {
  const [, payload] = req.headers.authorization.slice('Bearer '.length).split('.')
  return JSON.parse(Buffer.from(payload, 'base64url')).external_user_id
}

const server = createServer((req, res) => {
  if (req.url !== '/events') return res.end('{}')
  res.writeHead(200, { 'content-type': 'text/event-stream' })
  res.write(`data: ${userOf(req)}\n\n`)
  const ticks = setInterval(() => res.write('data: tick\n\n'), 100)
  res.on('close', () => clearInterval(ticks))
})

new WebSocketServer({ server }).on('connection', (socket, req) => {
  socket.send(userOf(req))
  socket.on('message', (data, binary) => {
    const { close } = binary ? {} : JSON.parse(data)
    if (close) socket.close(close, 'as you like')
    else socket.send(data, { binary })
  })
  socket.on('error', () => {}) // the gateway ends some without a word
})

server.listen(0, '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${server.address().port}`)
})
process.stdin.resume()
process.stdin.on('end', () => process.exit(0))
