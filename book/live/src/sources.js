// Which picture: the shipped ones as thumbnails, the reader's own by button or by dropping it, the camera.

export class Sources {
  /** `hands` is the explorer, which picks, takes a file and films. */
  constructor(root, hands) {
    const bar = root.querySelector('.sources');
    for (const [name, { address }] of Object.entries(hands.pictures)) {
      const title = name.replaceAll('_', ' ');
      const tile = Object.assign(document.createElement('button'), { type: 'button', className: 'tile', title });
      tile.setAttribute('aria-label', title);
      tile.dataset.source = name;
      tile.style.backgroundImage = `url(${address})`;
      tile.onclick = () => hands.pick(name);
      bar.append(tile);
    }
    const file = root.querySelector('input[type=file]');
    root.querySelector('.own').onclick = () => file.click();
    root.querySelector('.cam').onclick = () => hands.film();
    file.onchange = () => {
      const [chosen] = file.files;
      if (chosen) hands.take(chosen);
      file.value = ''; // so that the same file can be chosen again
    };
    const over = (on) => root.classList.toggle('drop', on);
    root.addEventListener('dragover', (event) => {
      event.preventDefault();
      over(true);
    });
    root.addEventListener('dragleave', () => over(false));
    root.addEventListener('drop', (event) => {
      event.preventDefault();
      over(false);
      if (event.dataTransfer.files[0]) hands.take(event.dataTransfer.files[0]);
    });
  }
}
