/**
 * Compiles what the package ships into dist/. Needed only for packing: Node strips types of files outside of
 * node_modules, so a checkout runs as it is. Exit status 1 if anything does not compile; dist/ is then left empty.
 */
import { spawnSync } from 'node:child_process';
import { copyFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const dist = join(root, 'dist');

rmSync(dist, { recursive: true, force: true });
const { status, error } = spawnSync(
  join(root, 'node_modules', '.bin', 'tsc'),
  ['--project', 'tsconfig.build.json'],
  { cwd: root, stdio: 'inherit' },
);
if (error !== undefined) console.error(`tsc did not start: ${error.message}; run npm install first`);
// The container's recipe is no TypeScript, and is needed beside the compiled notifier.
if (status === 0) copyFileSync(join(root, 'notifier/Dockerfile'), join(dist, 'notifier/Dockerfile'));
else rmSync(dist, { recursive: true, force: true });
process.exitCode = status === 0 ? 0 : 1;
