// The surface to walk down: see descent_widget.py.

const SIDE = 200; // of the surface, in the units of the SVG
const MARGIN = { left: 34, right: 8, top: 8, bottom: 30 };

function controlText(control, value) {
  if (control.name !== "lr") return `${value}`;
  return (10 ** value).toPrecision(2); // its slider is the decimal logarithm
}

/** A square in an SVG with ticks on two axes; x and y map values to the SVG's units. */
function axes(xs, ys, words, kind) {
  const root = svg("svg", {
    class: `va-chart ${kind}`,
    viewBox: `${-MARGIN.left} ${-MARGIN.top} ${MARGIN.left + SIDE + MARGIN.right} ` +
      `${MARGIN.top + ys.height + MARGIN.bottom}`,
  });
  const inside = svg("svg", { width: SIDE, height: ys.height, viewBox: `0 0 ${SIDE} ${ys.height}` });
  root.append(inside, svg("rect", { width: SIDE, height: ys.height, class: "va-frame" }));
  for (const [value, text] of xs.ticks) {
    root.append(svg("text", { x: xs.at(value), y: ys.height + 11, class: "va-tick" }, text));
  }
  for (const [value, text] of ys.ticks) {
    root.append(svg("text", { x: -4, y: ys.at(value) + 3, class: "va-tick va-left" }, text));
  }
  root.append(
    svg("text", { x: SIDE / 2, y: ys.height + 24, class: "va-tick" }, words[0]),
    svg("text", { transform: `translate(-26 ${ys.height / 2}) rotate(-90)`, class: "va-tick" },
      words[1]),
  );
  return { root, inside };
}

/** Whole numbers, or halves and so on, in a range: five at most. */
function ticks(low, high) {
  const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50].find((s) => (high - low) / s <= 5) || high - low;
  const first = Math.ceil(low / step - 1e-9);
  const count = Math.floor(high / step + 1e-9) - first + 1;
  const digits = step < 1 ? 1 : 0;
  return Array.from({ length: count }, (_, i) => (first + i) * step)
    .map((value) => [value, value.toFixed(digits).replace("-", "−")]);
}

