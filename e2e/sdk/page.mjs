// The app on a page: run does a task of app.mjs.

import { makeApp } from './app.mjs'

globalThis.run = makeApp()
