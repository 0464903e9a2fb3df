// Files of the page. A pack is four bytes with the length of a JSON, the JSON, then blobs, whose places it has.
/** Address and size in bytes of every file that the page may ask for. */
export function filesOfPage() {
  const { root, files } = JSON.parse(document.getElementById('maelib-live').textContent);
  const address = ({ name, size }) => ({ url: new URL(root + name, document.baseURI).href, size });
  return Object.fromEntries(Object.entries(files).map(([key, file]) => [key, address(file)]));
}

/** The answer of the server, if it is a good one. */
export async function ask(url) {
  const response = await fetch(url);
  if (!response.ok) throw Object.assign(new Error(`${response.status} for ${url}`), { kind: 'server' });
  return response;
}

/** What `load` gives for a key, loaded once; what has failed is tried again at the next call. */
export function once(kept, key, load) {
  if (!kept.has(key)) {
    kept.set(key, load());
    kept.get(key).catch(() => kept.delete(key));
  }
  return kept.get(key);
}

export function openPack(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const about = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const blob = (i) => new Uint8Array(buffer, 4 + length + about.blobs[i][0], about.blobs[i][1]);
  return { about, blob };
}

/** The whole content of a response, with the number of bytes that have come; those of gzip are inflated. */
export async function read(response, progress = () => {}) {
  const parts = [];
  const reader = response.body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    progress(value.length);
  }
  return new Blob(parts);
}

/** A blob as an ArrayBuffer, inflated where it is gzip (a server may have done that already). */
export async function inflate(blob) {
  const start = new Uint8Array(await blob.slice(0, 2).arrayBuffer());
  if (start[0] !== 0x1f || start[1] !== 0x8b) return blob.arrayBuffer();
  return new Response(blob.stream().pipeThrough(new DecompressionStream('gzip'))).arrayBuffer();
}