function render({ model, el }) {
  prepare(model, el);
  const kernel = new Kernel(model);
  const alert = alertBox();
  const controls = model.get("controls");
  const forms = model.get("forms");
  const [left, right, bottom, top] = model.get("window");
  const names = model.get("names");

  // What is wanted, which the hand may change at any time.
  let start = [...model.get("start")];
  let settings = Object.fromEntries(controls.map((control) => [control.name, control.value]));
  let form = forms[0];
  let range = null; // lowest and highest cost of the surface
  let url = "";
  const walks = newest(() => kernel.ask("descend", { start, settings, form }), showWalk, alert);
  const want = () => range && walks.want();

  const across = (w) => (SIDE * (w - left)) / (right - left);
  const down = (w) => (SIDE * (top - w)) / (top - bottom);
  const surface = axes(
    { at: across, ticks: ticks(left, right) },
    { at: down, ticks: ticks(bottom, top), height: SIDE },
    names.map((name) => `weight ${name}`), "va-surface",
  );
  const picture = svg("image", { width: SIDE, height: SIDE, preserveAspectRatio: "none" });
  const path = svg("path", { class: "va-walk" });
  const dots = svg("g", { class: "va-steps" });
  const mark = dragMark({ "aria-label": "start of the walk" });
  surface.inside.append(picture, path, dots, mark);

  const HEIGHT = 110; // of the cost's chart
  const chart = element("div", {});
  const sliders = controls.map((control) => sliderRow(control, controlText, (key, value) => {
    settings = { ...settings, [key]: value };
    want();
  }));
  const choice = element("select", { className: "va-form" },
    ...forms.map((name) => element("option", { value: name }, name)));
  choice.addEventListener("change", () => {
    form = choice.value;
    want();
  });
  const reset = element("button", { type: "button" }, "Reset");
  const said = element("p", { className: "va-said", role: "status" });

  el.append(element("div", { className: "va-row" },
    element("div", { className: "va-column va-map" }, surface.root,
      element("p", { className: "va-note" }, "Drag the start, or use the arrow keys.")),
    element("div", { className: "va-column va-side" },
      element("div", { className: "va-sliders" }, ...sliders.map((slider) => slider.row),
        element("label", {}, element("span", {}, "Form"), choice)),
      said, chart, reset)), alert.box);

  function showStart() {
    mark.setAttribute("transform", `translate(${across(start[0])} ${down(start[1])})`);
    const text = names.map((name, i) => `${name} ${signed(start[i])}`).join(", ");
    mark.setAttribute("aria-valuenow", start[0].toFixed(2));
    mark.setAttribute("aria-valuetext", text);
  }

  function showWalk(answer) {
    const places = answer.path.map(([x, y]) => [across(x), down(y)]);
    path.setAttribute("d", `M${places.map((place) => place.join(" ")).join("L")}`);
    dots.replaceChildren(...places.slice(1).map(([cx, cy]) => svg("circle", { cx, cy, r: 1.6 })));
    const [first, last] = [answer.costs[0], answer.costs.at(-1)]
      .map((cost) => (cost < 1000 ? cost.toPrecision(3) : "more than 1000"));
    const end = answer.diverges ? "It diverges" : "The cost falls";
    said.textContent = `${end}: ${first} at the start, ${last} after ${places.length - 1} steps.`;
    said.classList.toggle("va-bad", answer.diverges);
    showCosts(answer.costs);
    el.dataset.walk = JSON.stringify({
      start: answer.path[0], end: answer.path.at(-1), steps: places.length - 1,
      cost: answer.costs.at(-1), diverges: answer.diverges,
      momentum: answer.momentum, form: answer.form,
    });
  }

  /** The cost at each step, on a logarithmic axis that stays the same whatever is moved. */
  function showCosts(costs) {
    const low = Math.log10(Math.max(range[0], range[1] * 1e-4)) - 0.1;
    const high = Math.log10(range[1]) + 0.3;
    const steps = Math.max(settings.steps, 2);
    const at = (cost) => (HEIGHT * (high - Math.log10(Math.max(cost, 1e-12)))) / (high - low);
    const powers = Array.from({ length: 12 }, (_, i) => i - 6).filter((p) => p > low && p < high);
    const made = axes(
      { at: (step) => (SIDE * step) / steps, ticks: ticks(0, steps) },
      { at, ticks: powers.map((p) => [10 ** p, `${10 ** p}`]), height: HEIGHT },
      ["step", "cost"], "va-costs",
    );
    const points = costs.map((cost, step) => `${(SIDE * step) / steps} ${at(cost)}`);
    made.inside.append(svg("path", { d: `M${points.join("L")}`, class: "va-walk" }));
    chart.replaceChildren(made.root);
  }

  function move(x, y) {
    start = [Math.min(Math.max(x, left), right), Math.min(Math.max(y, bottom), top)];
    showStart();
    want();
  }
  draggable(surface.root, mark, {
    to: (x, y) => move(left + ((right - left) * x) / SIDE, top - ((top - bottom) * y) / SIDE),
    by: (dx, dy) => move(start[0] + (dx * (right - left)) / 50, start[1] + (dy * (top - bottom)) / 50),
    home: () => move(...model.get("start")),
  });
  reset.addEventListener("click", () => {
    settings = Object.fromEntries(controls.map((control) => [control.name, control.value]));
    [form, choice.value] = [forms[0], forms[0]];
    showSliders();
    move(...model.get("start"));
  });
  function showSliders() {
    controls.forEach((control, i) => sliders[i].set(settings[control.name]));
  }

  async function begin() {
    try {
      const answer = await kernel.ask("surface");
      range = [answer.low, answer.high];
      url = URL.createObjectURL(new Blob([answer.buffers[0]], { type: "image/jpeg" }));
      picture.setAttribute("href", url);
      want();
    } catch (error) {
      alert.say(error.message, error.details);
    }
  }
  showSliders();
  showStart();
  begin();
  return () => {
    walks.close();
    kernel.close();
    URL.revokeObjectURL(url);
  };
}

export default { render };
