// The script of every page with widgets: shows them, names them, and answers them in the kernel's place.
import './live.css';
import { nameEverything, nameSliders, pickByPointer } from './access.js';
import { Explorer } from './explorer.js';
import { driveByFrames } from './frames.js';
import { Manager } from './manager.js';
import { filesOfPage } from './pack.js';

const STATE = 'script[type="application/vnd.jupyter.widget-state+json"]';
const VIEW = 'script[type="application/vnd.jupyter.widget-view+json"]';

async function start() {
  window.FontAwesome?.noAuto?.(); // the theme's icon script would replace the <i> elements that widgets look for
  if (window.MathJax && !window.MathJax.Hub) window.MathJax.Hub = { Queue() {} }; // ipywidgets speaks to MathJax 2
  const files = filesOfPage();
  for (const place of document.querySelectorAll('.maelib-live')) {
    try {
      await show(place, files);
    } catch (error) {
      console.error(error); // the plain picture stays
    }
  }
}

async function show(place, files) {
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
  pickByPointer(place, explorer);
  driveByFrames(explorer, frames);
  place.explorer = explorer;
  place.dataset.state = 'ready';
}

/** Whether every widget with a role stands in the page. */
const complete = (place, { roles }) => Object.keys(roles).every((role) => place.querySelector(`.maelib-role-${role}`));

// After everything that the theme does while the page loads.
if (document.readyState === 'complete') start();
else window.addEventListener('load', start);
