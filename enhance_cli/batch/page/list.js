// The data of the page, and the list of all recordings: sorted by a column, filtered, gone through.
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

const COLUMNS = [
  { key: "name", title: "Recording", of: (e) => e.name },
  { key: "seconds", width: 4.4, title: "Length", of: (e) => e.seconds, show: (e) => (e.seconds === null ? "" : clock(e.seconds, e.seconds < 3600 ? 1 : 0)) },
  { key: "change", width: 4.8, title: "Change", unit: "dB", of: (e) => e.change, show: (e) => plain(e.change), hint: "Mean difference of the spectrograms" },
  { key: "noise", width: 3.9, title: "Noise floor", unit: "dB", of: changed("noise_floor"), show: (e) => signed(changed("noise_floor")(e)), hint: "Level in pauses, after less before" },
  { key: "loudness", width: 5.6, title: "Loudness", unit: "LU", of: changed("loudness"), show: (e) => signed(changed("loudness")(e)), hint: "Integrated loudness, after less before" },
  { key: "peak", width: 4.1, title: "Peak", unit: "dBFS", of: (e) => after(e)?.peak ?? null, show: (e) => plain(after(e)?.peak ?? null), hint: "Highest sample, after" },
  { key: "state", width: 4.3, title: "Notes", of: (e) => (e.status === "failed" ? 1e6 : 0) + e.notes.length + (e.status === "skipped" ? 0.5 : 0), show: (e) => (e.status === "done" ? String(e.notes.length || "") : e.status) },
];
const below = matchMedia("(max-width: 1100px)"); // the list lies below the recording, as page.css has it
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
  row.onclick = () => {
    open(entry);
    if (below.matches) $("detail").scrollIntoView(); // it lies above the list
  };
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
  const focused = document.activeElement.closest("#rows");
  open(next);
  next.row.scrollIntoView({ block: "nearest" });
  if (focused) next.row.querySelector("button").focus({ preventScroll: true }); // or Space would open the one before again
}

