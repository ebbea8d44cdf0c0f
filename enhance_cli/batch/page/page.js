const data = JSON.parse(document.getElementById("data").textContent);
const $ = (id) => document.getElementById(id);
const make = (tag, text = "", attributes = {}) => {
  const element = document.createElement(tag);
  element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
};
const numeral = (x, plus, digits) => {
  if (x === null) return "";
  const size = Math.abs(x).toFixed(digits);
  return `${Number(size) === 0 ? "" : x < 0 ? "\u2212" : plus}${size}`;
};
const signed = (x, digits = 1) => numeral(x, "+", digits);
const plain = (x, digits = 1) => numeral(x, "", digits);
const clock = (s, digits = 0) => {
  const rest = (s % 60).toFixed(digits);
  const full = digits ? rest.padStart(3 + digits, "0") : rest.padStart(2, "0");
  const hours = Math.floor(s / 3600), minutes = Math.floor(s / 60) % 60;
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${full}` : `${minutes}:${full}`;
};
const difference = (a, b) => (a === null || b === null || a === undefined || b === undefined ? null : b - a);
const after = (entry) => (entry.levels.length === 2 ? entry.levels[1] : undefined); // several parts have no one difference
const changed = (measure) => (e) => difference(e.levels[0]?.[measure], after(e)?.[measure]);

// ---------------------------------------------------------------- the list
const COLUMNS = [
  { key: "name", title: "Recording", of: (e) => e.name },
  { key: "seconds", width: 4.3, title: "Length", of: (e) => e.seconds, show: (e) => (e.seconds === null ? "" : clock(e.seconds, 1)) },
  { key: "change", width: 5.2, title: "Change", unit: "dB", of: (e) => e.change, show: (e) => plain(e.change), hint: "Mean difference of the spectrograms" },
  { key: "noise", width: 4.6, title: "Noise floor", unit: "dB", of: changed("noise_floor"), show: (e) => signed(changed("noise_floor")(e)), hint: "Level in pauses, after less before" },
  { key: "loudness", width: 6, title: "Loudness", unit: "LU", of: changed("loudness"), show: (e) => signed(changed("loudness")(e)), hint: "Integrated loudness, after less before" },
  { key: "peak", width: 4.4, title: "Peak", unit: "dBFS", of: (e) => after(e)?.peak ?? null, show: (e) => plain(after(e)?.peak ?? null), hint: "Highest sample, after" },
  { key: "state", width: 4.5, title: "Notes", of: (e) => (e.status === "failed" ? 1e6 : 0) + e.notes.length + (e.status === "skipped" ? 0.5 : 0), show: (e) => (e.status === "done" ? String(e.notes.length || "") : e.status) },
];
let sorting = { key: "name", down: false };
let shown = []; // entries in the order of the list
let current = null;

const known = (value) => value !== null && value !== undefined;
const columns = COLUMNS.filter((c) => c.key === "name" || data.entries.some((e) => known(c.of(e)))); // stems have no one change
for (const column of columns) {
  const head = make("th", "", { scope: "col" });
  const button = make("button", column.title, { type: "button", ...(column.hint && { title: column.hint }) });
  if (column.unit) button.append(make("small", column.unit));
  button.onclick = () => {
    const numbers = column.key !== "name";
    sorting = { key: column.key, down: sorting.key === column.key ? !sorting.down : numbers };
    list();
  };
  if (column.width) head.style.width = `${column.width}rem`;
  head.append(button);
  $("columns").append(head);
  column.head = head;
}
const text = (e) => [e.name, e.reason, e.problem, ...e.notes].join("\n").toLowerCase();
for (const [index, entry] of data.entries.entries()) {
  entry.index = index;
  entry.text = text(entry);
  const row = (entry.row = make("tr"));
  for (const column of columns) row.append(make("td", column.show?.(entry) ?? ""));
  const button = make("button", "", { type: "button" });
  for (const part of entry.name.split(/(?<=[/_-])/)) button.append(part, make("wbr")); // may break here
  row.firstChild.replaceChildren(button);
  if (entry.status === "failed") row.lastChild.className = "bad";
  row.onclick = () => open(entry);
}

function list() {
  const words = $("text").value.toLowerCase().split(/\s+/).filter(Boolean);
  const status = $("status").value;
  const least = $("least").value === "" ? -Infinity : Number($("least").value);
  const most = $("most").value === "" ? Infinity : Number($("most").value);
  const bounded = least !== -Infinity || most !== Infinity;
  shown = data.entries.filter(
    (e) =>
      words.every((word) => e.text.includes(word)) &&
      (!status || (status === "noted" ? e.notes.length > 0 : e.status === status)) &&
      (!bounded || (e.change !== null && e.change >= least && e.change <= most)),
  );
  const column = COLUMNS.find((c) => c.key === sorting.key);
  if (column) {
    const collator = new Intl.Collator(undefined, { numeric: true });
    const order = (a, b) => (typeof a === "string" ? collator.compare(a, b) : a - b);
    shown.sort((a, b) => {
      const [x, y] = [column.of(a), column.of(b)];
      if (!known(x) || !known(y)) return known(y) - known(x) || a.index - b.index; // unknown values stand last, both ways
      return (sorting.down ? -1 : 1) * order(x, y) || a.index - b.index;
    });
  }
  for (const c of columns) c.head.setAttribute("aria-sort", c.key !== sorting.key ? "none" : sorting.down ? "descending" : "ascending");
  $("rows").replaceChildren(...shown.map((entry) => entry.row));
  const all = `${data.entries.length} recording${data.entries.length === 1 ? "" : "s"}`;
  $("count").textContent = shown.length === data.entries.length ? all : `${shown.length} of ${all}`;
  steps();
}

function steps() {
  const place = shown.indexOf(current);
  $("previous").disabled = place <= 0;
  $("next").disabled = place < 0 ? !shown.length : place + 1 >= shown.length;
}

function step(by) {
  const place = shown.indexOf(current);
  const next = shown[place < 0 ? 0 : place + by];
  if (!next) return;
  open(next);
  next.row.scrollIntoView({ block: "nearest" });
}

// ---------------------------------------------------------------- one recording
const player = new Player(draw, (index) => {
  const take = current.takes[index];
  fail(`This browser cannot play ${take.file}. Open it in another program by its name below.`);
});

function fail(message) {
  $("problem").textContent = message;
  $("problem").hidden = !message;
}

function open(entry) {
  const again = player.playing;
  const heard = current && current.takes.length === entry.takes.length ? player.heard : entry.takes.length > 1 ? 1 : 0;
  if (current) current.row.removeAttribute("aria-current");
  current = entry;
  entry.row.setAttribute("aria-current", "true");
  history.replaceState(null, "", `#${entry.index + 1}`);
  $("name").textContent = entry.name;
  const skipped = entry.status === "skipped"; // for a reason that is no error
  $("facts").textContent = [...entry.facts, ...(skipped ? [entry.reason] : [])].join(" \u00b7 ");
  fail([...new Set([skipped ? "" : entry.reason, entry.problem])].filter(Boolean).join("\n"));
  choices(entry);
  lanes(entry);
  measures(entry);
  texts(entry);
  $("player").hidden = $("lanes").hidden = $("legend").hidden = !entry.takes.length;
  $("match").checked = player.matched = entry.takes.length <= 2 && !$("match").dataset.off;
  player.load(entry.takes, entry.duration ?? 0, heard);
  $("position").max = player.duration;
  matched();
  steps();
  if (again) player.play();
}

