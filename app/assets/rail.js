// Thumbnails of slides: a click or an arrow key opens one, dragging or Alt with an arrow key moves it.

const START = 6  // pixels that the mouse has to move before a press is a drag
const SMALL = 640

export default function ({ data, parentElement, setTriggerValue }) {
  const list = parentElement.querySelector("#rail")
  const state = (list.rail ??= { drawn: "", dragged: false, sent: data.done, waiting: [] })
  // One act at a time: of two that come at once the page would be told the last one alone.
  const send = () => {
    const act = state.sent <= state.done ? state.waiting.shift() : undefined
    if (!act) return
    state.sent = Math.max(state.sent, state.done) + 1
    state.send({ ...act, number: state.sent })
  }
  if (data.done < (state.done ?? 0)) state.sent = data.done  // the page has begun anew
  state.done = data.done
  state.send = (act) => setTriggerValue("act", act)
  state.tell = (kind, id, to) => {
    state.waiting.push({ kind, id, to: to ?? 0 })
    send()
  }
  send()
  state.editable = data.editable

  const make = (item, place) => {
    const row = document.createElement("li")
    row.dataset.id = item.id
    const thumb = Object.assign(document.createElement("button"), { type: "button", className: "thumb" })
    thumb.setAttribute("aria-describedby", "hint")
    const number = Object.assign(document.createElement("span"), { className: "number", textContent: place + 1 })
    const picture = Object.assign(document.createElement("span"), { className: `picture ${item.svg ? "" : "words"}` })
    const title = Object.assign(document.createElement("span"), { className: "title", textContent: item.title })
    picture.append(title)
    if (item.svg) picture.insertAdjacentHTML("beforeend", item.svg)
    thumb.append(number, picture)
    row.append(thumb)
    if (data.editable) {
      const grip = Object.assign(document.createElement("span"), { className: "grip", title: "Drag to move" })
      grip.setAttribute("aria-hidden", "true")
      row.append(grip)
      drag(row, thumb)
    }
    return row
  }

  const rows = () => [...list.children]
  const beside = () => getComputedStyle(list).flexDirection === "row"

  // Where the pointer is among the others: before the first whose middle it has not passed.
  const placeAt = (row, x, y) => {
    const others = rows().filter((one) => one !== row)
    const before = others.findIndex((one) => {
      const box = one.getBoundingClientRect()
      return beside() ? x < box.left + box.width / 2 : y < box.top + box.height / 2
    })
    return before < 0 ? others.length : before
  }
  const put = (row, place) => {
    const others = rows().filter((one) => one !== row)
    list.insertBefore(row, others[place] ?? null)
  }

  function drag(row, thumb) {
    let from = null
    const move = (event) => {
      if (!from) return
      if (!state.dragged && Math.hypot(event.clientX - from.x, event.clientY - from.y) < START) return
      if (!state.dragged) {
        state.dragged = true
        row.classList.add("dragged")
        row.setPointerCapture?.(event.pointerId)
      }
      put(row, placeAt(row, event.clientX, event.clientY))
      row.scrollIntoView({ block: "nearest", inline: "nearest" })
    }
    const end = (event) => {
      const moved = state.dragged
      window.removeEventListener("pointermove", move)
      window.removeEventListener("pointerup", end)
      window.removeEventListener("pointercancel", end)
      row.classList.remove("dragged")
      if (moved) {
        const to = rows().indexOf(row)
        if (event.type === "pointerup" && to !== from.place) state.tell("move", row.dataset.id, to)
        else put(row, from.place)
        setTimeout(() => { state.dragged = false })  // the click that follows is none
      }
      from = null
    }
    row.addEventListener("pointerdown", (event) => {
      const touch = event.pointerType !== "mouse"
      if (event.button !== 0 || (touch && !event.target.closest(".grip"))) return
      from = { x: event.clientX, y: event.clientY, place: rows().indexOf(row) }
      window.addEventListener("pointermove", move)
      window.addEventListener("pointerup", end)
      window.addEventListener("pointercancel", end)
    })
    thumb.addEventListener("dragstart", (event) => event.preventDefault())
  }

  const drawn = JSON.stringify([data.items, data.editable])
  if (drawn !== state.drawn && state.sent <= state.done) {  // while more is under way, it stands as it will be
    const held = list.getRootNode().activeElement?.closest?.("li")?.dataset.id
    list.replaceChildren(...data.items.map(make))
    state.drawn = drawn
    if (held) list.querySelector(`[data-id="${held}"] .thumb`)?.focus({ preventScroll: true })
  }
  rows().forEach((row, place) => {
    const thumb = row.firstElementChild, now = place === data.at
    if (now) thumb.setAttribute("aria-current", "true")
    else thumb.removeAttribute("aria-current")
    thumb.setAttribute("aria-label", `Slide ${place + 1}: ${row.querySelector(".title").textContent}`)
    thumb.tabIndex = now ? 0 : -1
    if (now && state.at !== data.at) row.scrollIntoView({ block: "nearest", inline: "nearest" })
  })
  state.at = data.at
  parentElement.querySelector("#hint").hidden = !data.editable || window.innerWidth < SMALL

  list.onclick = (event) => {
    const row = event.target.closest("li")
    if (row && !state.dragged) state.tell("open", row.dataset.id)
  }
  list.onkeydown = (event) => {
    const row = event.target.closest("li")
    const all = rows(), at = all.indexOf(row)
    if (at < 0 || event.ctrlKey || event.metaKey) return
    const by = { ArrowUp: -1, ArrowLeft: -1, ArrowDown: 1, ArrowRight: 1 }[event.key]
    const to = { Home: 0, End: all.length - 1 }[event.key] ?? (by ? Math.min(Math.max(at + by, 0), all.length - 1) : null)
    if (to !== null && event.altKey && state.editable) {
      event.preventDefault()
      if (to !== at) {
        put(row, to)
        row.firstElementChild.focus()
        state.tell("move", row.dataset.id, to)
      }
    } else if (to !== null && !event.altKey) {
      event.preventDefault()
      all[to].firstElementChild.focus()
      state.tell("open", all[to].dataset.id)
    } else if (state.editable && (event.key === "Delete" || event.key === "Backspace")) {
      event.preventDefault()
      state.tell("remove", row.dataset.id)
    } else if (state.editable && event.key === "d") {
      event.preventDefault()
      state.tell("duplicate", row.dataset.id)
    }
  }
}
