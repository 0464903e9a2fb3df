// The script of pages with the reconstruction explorer.
import './reconstruction.css';
import { Engine } from './engine.js';
import { filesOfPage } from './pack.js';
import { Reconstruction } from './reconstruction.js';
import { loadScene } from './scene.js';

async function start() {
  const places = [...document.querySelectorAll('.maelib-pair')];
  const files = filesOfPage();
  try {
    const [engine, scene] = [new Engine(files), await loadScene(files)];
    for (const place of places) place.driver = new Reconstruction(place, engine, scene, place === places[0]);
  } catch (error) {
    console.error(error); // the plain picture stays
  }
}

void start();