function choices(entry) {
  const legend = $("takes").firstElementChild;
  const choice = (take, index) => {
    const label = make("label");
    const radio = make("input", "", { type: "radio", name: "take", value: index });
    radio.onchange = () => player.choose(index);
    label.append(radio, ...(index < 2 ? [make("kbd", "AB"[index])] : []), take.label);
    return label;
  };
  $("takes").replaceChildren(legend, ...entry.takes.map(choice));
}

function ticks(end, most) {
  const rough = end / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const size = [1, 2, 5, 10].map((n) => n * power).find((s) => s >= rough);
  return Array.from({ length: Math.floor(end / size + 1e-6) + 1 }, (_, n) => Number((n * size).toPrecision(6)));
}

function lanes(entry) {
  const nyquist = (entry.nyquist = Math.max(1, ...entry.takes.map((take) => take.rate / 2)));
  const height = entry.takes.length > 2 ? 112 : 184;
  $("lanes").style.setProperty("--spectrogram", `${height}px`);
  $("plots").replaceChildren(
    ...entry.takes.map((take, index) => {
      const lane = make("div", "", { class: "lane" });
      const who = make("div", "", { class: "who" });
      who.append(make("b", take.label), make("a", take.file, { href: take.link, title: take.file }), make("span", "heard", { class: "now" }));
      const wave = make("div", "", { class: "wave" });
      const spectrogram = make("div", "", { class: "spectrogram" });
      if (take.wave) {
        wave.append(make("img", "", { src: take.wave, alt: `Waveform, ${take.label}`, draggable: "false" }));
        const range = `Spectrogram, ${take.label}, 0 to ${take.rate / 2000} kHz`;
        const image = make("img", "", { src: take.spectrogram, alt: range, draggable: "false" });
        image.style.height = `${(100 * take.rate) / 2 / nyquist}%`;
        spectrogram.append(image);
      }
      for (const f of ticks(nyquist / 1000, height > 150 ? 6 : 4)) {
        const tick = make("i", String(f));
        tick.style.bottom = `${(1e5 * f) / nyquist}%`;
        spectrogram.append(tick);
      }
      spectrogram.append(make("span", index ? "" : "kHz", { class: "unit" }));
      lane.append(who, wave, spectrogram);
      return lane;
    }),
  );
  const marks = entry.duration ? ticks(entry.duration, 8) : [];
  $("ruler").replaceChildren(
    ...marks.map((t) => {
      const tick = make("i", entry.duration < 60 ? `${t} s` : clock(t));
      tick.style.left = `${(100 * t) / entry.duration}%`;
      return tick;
    }),
  );
}

