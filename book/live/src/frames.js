// States that Python has computed when the book was built: a picture for each role, and a text.

import { openPack, read } from './pack.js';

const packs = new Map(); // one for each address, however many explorers a page has

function loadFrames(address) {
  if (!packs.has(address)) {
    const loading = fetch(address).then(async (response) => {
      if (!response.ok) throw new Error(`${response.status} for ${address}`);
      return openPack(await (await read(response)).arrayBuffer());
    });
    loading.catch(() => packs.delete(address)); // so that the next move tries again
    packs.set(address, loading);
  }
  return packs.get(address);
}

/** Show the frame of the explorer's present state. */
function showFrame(explorer, { about, blob }) {
  const frame = about.frames[about.controls.map((role) => explorer.raw(role)).join('|')];
  for (const [role, i] of Object.entries(frame.pictures)) explorer.picture(role, blob(i), about.format);
  explorer.text(about.texts[frame.text]);
}

/** An explorer whose every state is a frame. */
export function driveByFrames(explorer, address) {
  const update = async () => {
    try {
      const pack = await loadFrames(address);
      explorer.say('');
      showFrame(explorer, pack); // the state of now, not of when the loading began
      explorer.mark('frames');
    } catch (error) {
      explorer.say('The pictures of this explorer could not be loaded. Move a control to try again.');
      explorer.mark('failed');
      console.warn(error);
    }
  };
  for (const role of Object.keys(explorer.roles))
    if (!explorer.images.includes(role) && !['text', 'status', 'play'].includes(role)) explorer.onChange(role, update);
}
