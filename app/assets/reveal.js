// After a click brings what it opens into view, where that is below the edge of the window.
const ENOUGH = 0.6 // of the window's height: what begins above that can be seen to have come

export default function ({ data, parentElement }) {
  if (!data.click || parentElement.revealed === data.click) return
  parentElement.revealed = data.click // this function runs again whenever anything is drawn
  requestAnimationFrame(() => {
    const place = document.querySelector(`.st-key-${data.place}`)
    if (!place || place.getBoundingClientRect().top < innerHeight * ENOUGH) return
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches
    place.style.scrollMarginTop = "5rem" // the navigation stays on top
    place.scrollIntoView({ behavior: calm ? "auto" : "smooth", block: "start" })
  })
}