function measures(entry) {
  const measured = ["loudness", "peak", "noise_floor"].some((key) => entry.levels.some((level) => level[key] !== null));
  if (!measured) return $("measures").replaceChildren();
  const table = make("table");
  const head = make("tr");
  const both = entry.levels.length === 2;
  head.append(make("td", ""), ...entry.levels.map((t) => make("th", t.label, { scope: "col" })), ...(both ? [make("th", "Difference", { scope: "col" })] : []));
  const rows = [
    ["Loudness", "loudness", "LUFS", "LU"],
    ["Peak", "peak", "dBFS", "dB"],
    ["Noise floor", "noise_floor", "dBFS", "dB"],
    ...(known(entry.levels[0].cutoff) ? [["Treble up to", "cutoff", "Hz", "Hz"]] : []),
  ].map(([title, key, unit, step]) => {
    const row = make("tr");
    const digits = unit === "Hz" ? 0 : 1;
    row.append(make("th", title, { scope: "row" }));
    for (const take of entry.levels) row.append(make("td", known(take[key]) ? `${plain(take[key], digits)} ${unit}` : "none"));
    const by = both ? difference(entry.levels[0][key], entry.levels[1][key]) : null;
    if (both) row.append(make("td", by === null ? "" : `${signed(by, digits)} ${step}`));
    return row;
  });
  const body = make("tbody");
  body.append(...rows);
  const top = make("thead");
  top.append(head);
  table.append(top, body);
  $("measures").replaceChildren(table);
}

function texts(entry) {
  const parts = [];
  for (const [title, lines] of [["Notes", entry.notes], ["Settings", entry.settings]]) {
    if (!lines.length) continue;
    const items = make("ul", "", title === "Settings" ? { class: "inline" } : {});
    items.append(...lines.map((line) => make("li", line)));
    parts.push(make("h3", title), items);
  }
  $("texts").replaceChildren(...parts);
}

function matched() {
  const gains = player.gains();
  const said = gains.map((gain, i) => (gain < 0.994 ? `${current.takes[i].label} ${signed(20 * Math.log10(gain))} dB` : ""));
  $("matched").textContent = said.filter(Boolean).length ? `(${said.filter(Boolean).join(", ")})` : "";
}

// ---------------------------------------------------------------- what the player does, and what is done to it
function draw() {
  if (!current) return;
  $("play").textContent = player.playing ? "Pause" : "Play";
  const radio = $("takes").querySelectorAll("input")[player.heard];
  if (radio) radio.checked = true;
  document.querySelectorAll(".lane").forEach((lane, i) => lane.classList.toggle("heard", i === player.heard));
  $("loop").setAttribute("aria-pressed", String(player.looping));
  const region = player.region;
  $("region").textContent = region ? `${clock(region[0], 2)} \u2013 ${clock(region[1], 2)}` : "";
  region ? drawMarked(...region) : ($("marked").style.display = "none");
  drawTime();
  move();
}

function drawMarked(from, to) {
  $("marked").style.display = "block";
  $("marked").style.left = `${(100 * from) / player.duration}%`;
  $("marked").style.width = `${(100 * (to - from)) / player.duration}%`;
}

