"use strict";
(() => {
  const slides = [...document.querySelectorAll(".slide")];
  const root = document.documentElement, body = document.body;
  const pick = document.getElementById("pick"), counter = document.getElementById("counter");
  const back = document.getElementById("back"), next = document.getElementById("next"), mode = document.getElementById("mode");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const data = new Map();
  let at = 0, printing = false;
  root.classList.add("js");

  const save = (plot, format) => {
    const size = plot.getBoundingClientRect();
    return Plotly.downloadImage(plot, {
      format, filename: plot.dataset.stem, width: Math.round(size.width), height: Math.round(size.height),
      scale: format === "png" ? 2 : 1,
    });
  };
  const arrow = { width: 24, height: 24, path: "M5 20h14v-2H5v2zM19 9h-4V3H9v6H5l7 7 7-7z" };
  const picture = { width: 24, height: 24, path: "M21 19V5a2 2 0 0 0-2-2H5a2 2 0 0 0-2 2v14a2 2 0 0 0 2 2h14a2 2 0 0 0 2-2zM8.5 13.5l2.5 3 3.5-4.5 4.5 6H5l3.5-4.5z" };
  const config = (zooms) => ({
    displaylogo: false, responsive: false, scrollZoom: zooms,
    modeBarButtons: [[
      { name: "png", title: "Download as PNG", icon: picture, click: (plot) => save(plot, "png") },
      { name: "svg", title: "Download as SVG", icon: arrow, click: (plot) => save(plot, "svg") },
    ], ...(zooms ? [["resetScale2d"]] : [])],
  });

  const height = (plot, asked) => {
    if (printing) return Math.min(asked, 560);
    if (!body.classList.contains("deck") || plot.dataset.grows !== "yes") return asked;
    const room = innerHeight - plot.getBoundingClientRect().top - scrollY - (innerWidth >= 1080 ? 124 : 240);
    return Math.max(Math.min(asked, 420), Math.min(room, 1400));
  };
  const draw = (plot) => {
    if (!plot.clientWidth) return;
    if (!data.has(plot)) data.set(plot, JSON.parse(document.getElementById(plot.dataset.source).textContent));
    const shown = data.get(plot)[dark.matches && !printing ? "dark" : "light"];
    const layout = { ...shown.layout, autosize: false, width: printing ? 980 : plot.clientWidth };
    layout.height = height(plot, shown.layout.height || 360);
    Plotly.react(plot, shown.data, layout, config(layout.dragmode === "pan"));
  };
  const drawAll = () => document.querySelectorAll(".plot").forEach(draw);

  const show = (index, keep) => {
    at = Math.min(Math.max(index, 0), slides.length - 1);
    slides.forEach((slide, i) => slide.classList.toggle("current", i === at));
    counter.textContent = `${at + 1} / ${slides.length}`;
    pick.selectedIndex = at;
    back.disabled = at === 0;
    next.disabled = at === slides.length - 1;
    if (!keep) history.replaceState(null, "", `#${at + 1}`);
    if (body.classList.contains("deck")) {
      scrollTo(0, 0);
      slides[at].querySelectorAll(".plot").forEach(draw);
    } else slides[at].scrollIntoView();
  };
  const deck = (wanted) => {
    body.classList.toggle("deck", wanted);
    mode.textContent = wanted ? "All on one page" : "Slides";
    drawAll();
    show(at);
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target === pick) return;
    const presses = event.target.closest && event.target.closest("button, a");
    const moves = {
      ArrowRight: at + 1, ArrowDown: at + 1, PageDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, PageUp: at - 1,
      Home: 0, End: slides.length - 1,
    };
    if (body.classList.contains("deck") && (event.key in moves || (event.key === " " && !presses))) {
      const tall = root.scrollHeight > innerHeight + 4 && ["ArrowDown", "ArrowUp", "PageDown", "PageUp", " "].includes(event.key);
      if (tall) return;
      event.preventDefault();
      show(event.key === " " ? at + 1 : moves[event.key]);
    } else if (event.key === "Escape" && !document.fullscreenElement) {
      deck(!body.classList.contains("deck"));
    } else if (event.key === "f") full();
  });
  const full = () => document.fullscreenElement ? document.exitFullscreen() : root.requestFullscreen().catch(() => {});
  back.onclick = () => show(at - 1);
  next.onclick = () => show(at + 1);
  mode.onclick = () => deck(!body.classList.contains("deck"));
  document.getElementById("full").onclick = full;
  pick.onchange = () => show(pick.selectedIndex);
  document.addEventListener("click", (event) => {
    const asked = event.target.closest("[data-save]");
    if (asked) save(document.getElementById(asked.dataset.plot), asked.dataset.save);
  });
  const from = () => (parseInt(location.hash.slice(1), 10) || 1) - 1;
  addEventListener("hashchange", () => show(from(), true));
  let waiting;
  addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(drawAll, 120); });
  dark.addEventListener("change", drawAll);
  addEventListener("beforeprint", () => { printing = true; drawAll(); });
  addEventListener("afterprint", () => { printing = false; drawAll(); });
  at = from();
  deck(true);
})();
