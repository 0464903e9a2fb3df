// Words on the picture, and beside the slider, where the picture may be out of sight.

export class Status {
  constructor(root) {
    this.root = root;
    this.places = [root.querySelector('.status'), root.querySelector('.echo')];
    this.action = 0; // counts the reader's actions: a refusal stays until the next one
  }

  /** `share` of a progress; null for something that went wrong. `label` and `answer` make a button. */
  say(text, share = 0, label = '', answer = null) {
    const wrong = share === null;
    if (!wrong && this.spoken === this.action && this.root.classList.contains('wrong')) return;
    this.spoken = this.action;
    this.root.classList.toggle('telling', Boolean(text));
    this.root.classList.toggle('wrong', wrong && Boolean(text));
    for (const place of this.places) {
      place.querySelector('span').textContent = text ? `${text} ` : '';
      place.style.setProperty('--share', share ?? 0);
      const button = place.querySelector('button');
      button.hidden = !label;
      button.textContent = label;
      button.onclick = () => {
        this.action++;
        this.say('');
        answer();
      };
    }
  }
}
