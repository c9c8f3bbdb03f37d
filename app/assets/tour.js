// Whether this browser opens the Studio for the first time. It remembers that it has, and nobody else does.
const KEPT = "pituning-tour"

export default function ({ setTriggerValue }) {
  if (navigator.webdriver) return // a program that drives a browser needs no tour
  try {
    if (localStorage.getItem(KEPT)) return
    localStorage.setItem(KEPT, "seen")
  } catch {
    return // what cannot be remembered would come again with every visit
  }
  setTriggerValue("first", true)
}
