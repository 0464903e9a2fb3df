// The script of every page with widgets: shows them, names them, and answers them in the kernel's place.

import './live.css';
import { nameEverything, nameSliders, openPictures } from './access.js';
import { Engine } from './engine.js';
import { Explorer } from './explorer.js';
import { driveByFrames } from './frames.js';
import { Manager } from './manager.js';
import { Reconstruction } from './reconstruction.js';

const STATE = 'script[type="application/vnd.jupyter.widget-state+json"]';
const VIEW = 'script[type="application/vnd.jupyter.widget-view+json"]';

async function start() {
  // The theme's icon script would replace the <i> elements that widgets look for.
  window.FontAwesome?.noAuto?.();
  // ipywidgets speaks to MathJax 2, the book has MathJax 3.
  if (window.MathJax && !window.MathJax.Hub) window.MathJax.Hub = { Queue() {} };
  const manifest = JSON.parse(document.getElementById('maelib-live').textContent);
  const address = ({ name, size }) => ({ url: new URL(manifest.root + name, document.baseURI).href, size });
  const files = Object.fromEntries(Object.entries(manifest.files).map(([key, file]) => [key, address(file)]));
  const engine = new Engine({ ...files, worker: files.worker.url });
  for (const place of document.querySelectorAll('.maelib-live')) {
    try {
      await show(place, engine, files);
    } catch (error) {
      console.error(error); // the plain picture stays
    }
  }
}

async function show(place, engine, files) {
  const manager = new Manager();
  const models = await manager.set_state(JSON.parse(place.querySelector(STATE).textContent));
  const wanted = JSON.parse(place.querySelector(VIEW).textContent).model_id;
  const model = models.find(({ model_id: id }) => id === wanted);
  const element = document.createElement('div');
  place.append(element);
  await manager.show(model, element);
  place.querySelector('.maelib-plain')?.remove();
  if (!place.dataset.explorer) {
    requestAnimationFrame(() => nameSliders(place));
    place.dataset.state = 'ready';
    return;
  }
  const explorer = new Explorer(model, place);
  const frames = files[`frames-${explorer.name}`].url;
  while (!complete(place, explorer)) await new Promise(requestAnimationFrame); // views of children come a little later
  nameEverything(place, explorer);
  if (explorer.name === 'reconstruction') {
    place.driver = new Reconstruction(explorer, engine, frames);
    openPictures(place, place.driver);
  } else driveByFrames(explorer, frames);
  place.explorer = explorer;
  place.dataset.state = 'ready';
}

/** Whether every widget with a role, and every square of a mask by hand, stands in the page. */
function complete(place, { roles }) {
  const squares = roles.hand?.get('children').length ?? 0;
  const all = Object.keys(roles).every((role) => place.querySelector(`.maelib-role-${role}`));
  return all && place.querySelectorAll('.maelib-role-hand button').length === squares;
}

// After everything that the theme does while the page loads.
if (document.readyState === 'complete') start();
else window.addEventListener('load', start);
