// The browser's camera: see camera_widget.py.

const LONGEST = 640; // pixels of the picture that is sent, on its longer side
const QUALITY = 0.85; // of its JPEG
const TRAIL = 40; // predictions that stay visible in the plane
const PATIENCE = 10000; // milliseconds without an answer: then the camera is turned off
const WORRY = 1500; // milliseconds without an answer: then the page says so
const FROZEN = 3000; // milliseconds without a new picture from the camera

const REASONS = {
  NotAllowedError: "The browser did not allow the camera. Click the camera sign beside the page's "
    + "address, allow it for this page, and press Start again.",
  SecurityError: "The browser's settings forbid cameras on this page. Allow the camera for this "
    + "address in its settings, and press Start again.",
  NotFoundError: "No camera was found. Plug one in (or turn its cover or switch on), and press "
    + "Start again.",
  NotReadableError: "The camera is there but gives no picture: another program may be using it. "
    + "Close that program, and press Start again.",
  AbortError: "The camera could not be started. Unplug it and plug it in again, then press Start.",
};
const UNPLUGGED = "The camera was unplugged, or taken away from the page. Plug it in and press Start.";
const FROZE = "The camera sends no pictures any more. Look whether its cover or switch is closed, "
  + "then press Start again.";
const LEFT = "The camera was turned off because this part of the page was taken away.";

/** Why the page may not have a camera at all, or "" when it may. */
function insecure() {
  if (window.isSecureContext && navigator.mediaDevices?.getUserMedia) return "";
  if (window.isSecureContext) return "This browser offers no camera to pages. Use another browser.";
  const { protocol, host, hostname } = window.location;
  const port = window.location.port || "80";
  return `Browsers give a camera only to https pages and to localhost, and this page is at `
    + `${protocol}//${host}. Make a tunnel in a terminal, "ssh -L ${port}:localhost:${port} `
    + `${hostname}", and open http://localhost:${port} instead.`;
}

/** Resolves at the camera's next picture, or after a while: a browser tells of none out of sight. */
function nextPicture(video) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, 250);
    video.requestVideoFrameCallback?.(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}

/** The boxes, points and values of all faces, over the mirrored or plain picture. */
function drawFaces(canvas, answer, mirrored, colours) {
  const [width, height] = answer.size;
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  const across = (x) => (mirrored ? width - x : x);
  answer.faces.forEach(({ box, landmarks, va }, index) => {
    const [left, top, right, bottom] = box;
    const corner = mirrored ? across(right) : left;
    context.lineWidth = index ? 1.5 : 2.5;
    context.strokeStyle = "white";
    context.shadowColor = "black";
    context.shadowBlur = 3;
    context.strokeRect(corner, top, right - left, bottom - top);
    context.fillStyle = "white";
    for (const [x, y] of landmarks) {
      context.beginPath();
      context.arc(across(x), y, 1.6, 0, 7);
      context.fill();
    }
    context.shadowBlur = 0;
    const size = Math.max(13, Math.round(height / 26));
    context.font = `600 ${size}px system-ui, sans-serif`;
    const words = [[`V ${signed(va[0])}`, colours.valence], [`A ${signed(va[1])}`, colours.arousal]];
    let x = Math.max(corner, 0);
    const y = top > 1.6 * size ? top - 1.5 * size : Math.min(bottom + 2, height - 1.5 * size);
    for (const [word, colour] of words) {
      const wide = context.measureText(word).width + 0.8 * size;
      context.fillStyle = colour;
      context.fillRect(x, y, wide, 1.4 * size);
      context.fillStyle = "white";
      context.fillText(word, x + 0.4 * size, y + 1.05 * size);
      x += wide;
    }
  });
}

/** Rate and delay of the last predictions, in words. */
class Pace {
  constructor() { this.rows = []; }

  add(latency, kernel) {
    this.rows.push({ at: performance.now(), latency, kernel });
    this.rows = this.rows.slice(-30);
  }

  numbers() {
    const middle = (key) => this.rows.map((row) => row[key]).sort((a, b) => a - b)[
      this.rows.length >> 1];
    const seconds = (this.rows.at(-1).at - this.rows[0].at) / 1000;
    const rate = seconds ? (this.rows.length - 1) / seconds : 0;
    return { rate, latency: middle("latency"), kernel: middle("kernel") };
  }
}

