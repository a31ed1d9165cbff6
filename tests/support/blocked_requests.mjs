// Which requests of a page filter lists block. Arguments: a file of requests as JSON, [{url, sourceUrl, type}, …], then
// the lists. Prints, for each request, the rule that blocks it, or an empty text.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const require = createRequire(join(process.cwd(), 'package.json'));
const { FiltersEngine, Request } = require('@ghostery/adblocker');

const [requests, ...lists] = process.argv.slice(2).map((path) => readFileSync(path, 'utf8'));
const engine = FiltersEngine.parse(lists.join('\n'), { debug: true, loadCosmeticFilters: false });
const found = JSON.parse(requests).map((request) => {
  const { match, filter } = engine.match(Request.fromRawDetails(request));
  return match ? filter.rawLine || String(filter) : '';
});
console.log(JSON.stringify(found));
