/** Builds what is committed: the script the gateway serves (`served/<version>`) and the files of both packages.
 *
 *     node build.mjs          write them
 *     node build.mjs --check  exit 1 where they are not what a fresh build makes, or a published version has changed
 */

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = dirname(fileURLToPath(import.meta.url));
const read = (...path) => readFileSync(join(here, ...path), 'utf8');
const { version } = JSON.parse(read('packages', 'web-sdk', 'package.json'));
/** Properties no other code sees: minified files have short names for them. */
const INTERNAL =
  'address adopt agent bytes compare consentState delivery drop expire hold ifGone isFresh isKnown isOwn isRepeat ' +
  'items json keep leave names others pause place queue queued rank read readVisitor refresh release resume retryAfter ' +
  'see setUser setVisitor site stay store takeVisitor taken visitor wake write writeVisitor';
const TARGETS = { browser: 'es2018', miniprogram: 'es2016' };

async function bundle(entry, format, target, minify) {
  const { outputFiles } = await build({
    absWorkingDir: here,
    entryPoints: [`src/${entry}.ts`],
    bundle: true,
    write: false,
    charset: 'utf8',
    legalComments: 'none',
    define: { VERSION: JSON.stringify(version) },
    format,
    // Names the exports of CommonJS so that Node.js finds them.
    platform: format === 'cjs' ? 'node' : 'browser',
    target,
    minify,
    ...(minify && { mangleProps: new RegExp(`^(${INTERNAL.replace(/ /g, '|')})$`) }),
  });
  return outputFiles[0].text;
}

/** The declarations of a package: the types of the calls, and the one thing that is exported. */
function declarations() {
  return `${read('src', 'api.ts')}\nexport declare const AttriKit: AttriKitApi;\nexport default AttriKit;\n`;
}

function integrity(text) {
  return `sha384-${createHash('sha384').update(text).digest('base64')}`;
}

function integrityFile(files) {
  const entries = Object.entries(files).map(([name, text]) => [name, integrity(text)]);
  return `${JSON.stringify({ version, files: Object.fromEntries(entries) }, null, 2)}\n`;
}

/** Path → text of everything that is built. */
async function outputs() {
  const served = {
    'attrikit.min.js': await bundle('browser/global', 'iife', TARGETS.browser, true),
    'attrikit.esm.js': await bundle('browser/index', 'esm', TARGETS.browser, true),
  };
  const types = declarations();
  return {
    [`served/${version}/attrikit.min.js`]: served['attrikit.min.js'],
    [`served/${version}/attrikit.esm.js`]: served['attrikit.esm.js'],
    [`served/${version}/integrity.json`]: integrityFile(served),
    'packages/web-sdk/lib/attrikit.min.js': served['attrikit.min.js'],
    'packages/web-sdk/lib/index.mjs': await bundle('browser/index', 'esm', TARGETS.browser, false),
    'packages/web-sdk/lib/index.cjs': await bundle('browser/index', 'cjs', TARGETS.browser, false),
    'packages/web-sdk/lib/index.d.mts': types,
    'packages/web-sdk/lib/index.d.cts': types,
    'packages/miniprogram-sdk/miniprogram_dist/index.js': await bundle('miniprogram/index', 'cjs', TARGETS.miniprogram, false),
    'packages/miniprogram-sdk/miniprogram_dist/index.d.ts': types,
  };
}

/** Names of files of published versions that are not what their `integrity.json` says. */
function changedVersions() {
  const folder = join(here, 'served');
  const versions = existsSync(folder) ? readdirSync(folder) : [];
  return versions.flatMap((name) => {
    const { files } = JSON.parse(read('served', name, 'integrity.json'));
    const isChanged = (file) => integrity(read('served', name, file)) !== files[file];
    return Object.keys(files).filter(isChanged).map((file) => `served/${name}/${file}`);
  });
}

const made = await outputs();
if (process.argv.includes('--check')) {
  const isSame = ([path, text]) => existsSync(join(here, path)) && read(path) === text;
  const differing = Object.entries(made).filter((entry) => !isSame(entry)).map(([path]) => path);
  const wrong = [...new Set([...differing, ...changedVersions()])];
  if (wrong.length) {
    console.error(`not what a fresh build makes (make sdk): ${wrong.join(', ')}`);
    process.exit(1);
  }
  console.log(`SDK ${version}: ${Object.keys(made).length} built files are those of a fresh build`);
} else {
  for (const [path, text] of Object.entries(made)) {
    mkdirSync(dirname(join(here, path)), { recursive: true });
    writeFileSync(join(here, path), text);
    console.log(`${relative(process.cwd(), join(here, path))}  ${Buffer.byteLength(text)} bytes`);
  }
}
