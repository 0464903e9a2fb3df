// A pack is one file: four bytes with the length of a JSON, the JSON, then blobs; `blobs` in the JSON has [start, length] of each.

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
