// Brings the slides of a story to the page, a megabyte or two. They come apart from what is said about them, so that
// turning to another slide sends none of them again.

export default function ({ data }) {
  window.studioSlides = { [data.digest]: data.html }
  window.dispatchEvent(new CustomEvent("studio-slides"))
}
