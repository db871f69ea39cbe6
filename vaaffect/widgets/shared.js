// What the widgets share. The modules are joined in Python (base.py), so nothing is imported here.

/** An HTML element with properties, and children (elements or text). */
function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made && name !== "list") made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/** An SVG element with attributes and children. */
function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** A number with a sign and a true minus: +0.50. */
function signed(value) {
  return (value < 0 ? "−" : "+") + Math.abs(value).toFixed(2);
}

/** The root of a widget: its colours, and its keys kept from the notebook's shortcuts. */
function prepare(model, el) {
  el.classList.add("va-widget");
  el.dataset.lmSuppressShortcuts = "true";
  // That keeps most away, but not the arrows, by which the notebook goes to the heading above.
  el.addEventListener("keydown", (event) => event.stopPropagation());
  for (const [name, value] of Object.entries(model.get("colours"))) {
    el.style.setProperty(`--va-base-${name}`, value);
  }
}

const RADIUS = 100; // of the unit circle, in the units of the SVG

/** The valence-arousal plane as an SVG; put(mark, [valence, arousal]) moves a mark. */
function circumplex(emotions, label) {
  const root = svg("svg", { viewBox: "-124 -124 248 248", class: "va-plane" });
  if (label) root.append(svg("title", {}, label));
  root.append(
    svg("circle", { r: RADIUS, class: "va-disc" }),
    svg("path", { d: `M${-RADIUS} 0H${RADIUS}M0 ${-RADIUS}V${RADIUS}`, class: "va-axis" }),
  );
  const words = [["excited", 0, -108, 0], ["calm", 0, 115, 0],
    ["pleasant", 108, 0, 90], ["unpleasant", -108, 0, -90]];
  for (const [word, x, y, turn] of words) {
    const place = `translate(${x} ${y}) rotate(${turn})`;
    root.append(svg("text", { transform: place, class: "va-word" }, word));
  }
  for (const [name, [valence, arousal]] of Object.entries(emotions)) {
    const [x, y] = [valence * RADIUS, -arousal * RADIUS];
    root.append(svg("circle", { cx: x, cy: y, r: 1.6, class: "va-emotion" }));
    root.append(svg("text", { x, y: y - 4.5, class: "va-name" }, name));
  }
  const put = (mark, [valence, arousal]) =>
    mark.setAttribute("transform", `translate(${valence * RADIUS} ${-arousal * RADIUS})`);
  return { root, put };
}

/** The diamond that stands for a model's prediction. */
function predictionMark() {
  return svg("path", { d: "M0 -7L7 0L0 7L-7 0Z", class: "va-prediction", visibility: "hidden" });
}

const GONE = "The kernel is not there any more (restarted, or shut down). Run the cell again.";

/** Questions to the Python side, each with its answer; rejects when the kernel is gone. */
class Kernel {
  constructor(model) {
    this.model = model;
    this.view = Math.random().toString(36).slice(2); // several views may show one widget
    this.number = 0;
    this.waiting = new Map();
    this.receive = (content, buffers) => {
      const answer = content && content.view === this.view && this.waiting.get(content.id);
      if (!answer) return;
      if (content.failed) answer.reject(Object.assign(new Error(content.failed), content));
      else answer.resolve({ ...content, buffers });
    };
    // A restarted kernel answers nothing, and only an attempt to send shows it.
    this.probe = setInterval(() => this.waiting.size && this.post({}), 500);
    model.on("msg:custom", this.receive);
  }

  /** Send; a dead connection throws, now or later, and rejects everything that waits. */
  post(content, buffers = []) {
    const gone = () => this.giveUp(new Error(GONE));
    try {
      const sent = this.model.send(content, undefined, buffers);
      if (sent && sent.catch) sent.catch(gone);
    } catch {
      gone();
    }
  }

  giveUp(error) {
    for (const answer of [...this.waiting.values()]) answer.reject(error);
  }

  /** One question; `patience` milliseconds without an answer reject it. */
  ask(type, content = {}, buffers = [], patience = Infinity) {
    const id = this.number++;
    let timer;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      if (patience < Infinity) timer = setTimeout(() => reject(new Error(GONE)), patience);
      this.post({ ...content, type, view: this.view, id }, buffers);
    }).finally(() => {
      clearTimeout(timer);
      this.waiting.delete(id);
    });
  }

  close() {
    clearInterval(this.probe);
    this.model.off("msg:custom", this.receive);
    this.giveUp(new Error("closed"));
  }
}

/** A place for what went wrong: read out at once by screen readers, empty when all is well. */
function alertBox() {
  const box = element("div", { className: "va-alert", role: "alert", hidden: true });
  return {
    box,
    say(text, details = "") {
      box.hidden = !text;
      box.replaceChildren(text);
      if (details) {
        box.append(element("details", {}, element("summary", {}, "Details"),
          element("pre", {}, details)));
      }
    },
  };
}

/** A row with a label, a slider and its value; say(control, value) puts the value into words. */
function sliderRow(control, say, onInput) {
  const input = element("input", {
    type: "range", min: control.low, max: control.high, step: control.step,
    className: `va-slider va-${control.name}`,
  });
  const text = element("output", {});
  const set = (value) => {
    input.value = value;
    text.textContent = say(control, Number(input.value));
    input.setAttribute("aria-valuetext", text.textContent);
  };
  input.addEventListener("input", () => {
    set(input.value);
    onInput(control.name, Number(input.value));
  });
  return { row: element("label", {}, element("span", {}, control.label), input, text), set };
}

/** A mark in an SVG that a hand or the keyboard can move; see `draggable`. */
function dragMark(attributes) {
  return svg("g", { class: "va-point", tabindex: 0, role: "slider", ...attributes },
    svg("circle", { r: 18, class: "va-grip" }), svg("circle", { r: 7.5, class: "va-dot" }));
}

/** Let a mark be moved: to(x, y) in the SVG's units, by(right, up) in key presses, home(). */
function draggable(root, mark, { to, by, home }) {
  const follow = (event) => {
    const place = new DOMPoint(event.clientX, event.clientY)
      .matrixTransform(root.getScreenCTM().inverse());
    to(place.x, place.y);
  };
  root.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    event.preventDefault();
    root.setPointerCapture(event.pointerId);
    mark.focus({ preventScroll: true });
    follow(event);
  });
  root.addEventListener("pointermove", (event) => {
    if (root.hasPointerCapture(event.pointerId)) follow(event);
  });
  const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
  mark.addEventListener("keydown", (event) => {
    const step = steps[event.key];
    if (!step && event.key !== "Home") return;
    event.preventDefault();
    const size = event.shiftKey ? 4 : 1;
    if (step) by(size * step[0], size * step[1]);
    else home();
  });
}

/** Questions of which only the newest counts: one at a time, and then the last of what came since.
 *
 * ask() gives a promise; show(answer, milliseconds) what to do with it. Errors go to the alert.
 */
function newest(ask, show, alert) {
  let [wanted, asking, closed] = [0, false, false];
  async function want() {
    wanted += 1;
    if (asking) return;
    asking = true;
    try {
      for (let done = -1; done !== wanted && !closed;) {
        done = wanted;
        const asked = performance.now();
        const answer = await ask();
        if (!closed) show(answer, performance.now() - asked);
        alert.say("");
      }
    } catch (error) {
      if (!closed) alert.say(error.message, error.details);
    }
    asking = false;
  }
  return { want, close() { closed = true; } };
}
