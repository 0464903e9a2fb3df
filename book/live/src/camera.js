// What the camera sees, painted live: one frame at a time, as fast as the model answers. Nothing is kept or sent.
import { orderOf, seededIntegers } from './mask.js';
import { fromBytes } from './pixels.js';

const REFUSALS = {
  NotAllowedError: 'The camera was not allowed. Pick a picture, or allow it beside the address.',
  NotFoundError: 'No camera was found.',
};
const ROUND = 6000; // milliseconds until every patch of the dance has been hidden and shown again

export class Camera {
  /** `hands` is the explorer, which paints what this one sees. */
  constructor(root, hands) {
    Object.assign(this, { root, hands, on: false, picture: null, dancing: true, times: [] });
    this.bar = root.querySelector('.camera-bar');
    root.querySelector('.freeze').onclick = () => this.hands.pick('own', this.picture);
    root.querySelector('.off').onclick = () => this.leave();
    root.querySelector('.dance').onclick = () => this.dance(!this.dancing);
    document.addEventListener('visibilitychange', () => document.hidden && this.leave());
    addEventListener('pagehide', () => this.leave());
    new IntersectionObserver(([entry]) => !entry.isIntersecting && this.leave()).observe(root);
    const [rows, columns] = hands.about.grid;
    this.phases = seededIntegers(7, rows * columns);
  }

  dance(on) {
    this.dancing = on;
    this.root.querySelector('.dance').setAttribute('aria-checked', on);
  }

  /** A few patches change place at a time: each has a phase, the lowest stay visible, time moves all of them round. */
  order(now) {
    return orderOf(Array.from(this.phases, (phase) => (phase / 2 ** 24 + now / ROUND) % 1));
  }

  async start() {
    if (this.on || this.asking) return;
    this.hands.touch();
    this.asking = {};
    const mine = this.asking;
    this.hands.status.say('waiting for your permission');
    void this.hands.engine.start().catch(() => {}); // the model comes while the reader decides
    let stream;
    try {
      if (!navigator.mediaDevices) throw Object.assign(new Error(), { name: 'NotFoundError' });
      const video = { width: { ideal: 320 }, height: { ideal: 240 }, facingMode: 'user' };
      stream = await navigator.mediaDevices.getUserMedia({ video });
    } catch (error) {
      if (this.asking === mine)
        this.hands.excuse(REFUSALS[error.name] ?? 'The camera does not answer; another program may be using it.');
    }
    const wanted = this.asking === mine && !document.hidden; // else something else was chosen meanwhile
    if (this.asking === mine) this.asking = null;
    if (!wanted || !stream) return stream?.getTracks().forEach((track) => track.stop());
    await this.show(stream);
  }

  async show(stream) {
    const [track] = stream.getVideoTracks();
    const video = Object.assign(document.createElement('video'), { muted: true, playsInline: true, srcObject: stream });
    const mirror = track.getSettings().facingMode !== 'environment';
    Object.assign(this, { stream, video, mirror, on: true, times: [] });
    track.onended = () => this.leave();
    await video.play().catch(() => this.leave());
    if (!this.on) return;
    this.bar.hidden = false;
    this.root.classList.add('live');
    this.hands.status.say('');
    void this.loop();
  }

  async loop() {
    while (this.on) {
      this.picture = this.shrink();
      const before = this.times.at(-1);
      await this.hands.update();
      if (before === this.times.at(-1)) await new Promise((resolve) => setTimeout(resolve, 100)); // nothing came
      await new Promise(requestAnimationFrame);
    }
  }

  /** The middle of the frame at the model's size, halved step by step so that nothing flickers. */
  shrink() {
    const { about } = this.hands;
    const { videoWidth, videoHeight } = this.video;
    const scale = Math.min(videoWidth / about.width, videoHeight / about.height);
    const [wide, tall] = [about.width * scale, about.height * scale];
    let from = [this.video, (videoWidth - wide) / 2, (videoHeight - tall) / 2, wide, tall];
    for (let times = 2 ** Math.max(0, Math.floor(Math.log2(scale))); ; times /= 2) {
      const [width, height] = [about.width * times, about.height * times];
      const canvas = new OffscreenCanvas(width, height);
      const pen = canvas.getContext('2d', { willReadFrequently: times === 1 });
      pen.imageSmoothingQuality = 'high';
      if (times === 1 && this.mirror) pen.setTransform(-1, 0, 0, 1, width, 0);
      pen.drawImage(...from, 0, 0, width, height);
      if (times === 1) return fromBytes(pen.getImageData(0, 0, width, height).data, 4, about);
      from = [canvas, 0, 0, width, height];
    }
  }

  /** A painting has come. */
  counted() {
    const now = performance.now();
    this.times = [...this.times.filter((time) => now - time < 2000), now];
    const rate = this.times.length > 4 ? ((this.times.length - 1) * 1000) / (now - this.times[0]) : 0;
    this.root.dataset.rate = rate.toFixed(1);
    if (rate) this.root.querySelector('.rate').textContent = `${Math.round(rate)} a second`;
  }

  leave() {
    const was = this.on;
    this.stop();
    if (was) this.hands.update();
  }

  stop() {
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    Object.assign(this, { on: false, asking: null, picture: null, stream: null, video: null });
    this.bar.hidden = true;
    this.root.classList.remove('live');
    this.root.querySelector('.rate').textContent = '';
  }
}
