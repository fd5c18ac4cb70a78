// Says what is wrong where there is nothing new to show.

const troubles = {
  console: () => ({
    title: 'The console has ended',
    text: 'The command that serves this page does not answer. Start it again; this page goes on by itself.',
    command: 'caddy byoa console',
  }),
  caddy: ({ message }) => ({
    title: 'Caddy does not answer',
    text: `${sentence(message)} If it is not running, start it; this page goes on by itself.`,
    command: 'caddy run --config Caddyfile',
  }),
  stranger: ({ message }, admin) => ({
    title: 'Something else answers',
    text: `What answers at ${admin} does not speak as Caddy with byoa does. ${sentence(message)}`,
  }),
  answer: ({ message, status }, admin) => ({
    title: `Caddy answers ${status}`,
    text: `${sentence(message)} ${advices[status]?.(admin) ?? ''}`.trim(),
  }),
}

const advices = {
  404: (admin) => `The Caddy at ${admin} may have been built without byoa, or be an older one.`,
  503: () => 'This page goes on by itself.',
}

function sentence(text) {
  const whole = text.charAt(0).toUpperCase() + text.slice(1)
  return /[.!?…]$/.test(whole) ? whole : `${whole}.`
}

// troubleOf says what a failure means: a title, a text, and perhaps a command that helps.
export const troubleOf = (failure, admin) => troubles[failure.kind]?.(failure, admin)
  ?? { title: 'This page has failed', text: sentence(String(failure)) }
