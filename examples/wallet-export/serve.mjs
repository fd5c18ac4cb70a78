// Bundles the app and serves it on loopback, for the addresses of `caddy byoa demo`
// unless the environment names others.

import { context } from 'esbuild'

const {
  PORT = '9473', // the demo allows pages of http://127.0.0.1:9473; others with --app-origin
  GATEWAY = 'http://127.0.0.1:9470',
  LOGIN = 'http://127.0.0.1:9471',
  ENVIRONMENT_ID = '95b11417-f18f-457f-8804-68e361f9164f', // in Caddyfile.example
} = process.env

const app = await context({
  entryPoints: ['src/main.js'],
  outdir: 'public', // in memory alone
  write: false,
  bundle: true,
  format: 'esm',
  target: 'es2022',
  sourcemap: true,
  define: {
    'process.env.GATEWAY': JSON.stringify(GATEWAY),
    'process.env.LOGIN': JSON.stringify(LOGIN),
    'process.env.ENVIRONMENT_ID': JSON.stringify(ENVIRONMENT_ID),
  },
})
try {
  await app.serve({ host: '127.0.0.1', port: Number(PORT), servedir: 'public' })
  console.log(`http://127.0.0.1:${PORT}`)
} catch (error) {
  console.error(`${error.message}\nChoose another with PORT=…, and allow its pages: caddy byoa demo --app-origin http://127.0.0.1:…`)
  process.exit(1)
}
