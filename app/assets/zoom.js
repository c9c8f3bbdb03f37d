// Keeps what part of a graph is seen when something else of it changes, as at a click: Streamlit draws every new option
// as if it were the first.

// Streamlit gives the chart to nobody; it is kept by the React component around its element, as a state or behind a ref.
function chartOf(element) {
  const key = Object.keys(element).find((one) => one.startsWith("__reactFiber$"))
  for (let fiber = element[key]; fiber; fiber = fiber.return) {
    for (let hook = fiber.memoizedState; hook?.next !== undefined; hook = hook.next) {
      for (const value of [hook.memoizedState, hook.memoizedState?.current]) {
        if (typeof value?.setOption === "function" && !value.isDisposed()) return value
      }
    }
  }
}

// A dataZoom is named for the places of the tasks (plane.py): other places are seen whole.
const kept = (wanted = [], seen = []) => wanted.map((zoom) => {
  const before = seen.find((one) => one.id === zoom.id)
  if (!before || before.end - before.start >= 100) return zoom
  return { ...zoom, startValue: before.startValue, endValue: before.endValue }
})

function keep(chart) {
  if (chart.keepsZoom) return
  chart.keepsZoom = true
  const draw = chart.setOption.bind(chart)
  chart.setOption = (option, how) => draw({ ...option, dataZoom: kept(option.dataZoom, chart.getOption()?.dataZoom) }, how)
}

export default function ({ data, parentElement }) {
  // Before anybody zooms, the mouse or a finger is on the chart; it may have come, or come anew, after this ran.
  parentElement.forgetCharts?.()
  const reached = ({ target }) => {
    const element = target.closest?.(`.st-key-${data.chart} [data-testid="stEChartsChart"]`)
    const chart = element && chartOf(element)
    if (chart) keep(chart)
  }
  const events = ["wheel", "pointerdown"]
  for (const event of events) document.addEventListener(event, reached, { capture: true, passive: true })
  parentElement.forgetCharts = () => {
    for (const event of events) document.removeEventListener(event, reached, { capture: true })
  }
  return parentElement.forgetCharts
}