function drawTime() {
  const time = Math.min(player.time, player.duration);
  if (document.activeElement !== $("position") || player.playing) $("position").value = time;
  $("position").setAttribute("aria-valuetext", `${time.toFixed(1)} of ${player.duration.toFixed(1)} seconds`);
  $("time").textContent = `${clock(time, 1)} / ${clock(player.duration, 1)}`;
}

const move = () => {
  const share = player.duration ? Math.min(player.time / player.duration, 1) : 0;
  $("cursor").style.transform = `translateX(${100 * share}%)`;
};
(function animate() {
  if (player.playing) move();
  requestAnimationFrame(animate);
})();
setInterval(() => player.playing && drawTime(), 100);

const toggle = () => (player.playing ? player.pause() : player.play());
const hear = (index) => {
  player.choose(index);
  if (current.takes[index]) $("said").textContent = current.takes[index].label;
};
const loop = () => {
  player.looping = !player.looping;
  draw();
};
$("play").onclick = toggle;
$("loop").onclick = loop;
$("previous").onclick = () => step(-1);
$("next").onclick = () => step(1);
$("position").oninput = (event) => player.seek(Number(event.target.value));
$("volume").oninput = (event) => {
  player.volume = Number(event.target.value);
  player.fade(true);
};
$("match").onchange = (event) => {
  player.matched = event.target.checked;
  event.target.dataset.off = player.matched ? "" : "1";
  player.fade(false);
  matched();
};
for (const id of ["text", "least", "most"]) $(id).oninput = list;
$("status").onchange = list;
$("filter").onsubmit = (event) => event.preventDefault();

// Drag to mark a loop, click to go there.
const overlay = $("overlay");
const pointedTime = (event) => {
  const box = overlay.getBoundingClientRect();
  return Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1) * player.duration;
};
let dragging = null;
overlay.onpointerdown = (event) => {
  if (event.button !== 0) return;
  overlay.setPointerCapture(event.pointerId);
  dragging = { x: event.clientX, time: pointedTime(event), moved: false };
};
overlay.onpointermove = (event) => {
  point(event);
  if (!dragging) return;
  if (Math.abs(event.clientX - dragging.x) > 4) dragging.moved = true;
  if (!dragging.moved) return;
  const [from, to] = [dragging.time, pointedTime(event)].sort((a, b) => a - b);
  drawMarked(from, to);
};
overlay.onpointerup = (event) => {
  if (!dragging) return;
  const [from, to] = [dragging.time, pointedTime(event)].sort((a, b) => a - b);
  if (dragging.moved) player.mark(from, to);
  else player.seek(pointedTime(event));
  dragging = null;
};
overlay.onpointercancel = () => {
  dragging = null;
  draw();
};
overlay.onpointerleave = () => ($("pointed").textContent = "");
function point(event) {
  const time = pointedTime(event);
  let said = `${clock(time, 2)}`;
  for (const box of document.querySelectorAll(".spectrogram")) {
    const { top, bottom } = box.getBoundingClientRect();
    if (event.clientY >= top && event.clientY <= bottom) {
      said += `, ${(((bottom - event.clientY) / (bottom - top)) * current.nyquist / 1000).toFixed(2)} kHz`;
    }
  }
  $("pointed").textContent = said;
}

const KEYS = {
  a: () => hear(0),
  b: () => hear(player.heard === 0 || player.heard + 1 >= current.takes.length ? 1 : player.heard + 1),
  " ": toggle,
  arrowleft: () => player.seek(player.time - 1),
  arrowright: () => player.seek(player.time + 1),
  "[": () => player.mark(player.time, Math.max(player.region?.[1] ?? player.duration, player.time)),
  "]": () => player.mark(Math.min(player.region?.[0] ?? 0, player.time), player.time),
  l: loop,
  escape: () => player.mark(0, 0),
  j: () => step(1),
  k: () => step(-1),
};
document.addEventListener("keydown", (event) => {
  const key = event.key.toLowerCase();
  const target = event.target;
  if (!KEYS[key] || !current || !$("keys").checked || event.ctrlKey || event.metaKey || event.altKey) return;
  if (target.matches("input[type=search], input[type=number], select")) return;
  if (key.startsWith("arrow") && target.matches("input")) return; // which has its own use for them
  const chosen = target.closest("tr")?.getAttribute("aria-current") === "true"; // its button has done its work
  if (key === " " && target.matches("button, input, summary, a") && !chosen) return;
  event.preventDefault();
  KEYS[key]();
});

document.title = data.title;
$("summary").textContent = data.summary;
list();
const named = data.entries[Number(location.hash.slice(1)) - 1];
open(named ?? shown[0]);
