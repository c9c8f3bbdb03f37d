// Saves a chart as it is drawn: zoomed, filtered, light or dark.
const SCALE = 2  // pixels of a PNG for each pixel of the page: sharp in print and on slides

export default function ({ data, parentElement }) {
  const find = (id) => parentElement.querySelector("#" + id)
  const chart = () => document.querySelector(`.st-key-${data.chart}`)
  const host = parentElement.host ?? parentElement
  const paper = () => getComputedStyle(host).getPropertyValue("--st-background-color").trim() || "#ffffff"

  const download = (blob, format) => {
    const link = document.createElement("a")
    link.href = URL.createObjectURL(blob)
    link.download = `${data.stem}.${format}`
    document.body.append(link)
    link.click()
    link.remove()
    setTimeout(() => URL.revokeObjectURL(link.href), 10000)
  }

  // Plotly draws layers one over the other, each an SVG of the same size; ECharts draws one.
  const layers = () => {
    const plotly = [...chart().querySelectorAll("svg.main-svg")]
    const all = plotly.length ? plotly : [...chart().querySelectorAll("svg")]
    const widest = Math.max(...all.map((svg) => svg.getBoundingClientRect().width))
    return all.filter((svg) => svg.getBoundingClientRect().width >= widest - 1)  // icons of buttons are not the chart
  }

  // A picture that stands alone has none of the page's fonts, and in another one names are longer than their places.
  const letters = async () => {
    const family = (text) => text.split(",")[0].replace(/["']/g, "").trim()
    const texts = [...chart().querySelectorAll("svg text")]
    const wanted = new Set(texts.map((one) => family(getComputedStyle(one).fontFamily)))
    const rules = [...document.styleSheets].flatMap((sheet) => [...sheet.cssRules])
      .filter((rule) => rule instanceof CSSFontFaceRule && rule.style.getPropertyValue("font-style") !== "italic")
    const made = new Map()
    for (const rule of rules) {
      const name = family(rule.style.getPropertyValue("font-family"))
      const address = /url\(["']?([^"')]+)/.exec(rule.style.getPropertyValue("src"))?.[1]
      if (!wanted.has(name) || !address || made.has(name)) continue
      const file = await (await fetch(new URL(address, rule.parentStyleSheet.href ?? location.href))).blob()
      const data = await new Promise((done) => {
        const reader = new FileReader()
        reader.onload = () => done(reader.result)
        reader.readAsDataURL(file)
      })
      made.set(name, `@font-face{font-family:"${name}";font-weight:200 900;src:url(${data})}`)
    }
    return [...made.values()].join("")
  }

  const drawing = async () => {
    const found = layers()
    const { width, height } = found[0].getBoundingClientRect()
    const whole = document.createElementNS("http://www.w3.org/2000/svg", "svg")
    whole.setAttribute("xmlns", "http://www.w3.org/2000/svg")
    whole.setAttribute("width", Math.round(width))
    whole.setAttribute("height", Math.round(height))
    whole.setAttribute("viewBox", `0 0 ${width} ${height}`)
    const ground = document.createElementNS("http://www.w3.org/2000/svg", "rect")
    ground.setAttribute("width", "100%")
    ground.setAttribute("height", "100%")
    ground.setAttribute("fill", paper())
    whole.append(ground)
    const fonts = document.createElementNS("http://www.w3.org/2000/svg", "style")
    fonts.textContent = await letters().catch(() => "")  // then it is of the reader's own font
    whole.append(fonts)
    for (const layer of found) {
      const copy = layer.cloneNode(true)
      copy.style.background = "none"
      copy.style.position = "static"
      copy.querySelectorAll(".hoverlayer, .zoomlayer").forEach((part) => part.remove())
      whole.append(copy)
    }
    return { text: new XMLSerializer().serializeToString(whole), width, height }
  }

  const asSvg = async () => download(new Blob([(await drawing()).text], { type: "image/svg+xml" }), "svg")

  const asPng = async () => {
    const painted = data.svg ? null : chart().querySelector("canvas")
    const canvas = document.createElement("canvas")
    const paint = (source, width, height) => {
      canvas.width = Math.round(width * SCALE)
      canvas.height = Math.round(height * SCALE)
      const brush = canvas.getContext("2d")
      brush.fillStyle = paper()
      brush.fillRect(0, 0, canvas.width, canvas.height)
      brush.drawImage(source, 0, 0, canvas.width, canvas.height)
      canvas.toBlob((blob) => download(blob, "png"), "image/png")
    }
    if (painted) {
      const { width, height } = painted.getBoundingClientRect()
      paint(painted, width, height)
      return
    }
    const { text, width, height } = await drawing()
    const image = new Image()
    image.onload = () => paint(image, width, height)
    image.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(text)
  }

  find("png").onclick = asPng
  find("svg").onclick = asSvg
  find("svg").disabled = !data.svg
  find("svg").title = data.svg ? "" : "So many points are drawn as pixels; PNG has them"
  for (const format of ["png", "svg"]) {
    find(format).setAttribute("aria-label", `Save ${data.name} as ${format.toUpperCase()}`)
  }
}
