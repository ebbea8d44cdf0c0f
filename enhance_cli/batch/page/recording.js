// The recording that is open: its pictures, levels, notes and settings.
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
    ...entry.measured.map(([title, key, unit]) => [title, key, unit, unit]),
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

function gaps(entry) {
  const said = (gap) => `${clock(gap.from, 2)}: ${plain(1000 * (gap.to - gap.from), 1)} ms, ${gap.said}`;
  const items = make("ul", "", { class: "gaps" });
  for (const gap of entry.gaps) {
    const button = make("button", said(gap), { type: "button", title: "Loop around it" });
    button.onclick = () => player.mark(gap.from - 1, gap.to + 1);
    const item = make("li");
    item.append(button);
    items.append(item);
  }
  const more = entry.gaps_in_all - entry.gaps.length;
  if (more) items.append(make("li", `and ${more} more, which the file of --report has`));
  return [make("h3", `Filled gaps (${entry.gaps_in_all})`), items];
}

function texts(entry) {
  const parts = entry.gaps ? gaps(entry) : [];
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

