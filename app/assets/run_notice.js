// A button by which the browser tells when a run ends. What it has agreed to is kept in this browser alone.
const KEPT = "pituning-run-notice"
const ENDED = { succeeded: "is done", failed: "has failed", cancelled: "was cancelled" }

export default function ({ data, parentElement }) {
  const button = parentElement.querySelector("button")
  const possible = "Notification" in window && window.isSecureContext && Notification.permission !== "denied"
  const wanted = () => possible && Notification.permission === "granted" && localStorage.getItem(KEPT) === "1"

  const show = () => {
    const anyActive = Object.values(data.runs).some(([state]) => !(state in ENDED))
    button.hidden = !possible || !anyActive
    button.setAttribute("aria-pressed", String(wanted()))
    button.textContent = wanted() ? "✓ You are told when a run ends" : "Tell me when a run ends"
  }

  button.onclick = async () => {
    if (wanted()) localStorage.removeItem(KEPT)
    else if ((await Notification.requestPermission()) === "granted") localStorage.setItem(KEPT, "1")
    show()
  }

  // This function runs again with everything new, so what was seen before hangs on the element.
  const before = parentElement.runsBefore ?? {}
  for (const [run, [state, title]] of Object.entries(data.runs)) {
    if (state in ENDED && run in before && !(before[run][0] in ENDED) && wanted()) {
      const notice = new Notification(`${title} ${ENDED[state]}`, { body: data.studio, tag: run })
      notice.onclick = () => window.focus()
    }
  }
  parentElement.runsBefore = data.runs
  show()
}
