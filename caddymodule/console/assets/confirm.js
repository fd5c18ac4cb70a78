// Asks before something is done that others will notice.

import { byId, setText } from './dom.js'

// confirmed shows what is about to happen. Where the answer is yes it does it, and stays
// open if that fails, with the reason. It returns whether it was done.
export function confirmed({ title, text, action, harmless = false }, act) {
  const dialog = byId('confirm')
  const yes = byId('confirm-yes')
  const no = byId('confirm-no')
  setText(byId('confirm-title'), title)
  setText(byId('confirm-text'), text)
  setText(byId('confirm-error'), '')
  setText(yes, action)
  yes.className = harmless ? 'strong' : 'danger'
  dialog.showModal()
  no.focus()
  return new Promise((resolve) => {
    let done = false
    let busy = false // what is under way is neither done twice nor left alone
    yes.onclick = async () => {
      if (busy) return
      busy = true
      yes.ariaDisabled = 'true'
      try {
        await act()
        done = true
        dialog.close()
      } catch (failure) {
        setText(byId('confirm-error'), failure.message)
      } finally {
        busy = false
        yes.ariaDisabled = 'false'
      }
    }
    no.onclick = () => {
      if (!busy) dialog.close()
    }
    dialog.oncancel = (event) => {
      if (busy) event.preventDefault()
    }
    dialog.onclose = () => resolve(done)
  })
}
