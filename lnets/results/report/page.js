"use strict";
// Draws the figures in the page's colours, keeps the filter, and lists trials.
(() => {
  const {sweep, paths, metrics, configurations, trials, figures, reload} = JSON.parse(document.getElementById("data").textContent);
  const [LABEL, VALUES] = [0, 1];
  const [KEY, OF, SEED, STATUS, MEASURED] = [0, 1, 2, 3, 4];
  const FIRST_ROWS = 100, MOST_CHOICES = 30, PRINTED_WIDTH = 660, HEIGHT = 380, NARROW = 480, ENTRY = 26, FEW_ENTRIES = 4;
  const SETTINGS = {
    responsive: true, displaylogo: false, displayModeBar: "hover",
    modeBarButtons: [["toImage", "resetScale2d"]],
  };
  const root = document.documentElement;
  const form = document.getElementById("filter");
  const plots = [...document.querySelectorAll(".plot")];
  const ofConfiguration = configurations.map(() => []);
  trials.forEach((trial) => ofConfiguration[trial[OF]].push(trial));

  for (const plot of plots) plot.style.minHeight = `${figures[plot.dataset.figure].layout.height ?? HEIGHT}px`;

  // The filter: a value for some paths, and a configuration; it outlives reloading the page.
  let filter = {values: {}, configuration: null};
  let shown = configurations.map(() => true);
  let rows = FIRST_ROWS;
  try {
    filter = JSON.parse(sessionStorage.getItem(`lnets ${sweep}`)) ?? filter;
  } catch { /* a browser that keeps nothing */ }
  if (filter.configuration >= configurations.length) filter.configuration = null;
  for (const path of Object.keys(filter.values)) if (!paths.includes(path)) delete filter.values[path];

  const escaped = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const hoverOfConfiguration = configurations.map(([label], i) => {
    const keys = ofConfiguration[i].map((trial) => trial[KEY].slice(0, 12));
    const more = keys.length > 4 ? ` and ${keys.length - 4} more` : "";
    return `${escaped(label)}<br>trials ${keys.slice(0, 4).join(", ")}${more}`;
  });
  const hoverOfTrial = (i) =>
    `trial ${trials[i][KEY].slice(0, 12)}, seed ${trials[i][SEED]}<br>${escaped(configurations[trials[i][OF]][LABEL])}`;

  const theme = () => {
    const style = getComputedStyle(root);
    return (name) => style.getPropertyValue(`--${name}`).trim();
  };
  const faded = (color, alpha) => color + Math.round(alpha * 255).toString(16).padStart(2, "0");

  function traceOf(trace, color) {
    const meta = trace.meta ?? {};
    const own = color(meta.color !== undefined ? `c${meta.color}` : meta.shade !== undefined ? `s${meta.shade}` : "ink");
    const made = {...trace, line: {...trace.line, color: own}, marker: {...trace.marker, color: own}};
    if (meta.band) made.fillcolor = faded(own, 0.18);
    if (trace.error_x) made.error_x = {...trace.error_x, color: own};
    if (trace.error_y) made.error_y = {...trace.error_y, color: own};
    if (meta.configuration !== undefined) {
      made.visible = shown[meta.configuration];
      made.customdata = trace.x.map(() => hoverOfConfiguration[meta.configuration]);
      return made;
    }
    const of = meta.configurations ?? meta.trials?.map((i) => trials[i][OF]);
    if (!of) return made;
    const keep = of.flatMap((configuration, i) => shown[configuration] ? [i] : []);
    const pick = (values) => keep.map((i) => values[i]);
    for (const name of ["x", "y", "text"]) if (trace[name]) made[name] = pick(trace[name]);
    for (const name of ["error_x", "error_y"]) if (trace[name]) made[name].array = pick(trace[name].array);
    made.customdata = keep.map((i) => meta.trials ? hoverOfTrial(meta.trials[i]) : hoverOfConfiguration[of[i]]);
    made.meta = {configurations: pick(of)};
    return made;
  }

  // Configurations often differ at the end of their names.
  const cut = (text, most) => text.length > most ? `${text.slice(0, Math.ceil(most / 2) - 1)}…${text.slice(-Math.floor(most / 2))}` : text;

  function layoutOf(layout, color, narrow, entries) {
    const axis = (given) => ({gridcolor: color("grid"), zerolinecolor: color("line"), linecolor: color("line"), ...given});
    const ground = faded(color("raised"), 0.8);  // lines run behind the notes
    const annotations = layout.annotations?.map((note) => ({...note, bgcolor: ground, text: narrow ? cut(note.text, 8) : note.text}));
    layout = {...layout, annotations};
    if (narrow) {
      const {xaxis, yaxis} = layout;
      const ticktext = yaxis.ticktext?.map((text) => cut(text, 22));
      const title = xaxis.title && {text: xaxis.title.text.replace(" (", "<br>(")};
      const tickangle = xaxis.tickangle === 0 ? -60 : xaxis.tickangle;  // names of axes that stand side by side
      layout = {...layout, xaxis: {...xaxis, title, tickangle}, yaxis: {...yaxis, ...(ticktext && {ticktext})}};
    }
    return {
      height: HEIGHT + entries * ENTRY, margin: {l: 56, r: 24, t: 28, b: 48}, hovermode: "closest", uirevision: "kept",
      legend: {orientation: "h", yref: "container", y: 0, yanchor: "bottom", x: 0}, ...layout,
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: {color: color("ink"), size: 12, family: getComputedStyle(document.body).fontFamily},
      hoverlabel: {bgcolor: color("ground"), bordercolor: color("line"), font: {color: color("ink")}, align: "left", namelength: -1},
      modebar: {bgcolor: "rgba(0,0,0,0)", color: color("quiet"), activecolor: color("ink")},
      xaxis: axis(layout.xaxis), yaxis: axis(layout.yaxis),
    };
  }

  function draw(plot) {
    const {traces, layout} = figures[plot.dataset.figure];
    const color = theme();
    const printing = "printing" in root.dataset;
    const size = printing ? {width: PRINTED_WIDTH, autosize: false} : {autosize: true};
    const narrow = plot.clientWidth < NARROW;
    // Where names of lines stand below each other, they need height.
    const names = traces.filter((trace) => trace.name && trace.showlegend !== false).length;
    const entries = narrow || printing ? Math.max(0, names - FEW_ENTRIES) : 0;
    const first = !plot.classList.contains("js-plotly-plot");
    const made = {...layoutOf(layout, color, narrow, entries), ...size};
    Plotly.react(plot, traces.map((trace) => traceOf(trace, color)), made, SETTINGS);
    // Names of buttons and figures say more than their icons.
    for (const icon of document.querySelectorAll("#js-plotly-tester, .modebar svg")) icon.ariaHidden = "true";
    if (first) plot.on("plotly_click", ({points: [point]}) => {
      const {configuration, configurations: many} = point.data.meta ?? {};
      const clicked = configuration ?? many?.[point.pointNumber];
      if (clicked !== undefined) choose({...filter, configuration: filter.configuration === clicked ? null : clicked});
    });
  }

  // One figure at a time, so that the page answers meanwhile; first those that are seen.
  const away = (plot) => {
    const {top, bottom} = plot.getBoundingClientRect();
    return Math.max(0, top - innerHeight, -bottom);
  };
  let waiting = [];
  let drawing = false;
  function drawNext() {
    const plot = waiting.shift();
    drawing = plot !== undefined;
    if (!drawing) { root.dataset.ready = "true"; return; }
    draw(plot);
    setTimeout(drawNext);
  }
  function drawAll() {
    delete root.dataset.ready;
    const distances = new Map(plots.map((plot) => [plot, away(plot)]));
    waiting = [...plots].sort((a, b) => distances.get(a) - distances.get(b));
    if (!drawing) drawNext();
  }

  const element = (name, properties, ...children) => {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  };
  const number = (value) => value === null ? "–" : String(Number(value.toPrecision(5)));

  function listTrials() {
    const found = trials.filter((trial) => shown[trial[OF]]);
    const heads = ["trial", "seed", "status", ...paths, ...metrics];
    const body = found.slice(0, rows).map((trial) => {
      const key = element("button", {type: "button", title: `${trial[KEY]}: filter by its configuration`}, trial[KEY].slice(0, 12));
      key.addEventListener("click", () => choose({...filter, configuration: trial[OF]}));
      const cells = [trial[SEED], trial[STATUS], ...configurations[trial[OF]][VALUES], ...trial[MEASURED].map(number)];
      return element("tr", {}, element("th", {scope: "row"}, key), ...cells.map((cell) => element("td", {}, String(cell))));
    });
    document.getElementById("trial-list").replaceChildren(
      element("thead", {}, element("tr", {}, ...heads.map((head) => element("th", {scope: "col"}, head)))),
      element("tbody", {}, ...body));
    const more = document.getElementById("more");
    more.hidden = found.length <= rows;
    more.textContent = `Show all ${found.length.toLocaleString("en")} trials`;
    const number_ = (count) => count.toLocaleString("en");
    form.querySelector("output").textContent = found.length < trials.length
      ? `${number_(found.length)} of ${number_(trials.length)} trials` + (filter.configuration === null ? "" : `: ${configurations[filter.configuration][LABEL]}`)
      : `${number_(trials.length)} trials; click a point or line to see its configuration alone`;
  }

  function applyFilter() {
    const chosen = Object.entries(filter.values);
    shown = configurations.map(([, values], i) =>
      (filter.configuration === null || filter.configuration === i) && chosen.every(([path, value]) => values[paths.indexOf(path)] === value));
    for (const select of form.querySelectorAll("select")) select.value = filter.values[select.name] ?? "";
    document.getElementById("clear").hidden = shown.every(Boolean);
    listTrials();
    drawAll();
  }

  function choose(changed) {
    filter = changed;
    rows = FIRST_ROWS;
    try {
      sessionStorage.setItem(`lnets ${sweep}`, JSON.stringify(filter));
    } catch { /* a browser that keeps nothing */ }
    applyFilter();
  }

  paths.forEach((path, i) => {
    const choices = [...new Set(configurations.map(([, values]) => values[i]))].sort();
    if (choices.length < 2 || choices.length > MOST_CHOICES) return;
    const select = element("select", {name: path}, element("option", {value: ""}, "all"),
      ...choices.map((choice) => element("option", {value: choice}, choice)));
    select.addEventListener("change", () => {
      const {[path]: _, ...others} = filter.values;
      choose({configuration: null, values: select.value ? {...others, [path]: select.value} : others});
    });
    form.querySelector(".fields").append(element("label", {}, `${path} `, select));
  });
  form.hidden = trials.length === 0;
  form.addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("clear").addEventListener("click", () => choose({values: {}, configuration: null}));
  document.getElementById("more").addEventListener("click", () => { rows = Infinity; listTrials(); });

  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  addEventListener("beforeprint", () => { root.dataset.printing = ""; plots.forEach(draw); });
  addEventListener("afterprint", () => { delete root.dataset.printing; plots.forEach(draw); });

  if (reload) {
    const pause = document.getElementById("pause");
    const timer = setTimeout(() => location.reload(), reload * 1000);
    pause.hidden = false;
    pause.addEventListener("click", () => { clearTimeout(timer); pause.hidden = true; });
  }
  applyFilter();
})();
