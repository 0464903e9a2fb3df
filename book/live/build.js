// Bundles for the published pages: node build.js FOLDER writes scripts, style sheets and runtime.bin there.

import { build } from 'esbuild';
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';

const here = dirname(fileURLToPath(import.meta.url));
const out = process.argv[2];
if (!out) throw new Error('usage: node build.js FOLDER');

const common = {
  absWorkingDir: here,
  bundle: true,
  minify: true,
  outdir: out,
  logLevel: 'warning',
  legalComments: 'none',
  target: ['es2022'],
  define: { 'process.env.NODE_ENV': '"production"', global: 'window' },
};

// Descriptions of our widgets hold no HTML: the large package that cleans them is not needed.
const lean = {
  name: 'lean',
  setup(b) {
    b.onResolve({ filter: /^sanitize-html$/ }, () => ({ path: join(here, 'src', 'escape.js') }));
    b.onResolve({ filter: /^@jupyterlab\/services/ }, ({ path }) => ({ path, namespace: 'none' }));
    b.onLoad({ filter: /.*/, namespace: 'none' }, () => ({ contents: 'export {}' }));
  },
};

await Promise.all([
  build({
    ...common,
    entryPoints: { live: 'src/main.js' },
    format: 'iife',
    plugins: [lean],
    alias: { path: 'path-browserify' },
    loader: { '.svg': 'dataurl', '.woff2': 'empty', '.woff': 'empty', '.ttf': 'empty', '.eot': 'empty' },
  }),
  build({ ...common, entryPoints: { worker: 'src/worker.js' }, format: 'esm' }),
  build({ ...common, entryPoints: { reconstruction: 'src/pair.js' }, format: 'iife', loader: { '.html': 'text' } }),
]);

// 14 MB, compressed here because not every server does it.
const wasm = readFileSync(join(here, 'node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded.wasm'));
writeFileSync(join(out, 'runtime.bin'), gzipSync(wasm, { level: 9 }));
