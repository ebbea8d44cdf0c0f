// What the player does is drawn, and what is done with mouse and keys reaches the player and the list.
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
