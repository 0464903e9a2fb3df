// The first view: once, from the whole photograph to the ratio at which the explorer rests.
const LENGTH = 2600; // milliseconds

export class Opening {
  /** `show(ratio)` draws a state of the strip, 0 for the whole photograph; `rest()` is called at the end. */
  constructor(frame, ratio, show, rest) {
    Object.assign(this, { ratio, show, rest, running: true });
    void show(0);
    this.watch = new IntersectionObserver(([entry]) => {
      if (!entry.isIntersecting) return;
      this.watch.disconnect();
      setTimeout(() => this.running && this.step(performance.now()), 450);
    }, { threshold: 0.4 });
    this.watch.observe(frame);
  }

  step(began) {
    this.frame = requestAnimationFrame(async (now) => {
      const t = Math.min(1, Math.max(0, now - began) / LENGTH);
      await this.show(this.ratio * (1 - (1 - t) ** 2));
      if (!this.running) return;
      if (t < 1) return this.step(began);
      this.stop();
      this.rest();
    });
  }

  /** Whoever acts while it plays begins where it would have rested. */
  stop() {
    this.running = false;
    this.watch.disconnect();
    cancelAnimationFrame(this.frame);
  }
}
