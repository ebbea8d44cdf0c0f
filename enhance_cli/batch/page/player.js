"use strict";
// Several recordings of one length, played in step: all of them run, one is heard. Those that are not heard are kept at the
// place of the one that is, by playing them a little faster or slower, which nobody hears. So a switch is at the same instant.
class Player {
  static NEAR = 0.001; // seconds apart that are left alone
  static FAR = 0.2; // seconds apart from which on a player jumps
  static SETTLING = 0.3; // seconds in which most of it is made up for: not faster, for a busy browser looks seldom
  static SILENT = 1e-5; // volume of those not heard: at 0 Chromium stops their clock, and they come back late
  static FADE = 12; // milliseconds from one recording to the next

  constructor(onChange, onFailure) {
    this.onChange = onChange;
    this.onFailure = onFailure;
    this.takes = [];
    this.heard = 0;
    this.playing = false;
    this.looping = false;
    this.region = null; // [from, to] in seconds
    this.matched = true;
    this.volume = 1;
    this.duration = 0;
    const probe = new Audio();
    probe.volume = 0.5;
    this.mutes = probe.volume !== 0.5; // phones where the volume is not a page's to set
    this.at = 0; // where it stands while nothing plays
    setInterval(() => this.tick(), 40); // also while the page is not drawn
  }

  // takes: [{href, offset (seconds into the file), loudness (LUFS or null)}], duration in seconds
  load(takes, duration, heard) {
    this.pause();
    for (const take of this.takes) {
      take.audio.onerror = null;
      take.audio.removeAttribute("src");
      take.audio.load(); // frees its memory
    }
    this.takes = takes.map((take, index) => {
      const audio = new Audio();
      audio.preload = "auto";
      audio.preservesPitch = false;
      audio.onerror = () => this.onFailure(index);
      audio.src = take.href;
      return { ...take, audio };
    });
    this.duration = duration;
    this.region = null;
    this.at = 0;
    this.choose(Math.min(heard, Math.max(0, takes.length - 1)), true);
    this.seek(0);
  }

  get time() {
    const take = this.takes[this.heard];
    return this.playing && take ? Math.max(0, take.audio.currentTime - take.offset) : this.at;
  }

  // Factors that make all takes as loud as the least loud one, at most 30 dB less: an element cannot be louder than its file.
  gains() {
    const levels = this.takes.map((take) => take.loudness);
    if (!this.matched || levels.some((level) => level === null)) return levels.map(() => 1);
    const lowest = Math.min(...levels);
    return levels.map((level) => 10 ** (Math.max(lowest - level, -30) / 20));
  }

  choose(index, atOnce = false) {
    if (!this.takes[index]) return;
    this.heard = index;
    this.takes[index].audio.playbackRate = 1;
    this.fade(atOnce || !this.playing);
    this.onChange();
  }

  fade(atOnce) {
    clearInterval(this.fading);
    const gains = this.gains();
    const to = this.takes.map((_, i) => (i === this.heard ? gains[i] * this.volume : Player.SILENT));
    const from = this.takes.map((take) => take.audio.volume);
    const started = performance.now();
    const step = () => {
      const share = atOnce ? 1 : Math.min(1, (performance.now() - started) / Player.FADE);
      this.takes.forEach(({ audio }, i) => {
        audio.volume = from[i] + share * (to[i] - from[i]);
        audio.muted = this.mutes && i !== this.heard;
      });
      if (share === 1) clearInterval(this.fading);
    };
    if (!atOnce) this.fading = setInterval(step, 3);
    step();
  }

  seek(time) {
    this.at = Math.min(Math.max(time, 0), this.duration);
    for (const take of this.takes) {
      take.audio.currentTime = this.at + take.offset;
      take.audio.playbackRate = 1;
    }
    this.onChange();
  }

  async play() {
    if (!this.takes.length || this.playing) return;
    const [from, to] = this.bounds();
    if (this.at >= to - 0.02 || (this.looping && this.at < from)) this.at = from;
    this.seek(this.at);
    this.playing = true;
    this.onChange();
    const started = await Promise.allSettled(this.takes.map((take) => take.audio.play()));
    if (started[this.heard]?.status === "rejected" && this.playing) this.pause();
  }

  pause() {
    if (!this.playing) return;
    this.at = Math.min(this.time, this.duration);
    this.playing = false;
    for (const take of this.takes) take.audio.pause();
    this.seek(this.at);
  }

  bounds() {
    return this.looping && this.region ? this.region : [0, this.duration];
  }

  mark(from, to) {
    this.region = to - from >= 0.05 ? [Math.max(0, from), Math.min(this.duration, to)] : null;
    this.looping = this.region !== null;
    if (this.region && (this.time < this.region[0] || this.time > this.region[1])) this.seek(this.region[0]);
    this.onChange();
  }

  tick() {
    if (!this.playing) return;
    const leader = this.takes[this.heard];
    const time = this.time;
    if (time >= this.bounds()[1] - 0.005 || leader.audio.ended) {
      if (!this.looping) {
        this.pause();
        this.seek(this.duration);
        return;
      }
      this.seek(this.bounds()[0]);
      for (const take of this.takes) take.audio.play().catch(() => {}); // an ended one stands still
      return;
    }
    for (const take of this.takes) {
      if (take === leader || take.audio.seeking || take.audio.readyState < 3) continue;
      const ahead = take.audio.currentTime - take.offset - leader.audio.currentTime + leader.offset;
      if (Math.abs(ahead) > Player.FAR) take.audio.currentTime = time + take.offset;
      const faster = Math.min(Math.max(-ahead / Player.SETTLING, -0.2), 0.2);
      take.audio.playbackRate = Math.abs(ahead) < Player.NEAR ? 1 : 1 + faster;
    }
  }
}
