/**
 * `npm run bench -- NAME`: runs bench/NAME.ts, prints a line a figure, and writes all of them with what they depend on to
 * bench/results/NAME.json. Exit status 1 if a bound is missed, 2 if there is no such benchmark.
 */
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { type Bench, displayFigure, type Figure, meets } from './bench.ts';

const FRAME = new Set(['main.ts', 'bench.ts']);
const folder = import.meta.dirname;
const names = readdirSync(folder)
  .filter((file) => file.endsWith('.ts') && !FRAME.has(file))
  .map((file) => file.slice(0, -'.ts'.length));

async function load(name: string): Promise<Bench> {
  const { bench } = (await import(`./${name}.ts`)) as { readonly bench: Bench };
  return bench;
}

const [wanted] = process.argv.slice(2);
if (wanted === undefined || !names.includes(wanted)) {
  console.error('usage: npm run bench -- NAME');
  for (const name of names) console.error(`  ${name.padEnd(12)} ${(await load(name)).title}`);
  process.exit(2);
}

const startedAt = new Date();
const figures: Figure[] = [];
const conditions = await (
  await load(wanted)
).run((figure) => {
  figures.push(figure);
  console.log(displayFigure(figure));
});
const result = {
  bench: wanted,
  startedAt: startedAt.toISOString(),
  seconds: Math.round((Date.now() - startedAt.getTime()) / 1000),
  machine: {
    processors: cpus().length,
    model: cpus()[0]?.model,
    memoryMegabytes: Math.round(totalmem() / 2 ** 20),
    node: process.version,
  },
  conditions,
  figures,
};
mkdirSync(join(folder, 'results'), { recursive: true });
writeFileSync(join(folder, 'results', `${wanted}.json`), `${JSON.stringify(result, null, 2)}\n`);
process.exitCode = figures.every((figure) => meets(figure, 'limit')) ? 0 : 1;
