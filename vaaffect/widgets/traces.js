// Raters' traces to shift and to average: see traces_widget.py.

const [WIDE, HIGH, LEFT, LOWER] = [600, 250, 34, 24]; // of the chart, in the units of the SVG

function render({ model, el }) {
  prepare(model, el);
  const kernel = new Kernel(model);
  const alert = alertBox();
  const times = model.get("times");
  const raters = model.get("raters");
  const palette = model.get("palette");
  const [first, last] = [times[0], times[times.length - 1]];
  let shifts = Object.fromEntries(raters.map((name) => [name, 0]));
  let on = [...raters];

  const x = (time) => LEFT + (WIDE - LEFT) * (time - first) / (last - first);
  const y = (value) => (HIGH - LOWER) * (1 - value) / 2;
  const chart = svg("svg", { viewBox: `0 -6 ${WIDE} ${HIGH + 8}`, class: "va-chart va-traces" },
    svg("title", {}, `Traces of ${model.get("dimension")} over time, and their mean`));
  for (const value of [-1, -0.5, 0, 0.5, 1]) {
    chart.append(svg("path", { d: `M${LEFT} ${y(value)}H${WIDE}`, class: "va-axis" }),
      svg("text", { x: LEFT - 5, y: y(value) + 3, class: "va-tick va-left" },
        String(value).replace("-", "−")));
  }
  const every = [1, 2, 5, 10, 30, 60, 120, 300].find((step) => (last - first) / step <= 8) || 600;
  for (let time = Math.ceil(first / every) * every; time <= last; time += every) {
    chart.append(svg("text", { x: x(time), y: HIGH - 11, class: "va-tick" }, `${time}`));
  }
  chart.append(svg("text", { x: (LEFT + WIDE) / 2, y: HIGH, class: "va-tick" }, "time (seconds)"));
  const lines = raters.map((name, i) => svg("path", { class: "va-trace", stroke: palette[i] }));
  const mean = svg("path", { class: "va-trace va-mean" });
  chart.append(...lines, mean);

  const seconds = (_, value) => (value ? `${signed(value).replace(/0$/, "")} s` : "0 s");
  const control = (name) => ({ name: `shift-${name}`, label: `shift of rater ${name}`,
    low: -model.get("farthest"), high: model.get("farthest"), step: model.get("step") });
  const sliders = raters.map((name) => sliderRow(control(name), seconds, (_, value) => {
    shifts = { ...shifts, [name]: value };
    mixing.want();
  }));
  const boxes = raters.map((name) => {
    const box = element("input", { type: "checkbox", checked: true, className: `va-on-${name}` });
    box.addEventListener("change", () => {
      on = raters.filter((_, i) => boxes[i].checked);
      mixing.want();
    });
    return box;
  });
  const cells = raters.map(() => [element("td"), element("td")]);
  const total = [element("td"), element("td")];
  const head = ["rater", "moved in time (later: +)", "PCC", "CCC"];
  const table = element("table", { className: "va-raters" },
    element("tr", {}, ...head.map((text) => element("th", {}, text))),
    ...raters.map((name, i) => element("tr", {},
      element("th", {}, element("label", { style: `--va-own: ${palette[i]}` }, boxes[i], name)),
      element("td", {}, sliders[i].row), ...cells[i])),
    element("tr", { className: "va-total" }, element("th", {}, "mean"),
      element("td", {}, "of those switched on"), ...total));
  const reset = element("button", { type: "button" }, "Put all back");
  reset.addEventListener("click", () => {
    shifts = Object.fromEntries(raters.map((name) => [name, 0]));
    on = [...raters];
    show();
    mixing.want();
  });

  el.append(element("div", { className: "va-row" },
    element("div", { className: "va-column va-wide" }, chart,
      element("p", { className: "va-note" },
        `${model.get("dimension")}, ${model.get("data")}. Black: the mean, which is the label.`)),
    element("div", { className: "va-column va-wide" }, table, reset,
      element("p", { className: "va-note" },
        "Agreement of each with the mean of the others that are switched on."))), alert.box);

  /** A line through the values, with gaps where nobody rated. */
  function path(values) {
    let pen = "M";
    return values.map((value, i) => {
      const part = value === null ? "" : `${pen}${x(times[i]).toFixed(1)} ${y(value).toFixed(1)}`;
      pen = value === null ? "M" : "L";
      return part;
    }).join("");
  }

  const fill = (pair, values) => pair.forEach((cell, k) => {
    cell.textContent = values[k] === null ? "–" : signed(values[k]).replace("+", "");
  });

  function showMix(answer) {
    raters.forEach((name, i) => {
      lines[i].setAttribute("d", path(answer.lines[name]));
      lines[i].classList.toggle("va-off", !on.includes(name));
      fill(cells[i], answer.rows[name]);
    });
    mean.setAttribute("d", path(answer.mean));
    fill(total, answer.whole);
    el.dataset.mixed = JSON.stringify({ shifts, on, rows: answer.rows, whole: answer.whole });
  }

  function show() {
    raters.forEach((name, i) => {
      sliders[i].set(shifts[name]);
      boxes[i].checked = on.includes(name);
    });
  }

  const mixing = newest(() => kernel.ask("mix", { shifts, on }), showMix, alert);
  show();
  mixing.want();
  return () => {
    mixing.close();
    kernel.close();
  };
}

export default { render };