function render({ model, el }) {
  prepare(model, el);
  const kernel = new Kernel(model);
  const alert = alertBox();
  const colours = model.get("colours");

  const button = element("button", { type: "button", className: "va-start" });
  const video = element("video", { muted: true, playsInline: true });
  const overlay = element("canvas", { className: "va-overlay" });
  const badge = element("span", { className: "va-badge" }, "camera on");
  const big = element("div", { className: "va-big", hidden: true });
  const stage = element("div", { className: "va-stage" }, video, overlay, badge, big,
    element("p", { className: "va-empty" }, "The camera is off. Its pictures go to the notebook's "
      + "kernel, are used for a prediction and forgotten."));
  const mirror = element("input", { type: "checkbox", checked: true });
  const status = element("p", { className: "va-status", role: "status" });
  const speed = element("p", { className: "va-speed" });

  const plane = circumplex(model.get("emotions"), "the prediction in the valence-arousal plane");
  const trail = svg("polyline", { class: "va-trail" });
  const kept = svg("g", {});
  const mark = predictionMark();
  plane.root.setAttribute("role", "img");
  plane.root.append(trail, kept, mark);
  const values = element("p", { className: "va-values" }, element("span", { className: "va-v" }),
    element("span", { className: "va-a" }));

  const choices = `va-poses-${kernel.view}`;
  const poseName = element("input", {
    type: "text", list: choices, maxLength: 40, value: model.get("names")[0] ?? "",
    className: "va-pose", autocomplete: "off",
  });
  const holdButton = element("button", { type: "submit", disabled: true },
    `Hold the pose (${model.get("hold_seconds")} s)`);
  const form = element("form", { className: "va-hold" },
    element("label", {}, "Pose ", poseName), holdButton,
    element("datalist", { id: choices },
      ...model.get("names").map((name) => element("option", { value: name }))));
  const table = element("table", { className: "va-poses" });

  el.append(element("div", { className: "va-row" },
    element("div", { className: "va-column va-wide" }, stage,
      element("div", { className: "va-bar" }, button,
        element("label", {}, mirror, " mirror"), speed), status, alert.box),
    element("div", { className: "va-column" }, plane.root, values, form, table)));

  let state = "off"; // off, asking, on
  let turn = 0; // each start and each stop is a turn; what belongs to an older one is dropped
  let stream = null;
  let trailed = [];

  function show(next, text = "") {
    state = next;
    el.dataset.state = next;
    button.textContent = { off: "Start the camera", asking: "Cancel", on: "Stop the camera" }[next];
    holdButton.disabled = next !== "on";
    status.textContent = text;
  }

  /** Turn the camera off, whatever is going on, and say why where it was not the user. */
  function stop(reason = "", details = "") {
    turn += 1;
    const wasOn = stream !== null;
    for (const track of stream?.getTracks() ?? []) track.stop();
    stream = null;
    video.srcObject = null;
    overlay.getContext("2d").clearRect(0, 0, overlay.width, overlay.height);
    trailed = [];
    showPrediction(); // an old one must not be taken for a live one
    big.hidden = true;
    speed.textContent = "";
    show("off", wasOn ? "The camera is off." : "");
    alert.say(reason, details);
    if (wasOn) kernel.ask("stop", {}, [], 2000).catch(() => {});
  }

  async function start() {
    const mine = ++turn;
    alert.say(insecure());
    if (insecure()) return;
    show("asking", "Waiting for the browser to give the camera: it may be asking you at the top.");
    let given;
    try {
      given = await navigator.mediaDevices.getUserMedia({
        audio: false, video: { width: { ideal: 640 }, height: { ideal: 480 }, facingMode: "user" },
      });
    } catch (error) {
      if (mine === turn) stop(REASONS[error.name] ?? `The camera could not be started: ${error.message}`);
      return;
    }
    if (mine !== turn) { // cancelled, or the widget has gone meanwhile
      for (const track of given.getTracks()) track.stop();
      return;
    }
    stream = given;
    stream.getVideoTracks()[0].addEventListener("ended", () => mine === turn && stop(UNPLUGGED));
    try {
      video.srcObject = stream;
      await video.play();
      await kernel.ask("start", {}, [], PATIENCE);
      if (mine !== turn) return;
      show("on", "The camera is on.");
      await predictOn(mine);
    } catch (error) {
      if (mine === turn) stop(error.message, error.details);
    }
  }

  /** One picture after another, each after the answer to the last. */
  async function predictOn(mine) {
    const shot = document.createElement("canvas");
    const pace = new Pace();
    let [time, fresh] = [-1, performance.now()];
    while (mine === turn) {
      await nextPicture(video);
      if (mine !== turn) return;
      if (video.currentTime !== time || document.hidden) {
        [time, fresh] = [video.currentTime, performance.now()];
      } else if (performance.now() - fresh > FROZEN) {
        throw new Error(FROZE);
      } else continue;
      if (document.hidden || !video.videoWidth) continue; // nobody would see the prediction
      const scale = Math.min(1, LONGEST / Math.max(video.videoWidth, video.videoHeight));
      shot.width = Math.round(video.videoWidth * scale);
      shot.height = Math.round(video.videoHeight * scale);
      shot.getContext("2d").drawImage(video, 0, 0, shot.width, shot.height);
      const blob = await new Promise((resolve) => { shot.toBlob(resolve, "image/jpeg", QUALITY); });
      const bytes = await blob.arrayBuffer();
      if (mine !== turn) return;
      const sent = performance.now();
      const worry = setTimeout(() => mine === turn && show("on", "The camera is on. Waiting for the "
        + "kernel, which may be busy with another cell."), WORRY);
      let answer;
      try {
        answer = await kernel.ask("frame", {}, [bytes], PATIENCE);
      } finally {
        clearTimeout(worry);
      }
      if (mine !== turn) return;
      pace.add(performance.now() - sent, answer.milliseconds);
      showAnswer(answer, pace.numbers());
    }
  }

  function showPrediction(va) {
    const [v, a] = values.children;
    if (va) {
      trailed = [...trailed, va].slice(-TRAIL);
      plane.put(mark, va);
    }
    v.textContent = va ? `valence ${signed(va[0])}` : "";
    a.textContent = va ? `arousal ${signed(va[1])}` : "";
    mark.setAttribute("visibility", va ? "visible" : "hidden");
    trail.setAttribute("points",
      trailed.map(([x, y]) => `${x * RADIUS},${-y * RADIUS}`).join(" "));
  }

  function showAnswer(answer, { rate, latency, kernel: inKernel }) {
    drawFaces(overlay, answer, mirror.checked, colours);
    const va = answer.faces[0]?.va;
    showPrediction(va);
    const more = answer.faces.length - 1;
    const text = !va ? "No face in the picture: look into the camera, with light on your face."
      : more > 0 ? `The camera is on. ${more + 1} faces; the plane shows the largest.`
        : "The camera is on.";
    if (status.textContent !== text) status.textContent = text;
    speed.textContent = `${rate.toFixed(1)} predictions/s, ${latency.toFixed(0)} ms each, `
      + `${inKernel.toFixed(0)} of them the model's`;
    el.dataset.predictions = Number(el.dataset.predictions ?? 0) + 1;
    el.dataset.pace = JSON.stringify({ rate, latency, kernel: inKernel });
    showHold(answer);
  }

  function showHold({ hold, kept: row, lost }) {
    if (hold) {
      const ready = hold.ready !== undefined;
      const left = Math.ceil(ready ? hold.ready : hold.left);
      big.textContent = `${ready ? "Get ready" : "Hold"}: ${hold.pose} ${left}`;
      big.className = ready ? "va-big" : "va-big va-now";
    }
    big.hidden = !hold;
    holdButton.disabled = Boolean(hold);
    if (lost) alert.say(lost);
    if (!row) return;
    const names = model.get("names"); // offer the next one
    const next = names.indexOf(row.pose) + 1;
    if (next > 0 && next < names.length && poseName.value === row.pose) poseName.value = names[next];
  }

  function showPoses() {
    const rows = model.get("held");
    kept.replaceChildren(...rows.map((row) => {
      const pose = svg("g", { class: "va-kept" }, svg("path", { d: "M0 -5L5 0L0 5L-5 0Z" }),
        svg("text", { y: 13 }, row.pose));
      plane.put(pose, [row.valence, row.arousal]);
      return pose;
    }));
    const cell = (row, name, sd) => element("td", {}, `${signed(row[name])} ± ${row[sd].toFixed(2)}`);
    table.replaceChildren(...(rows.length ? [element("caption", {}, "Held poses: mean ± sd"),
      element("tr", {}, element("th", {}, "pose"), element("th", { className: "va-v" }, "valence"),
        element("th", { className: "va-a" }, "arousal"), element("th", {}, "frames"))] : []),
    ...rows.map((row) => element("tr", {}, element("th", {}, row.pose),
      cell(row, "valence", "valence_sd"), cell(row, "arousal", "arousal_sd"),
      element("td", {}, `${row.frames}`))));
  }

  button.addEventListener("click", () => (state === "off" ? start() : stop()));
  mirror.addEventListener("change", () => el.classList.toggle("va-mirrored", mirror.checked));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    alert.say("");
    kernel.ask("hold", { name: poseName.value }).catch((error) => alert.say(error.message));
  });
  el.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && state !== "off") stop();
  });
  // A cleared output or a deleted cell does not always run the clean-up below.
  const watch = setInterval(() => state !== "off" && !el.isConnected && stop(LEFT), 300);
  const leave = () => stop();
  const restarted = () => {
    if (stream && model.get("comm_live") === false) stop(GONE);
  };
  window.addEventListener("pagehide", leave);
  model.on("change:held", showPoses);
  model.on("comm_live_update", restarted);

  el.classList.add("va-mirrored");
  show("off");
  showPoses();
  return () => {
    stop();
    clearInterval(watch);
    window.removeEventListener("pagehide", leave);
    model.off("change:held", showPoses);
    model.off("comm_live_update", restarted);
    kernel.close();
  };
}

export default { render };
