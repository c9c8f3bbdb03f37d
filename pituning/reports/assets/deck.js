"use strict";
(() => {
  const root = document.documentElement, body = document.body, main = document.querySelector("main");
  const studio = root.dataset.host === "studio";
  const find = (id) => document.getElementById(id);
  const [back, next, pick, counter, mode, speaker, close] =
    ["back", "next", "pick", "counter", "mode", "speaker", "close"].map(find);
  const nightly = matchMedia("(prefers-color-scheme: dark)"), narrow = matchMedia("(max-width: 700px)");
  const USUAL = 12, LEAST = 10;  // pixels of the smallest letters in a figure, before it is scaled
  const figures = new Map();
  let slides = [], at = 0, step = 0, printing = false, hostDark = null, notesWindow = null, chosenMode = null;
  root.classList.add("js");

  // Figures: drawn at the size at which their smallest letters are as large as the slide's style says.
  const dark = () => !printing && (hostDark ?? nightly.matches);
  const shade = () => { root.dataset.theme = dark() ? "dark" : "light"; };
  const stepsOf = (slide) => Math.max(Number(slide?.dataset.steps ?? 0), 1);
  const smallest = ({ data, layout }) => {
    const sizes = [USUAL, layout.font?.size, layout.legend?.font?.size, layout.xaxis?.tickfont?.size, layout.yaxis?.tickfont?.size];
    for (const trace of data) if (trace.mode?.includes("text") || trace.type === "bar") sizes.push(trace.textfont?.size);
    for (const words of layout.annotations ?? []) if (words.text) sizes.push(words.font?.size);
    return Math.max(LEAST, Math.min(...sizes.flat().filter((size) => size > 0)));
  };
  const draw = (plot) => {
    const room = plot.parentElement;
    if (!room.clientWidth || !room.clientHeight) return;
    if (!figures.has(plot)) figures.set(plot, JSON.parse(find(plot.dataset.source).textContent));
    const every = figures.get(plot)[dark() ? "dark" : "light"];
    const slide = plot.closest(".slide");
    const shown = every[slide === slides[at] && body.classList.contains("deck") && !printing ? Math.min(step, every.length - 1) : every.length - 1];
    const scale = parseFloat(getComputedStyle(plot).fontSize) / smallest(shown);
    const layout = { ...shown.layout, autosize: false, width: Math.floor(room.clientWidth / scale), height: Math.floor(room.clientHeight / scale) };
    plot.style.transform = `scale(${scale})`;
    Plotly.react(plot, shown.data, layout, { displayModeBar: false, responsive: false, scrollZoom: false });
  };
  const drawAll = () => {
    shade();
    for (const slide of slides) {
      if (printing || body.classList.contains("page") || slide === slides[at]) slide.querySelectorAll(".plot").forEach(draw);
    }
  };
  const save = (plot, format) => Plotly.downloadImage(plot, {
    format, filename: plot.dataset.stem, width: plot._fullLayout.width, height: plot._fullLayout.height,
    scale: format === "png" ? 3 : 1,
  });

  // Turning: first through the steps of a slide, then to the next one.
  const tell = (kind, more) => { if (studio) parent.postMessage({ deck: kind, ...more }, "*"); };
  const heading = (slide) => slide?.querySelector(".headline")?.textContent ?? "";
  const show = (index, wanted = 0, quietly = false) => {
    if (!slides.length) return;
    at = Math.min(Math.max(index, 0), slides.length - 1);
    const slide = slides[at], count = stepsOf(slide);
    step = studio && root.dataset.view === "preview" ? count - 1 : Math.min(Math.max(wanted < 0 ? count + wanted : wanted, 0), count - 1);
    slides.forEach((one, i) => {
      one.classList.toggle("current", i === at);
      const last = stepsOf(one) - 1, now = i === at && body.classList.contains("deck") && !printing ? step : last;
      one.querySelectorAll(".sentence").forEach((each) => { each.hidden = Number(each.dataset.step) !== now; });
      one.querySelectorAll(".steps li").forEach((each, place) => each.classList.toggle("now", place === now));
      if (i !== at && body.classList.contains("deck")) one.querySelectorAll("details").forEach((each) => { each.open = false; });
    });
    counter.textContent = `${at + 1} / ${slides.length}`;
    pick.selectedIndex = at;
    back.disabled = at === 0 && step === 0;
    next.disabled = at === slides.length - 1 && step === count - 1;
    if (!studio && !quietly) history.replaceState(null, "", `#${at + 1}${step ? `.${step + 1}` : ""}`);
    if (body.classList.contains("deck")) slide.querySelectorAll(".plot").forEach(draw);
    else if (!quietly) slide.scrollIntoView();
    tell("at", { slide: at });
    fillNotes();
  };
  const forward = () => {
    if (body.classList.contains("deck") && step < stepsOf(slides[at]) - 1) show(at, step + 1);
    else if (at < slides.length - 1) show(at + 1);
  };
  const backward = () => {
    if (body.classList.contains("deck") && step > 0) show(at, step - 1);
    else if (at > 0) show(at - 1, -1);
  };
  const arrange = (wanted) => {
    body.classList.toggle("deck", wanted === "deck");
    body.classList.toggle("page", wanted === "page");
    mode.textContent = wanted === "deck" ? "One page" : "Slides";
    drawAll();
    show(at, step, wanted === "page" && at === 0);
  };
  const usual = () => (narrow.matches && root.dataset.view !== "preview" ? "page" : "deck");
  const switchMode = () => { chosenMode = body.classList.contains("deck") ? "page" : "deck"; arrange(chosenMode); };
  const shut = (sheet) => {
    sheet.open = false;
    if (sheet.contains(document.activeElement)) document.activeElement.blur();  // keys turn slides again, at once
  };
  const details = () => {
    const sheet = slides[at]?.querySelector("details");
    if (sheet?.open) shut(sheet);
    else if (sheet) sheet.open = true;
  };
  const full = () => document.fullscreenElement ? document.exitFullscreen() : root.requestFullscreen().catch(() => {});
  const leave = () => {
    if (document.fullscreenElement) document.exitFullscreen();
    notesWindow?.close();
    tell("close", { slide: at });
  };

  // Speaker notes in a window of their own.
  const clock = (since) => {
    const seconds = Math.floor((Date.now() - since) / 1000);
    return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  };
  const NOTES_STYLE = `
    :root { color-scheme: light dark; } body { font: 20px/1.5 system-ui, sans-serif; margin: 0; padding: 1.4rem 1.8rem; display: grid; gap: .8rem; }
    header { display: flex; gap: 1rem; align-items: baseline; justify-content: space-between; border-bottom: 1px solid #8886; padding-bottom: .6rem; }
    h1 { font-size: 1.25rem; margin: 0; } time { font-variant-numeric: tabular-nums; font-size: 1.4rem; } #notes { font-size: 1.35rem; min-height: 40vh; }
    footer { border-top: 1px solid #8886; padding-top: .6rem; } button { font: inherit; font-size: 1rem; padding: .3rem 1rem; margin-right: .5rem; }`;
  const openNotes = () => {
    if (notesWindow && !notesWindow.closed) { notesWindow.focus(); return; }
    notesWindow = window.open("", "", "popup,width=920,height=680");
    if (!notesWindow) return;
    const page = notesWindow.document, make = (name, id) => Object.assign(page.createElement(name), { id });
    page.title = "Speaker notes";
    page.documentElement.lang = "en";
    page.head.append(Object.assign(page.createElement("style"), { textContent: NOTES_STYLE }));
    const header = make("header", ""), footer = make("footer", ""), buttons = make("p", "");
    header.append(make("h1", "now"), make("time", "clock"));
    for (const [words, act] of [["← Back", backward], ["Next →", forward]]) {
      buttons.append(Object.assign(page.createElement("button"), { textContent: words, type: "button", onclick: act }));
    }
    footer.append(buttons, make("p", "then"));
    page.body.append(header, make("main", "notes"), footer);
    page.addEventListener("keydown", keys);
    const since = Date.now(), tick = () => {
      if (!notesWindow || notesWindow.closed) { clearInterval(timer); return; }
      page.getElementById("clock").textContent = clock(since);
    };
    const timer = setInterval(tick, 1000);
    tick();
    fillNotes();
  };
  function fillNotes() {
    if (!notesWindow || notesWindow.closed) return;
    const page = notesWindow.document, slide = slides[at], count = stepsOf(slide);
    page.getElementById("now").textContent = `${at + 1} / ${slides.length}${count > 1 ? `, step ${step + 1} of ${count}` : ""} · ${heading(slide)}`;
    const notes = slide.querySelector("template.notes");
    page.getElementById("notes").replaceChildren(notes ? page.importNode(notes.content, true) : "No notes for this slide.");
    page.getElementById("then").textContent = at < slides.length - 1 ? `Then: ${heading(slides[at + 1])}` : "This is the last slide.";
  }

  function keys(event) {
    const target = event.target;
    if (event.ctrlKey || event.metaKey || event.altKey || target === pick || root.dataset.view === "preview") return;
    const presses = target.closest?.("button, a, summary"), reading = target.closest?.(".sheet, .table");
    const acts = {
      ArrowRight: forward, PageDown: forward, ArrowLeft: backward, PageUp: backward, Home: () => show(0),
      End: () => show(slides.length - 1), f: full, n: openNotes, d: details,
      Escape: () => {
        const open = slides[at]?.querySelector("details[open]");
        if (open && body.classList.contains("deck")) shut(open);
        else if (document.fullscreenElement) return;
        else if (studio) leave();
        else switchMode();
      },
    };
    if (body.classList.contains("deck")) Object.assign(acts, { ArrowDown: forward, ArrowUp: backward }, presses ? {} : { " ": forward });
    if (!(event.key in acts) || (reading && !["Escape", "d"].includes(event.key))) return;
    if (body.classList.contains("page") && !["ArrowRight", "ArrowLeft", "Escape", "f", "n"].includes(event.key)) return;
    event.preventDefault();
    acts[event.key]();
  }
  document.addEventListener("keydown", keys);
  back.onclick = backward;
  next.onclick = forward;
  mode.onclick = switchMode;
  speaker.onclick = openNotes;
  close.onclick = leave;
  close.hidden = !studio;
  mode.hidden = studio;
  find("details").onclick = details;
  find("full").onclick = full;
  find("print").onclick = () => window.print();
  pick.onchange = () => show(pick.selectedIndex);
  document.addEventListener("click", (event) => {
    const asked = event.target.closest("[data-save]");
    if (asked) save(find(asked.dataset.plot), asked.dataset.save);
  });

  // The bar leaves after a while.
  let resting;
  const wake = () => {
    body.classList.remove("quiet");
    clearTimeout(resting);
    resting = setTimeout(() => body.classList.add("quiet"), 2500);
  };
  ["pointermove", "pointerdown", "focusin"].forEach((kind) => document.addEventListener(kind, wake));

  let waiting;
  addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(drawAll, 120); });
  nightly.addEventListener("change", drawAll);
  narrow.addEventListener("change", () => { if (!chosenMode) arrange(usual()); });
  const onPaper = (now) => {
    printing = now;
    body.classList.toggle("printing", now);
    drawAll();
    show(at, step, true);
  };
  addEventListener("beforeprint", () => onPaper(true));
  addEventListener("afterprint", () => onPaper(false));

  const collect = () => {
    slides = [...main.querySelectorAll(".slide")];
    figures.clear();
    pick.replaceChildren(...slides.map((slide, i) => Object.assign(document.createElement("option"), { textContent: `${i + 1}. ${heading(slide)}` })));
    speaker.hidden = !studio && !main.querySelector("template.notes");
  };
  const place = () => (location.hash.slice(1) || "1").split(".").map((one) => (parseInt(one, 10) || 1) - 1);
  if (studio) {
    // The Studio sends the slides, which it has made and escaped, and says which one it is about.
    addEventListener("message", ({ source, data }) => {
      if (source !== parent) return;
      if (data?.deck === "key") keys({ key: data.key, target: body, preventDefault() {} });
      if (data?.deck !== "show") return;
      const turned = data.view !== root.dataset.view;
      hostDark = data.dark;
      root.dataset.view = data.view;
      if (data.html !== undefined) {
        main.innerHTML = data.html;
        collect();
      }
      if (turned || data.view === "preview") at = Math.min(data.slide, Math.max(slides.length - 1, 0));
      if (turned) step = 0;
      if (turned || data.html !== undefined) arrange(usual());
      else drawAll();
      show(at, step, true);
      if (turned && data.view === "show") { wake(); window.focus(); }
    });
    tell("ready");
  } else {
    addEventListener("hashchange", () => show(...place(), true));
    collect();
    [at, step = 0] = place();
    wake();
    arrange(usual());
  }
})();
