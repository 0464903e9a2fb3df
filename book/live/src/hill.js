// The picture of the game's score: a hill of random masks, a needle that walks over it, a flag where a search got.
const [BASE, TALL, BINS] = [52, 42, 61];

/** `values`, `search` and `score` in dB; `you` names the needle, `picks` the hill. */
export function drawHill(place, { values, search, score, you, picks }) {
  if (!values.length) return void place.replaceChildren();
  const width = place.clientWidth || 704;
  const [low, top] = [Math.min(...values), Math.max(...values)];
  const high = Math.max(search ?? top + 1.5, score ?? 0, top);
  const from = low - 0.35 * (high - low || 1);
  const x = (value) => 12 + ((Math.max(value, from) - from) / (high - from)) * (width - 64);
  const hill = outline(values, low, top, x);
  if (!place.querySelector('svg')) place.innerHTML = '<svg role="img"></svg>';
  const svg = place.querySelector('svg');
  svg.setAttribute('viewBox', `0 0 ${width} 74`);
  const reached = score === null ? '' : `; the present choice ${score.toFixed(1)} dB`;
  svg.setAttribute('aria-label', `how close paintings of ${picks} come to the photo${reached}`);
  const needle = svg.querySelector('.you') ?? document.createElementNS('http://www.w3.org/2000/svg', 'g');
  needle.setAttribute('class', 'you');
  const won = score === null ? 0 : x(score);
  svg.innerHTML = `<path class="random" d="${hill}"/>
    <path class="won" d="${hill}" style="clip-path: inset(0 ${width - won}px 0 0)"/>
    <line class="base" x1="0" x2="${width}" y1="${BASE}" y2="${BASE}"/>${search === undefined ? '' : flag(x(search))}
    <text x="${x((low + top) / 2)}" y="70" text-anchor="middle">${picks}</text>
    <text x="${width}" y="70" text-anchor="end">closer to the photo →</text>`;
  if (score === null) return;
  const near = Math.abs(won - x(search)) < 46;
  needle.innerHTML = `<line y1="14" y2="${BASE - 8}"/><path d="M0,${BASE} l-7,-11 h14 z"/>
    <text y="10" x="${near ? -34 : 0}" text-anchor="middle">${you}</text>`;
  needle.style.transform = `translateX(${won}px)`;
  svg.append(needle);
}

/** Smoothed counts of the values, as a path. */
function outline(values, low, top, x) {
  const bins = Array.from({ length: BINS }, (_, i) => low - 0.3 + (i / (BINS - 1)) * (top - low + 0.6));
  const wide = Math.max((top - low) / 14, 0.05);
  const heights = bins.map((bin) => values.reduce((sum, v) => sum + Math.exp(-0.5 * ((v - bin) / wide) ** 2), 0));
  const tall = Math.max(...heights);
  const points = bins.map((bin, i) => `${x(bin).toFixed(1)},${(BASE - (heights[i] / tall) * TALL).toFixed(1)}`);
  return `M${x(bins[0])},${BASE} L${points.join(' ')} L${x(bins.at(-1))},${BASE} Z`;
}

const flag = (at) => `<g class="flag" transform="translate(${at},0)"><line y1="14" y2="${BASE}"/>
  <text y="10" text-anchor="middle">a search</text></g>`;
