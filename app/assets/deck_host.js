// Shows slides in a frame on the page, or over the whole window. The frame holds the document of an exported story, so
// that what is shown and what is sent are drawn by the same code; only its slides come from the page.

const MARK = "<!-- code -->"
const code = new Map()

// The code that draws figures is some megabytes: the browser keeps it.
const load = (path) => {
  if (!code.has(path)) {
    const answer = fetch(new URL(path, location.href)).then((response) => {
      if (!response.ok) throw new Error(`${response.status} of ${path}`)
      return response.text()
    })
    answer.catch(() => code.delete(path))
    code.set(path, answer)
  }
  return code.get(path)
}

const address = (slide, shown) => {
  const url = new URL(location.href)
  url.searchParams.set("slide", slide + 1)
  if (shown) url.searchParams.set("show", "1")
  else url.searchParams.delete("show")
  history.replaceState(history.state, "", url)
}

export default function ({ data, parentElement, setTriggerValue }) {
  const stage = parentElement.querySelector("#stage")
  const frame = parentElement.querySelector("iframe")
  const wait = parentElement.querySelector("#wait")
  let deck = stage.deck
  if (!deck) {
    deck = stage.deck = { ready: false, html: null }
    deck.listen = ({ source, data: told }) => {
      if (source !== frame.contentWindow || !told?.deck) return
      if (told.deck === "ready") {
        deck.ready = true
        wait.hidden = true
        deck.send()
      } else if (told.deck === "at" && deck.data.view === "show") {
        address(told.slide, true)
      } else if (told.deck === "close") {
        address(told.slide, false)
        deck.setTriggerValue("closed", told.slide)
      }
    }
    deck.send = () => {
      const { slide, view, dark } = deck.data
      const html = window.studioSlides?.[deck.data.slides]
      if (!deck.ready || html === undefined) return
      const fresh = html !== deck.html ? { html } : {}
      deck.html = html
      frame.contentWindow.postMessage({ deck: "show", slide, view, dark, ...fresh }, "*")
    }
    // The page may have taken the keyboard back from the frame, as when it is drawn anew: no key is lost for that.
    deck.press = (event) => {
      if (deck.data.view !== "show" || event.ctrlKey || event.metaKey || event.altKey) return
      frame.focus()
      frame.contentWindow.postMessage({ deck: "key", key: event.key }, "*")
    }
    document.addEventListener("keydown", deck.press)
    window.addEventListener("message", deck.listen)
    window.addEventListener("studio-slides", deck.send)
    load(data.library).then(
      // A function, for what stands for a match in a replacement may stand in the code, too.
      (text) => { frame.srcdoc = data.shell.replace(MARK, () => text) },
      () => { wait.textContent = "The code that draws figures did not arrive. Start the Studio with `pituning app`." },
    )
  }
  deck.data = data
  deck.setTriggerValue = setTriggerValue
  const showing = stage.hasAttribute("popover")
  if (data.view === "show" && !showing) {
    stage.setAttribute("popover", "manual")
    stage.showPopover()
    frame.focus()
  } else if (data.view !== "show" && showing) {
    stage.hidePopover()
    stage.removeAttribute("popover")
  }
  deck.send()
  return () => {
    document.removeEventListener("keydown", deck.press)
    window.removeEventListener("message", deck.listen)
    window.removeEventListener("studio-slides", deck.send)
  }
}
