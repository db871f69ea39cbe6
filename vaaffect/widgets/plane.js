// The plane to drag a point through: see plane_widget.py.

function sliderText(control, value) {
  if (control.name === "person") return `${value}`;
  if (control.name === "light_side") {
    return Math.abs(value) < 0.025 ? "front" : value < 0 ? "left" : "right";
  }
  return `${String(value).replace("-", "−")}${control.unit}`;
}

function render({ model, el }) {
  prepare(model, el);
  const kernel = new Kernel(model);
  const alert = alertBox();
  const controls = model.get("controls");
  const name = model.get("name");

  // What is wanted, which the hand may change at any time.
  let va = [...model.get("start")];
  let settings = Object.fromEntries(controls.map((control) => [control.name, control.value]));
  let url = "";
  const faces = newest(() => kernel.ask("draw", { va, settings }), showFace, alert);

  const plane = circumplex(model.get("emotions"));
  const link = svg("path", { class: "va-link" });
  const mark = predictionMark();
  const point = dragMark({
    "aria-label": "point in the plane", "aria-valuemin": -1, "aria-valuemax": 1,
  });
  plane.root.append(link, mark, point);

  const picture = element("img", { className: "va-face", alt: "", width: 360, height: 360 });
  const rows = [["drawn at", "va-drawn"], ...(name ? [[`${name} predicts`, "va-predicted"]] : [])];
  const table = element("table", { className: "va-numbers" },
    element("tr", {}, element("td"), element("th", { className: "va-v" }, "valence"),
      element("th", { className: "va-a" }, "arousal")),
    ...rows.map(([text, kind]) => element("tr", { className: kind }, element("th", {}, text),
      element("td", { className: "va-v" }), element("td", { className: "va-a" }))));
  const speed = element("p", { className: "va-speed" });
  const sliders = controls.map((control) => sliderRow(control, sliderText, (key, value) => {
    settings = { ...settings, [key]: value };
    want();
  }));
  const reset = element("button", { type: "button" }, "Reset the sliders");
  reset.addEventListener("click", () => {
    settings = Object.fromEntries(controls.map((control) => [control.name, control.value]));
    showSliders();
    want();
  });

  el.append(element("div", { className: "va-row" },
    element("div", { className: "va-column" }, picture,
      element("p", { className: "va-note" }, "A simulated face.")),
    element("div", { className: "va-column" }, plane.root,
      element("p", { className: "va-note" }, "Drag the point, or use the arrow keys.")),
    element("div", { className: "va-column va-side" }, table,
      element("div", { className: "va-sliders" }, ...sliders.map((slider) => slider.row)),
      reset, speed)), alert.box);

  function numbers(kind, values) {
    const cells = table.querySelectorAll(`.${kind} td`);
    cells.forEach((cell, i) => { cell.textContent = values ? signed(values[i]) : "–"; });
  }

  function showPoint() {
    plane.put(point, va);
    numbers("va-drawn", va);
    const text = `valence ${signed(va[0])}, arousal ${signed(va[1])}`;
    point.setAttribute("aria-valuenow", va[0].toFixed(2));
    point.setAttribute("aria-valuetext", text);
  }

  function showSliders() {
    controls.forEach((control, i) => sliders[i].set(settings[control.name]));
  }

  function showPrediction(at, predicted) {
    mark.setAttribute("visibility", predicted ? "visible" : "hidden");
    link.setAttribute("visibility", predicted ? "visible" : "hidden");
    if (name) numbers("va-predicted", predicted);
    if (!predicted) return;
    plane.put(mark, predicted);
    const ends = [at, predicted].map(([v, a]) => `${v * RADIUS} ${-a * RADIUS}`);
    link.setAttribute("d", `M${ends.join("L")}`);
  }

  function showFace(answer, milliseconds) {
    URL.revokeObjectURL(url);
    url = URL.createObjectURL(new Blob([answer.buffers[0]], { type: "image/jpeg" }));
    picture.src = url;
    picture.alt = `A drawn face at valence ${signed(answer.va[0])}, arousal ${signed(answer.va[1])}`;
    showPrediction(answer.va, answer.prediction);
    const { draw, predict } = answer.milliseconds;
    const predicts = name ? `, predicted in ${predict.toFixed(1)} ms` : "";
    speed.textContent = `Drawn in ${draw.toFixed(0)} ms${predicts}; ${milliseconds.toFixed(0)} ms in all.`;
    el.dataset.drawn = JSON.stringify({ va: answer.va, prediction: answer.prediction, milliseconds });
  }

  function want() {
    showPoint();
    faces.want();
  }

  function move([valence, arousal]) {
    const far = Math.max(Math.hypot(valence, arousal), 1);
    va = [valence / far, arousal / far];
    want();
  }
  draggable(plane.root, point, {
    to: (x, y) => move([x / RADIUS, -y / RADIUS]),
    by: (right, up) => move([va[0] + 0.05 * right, va[1] + 0.05 * up]),
    home: () => move([0, 0]),
  });

  function moved(content) {
    if (!content.move) return;
    settings = { ...settings, ...content.settings };
    showSliders();
    move(content.move);
  }
  model.on("msg:custom", moved);

  showSliders();
  want();
  return () => {
    faces.close();
    model.off("msg:custom", moved);
    kernel.close();
    URL.revokeObjectURL(url);
  };
}

export default { render };
