/** The Docker build context of the notifier: its bundle, the configuration, the health check and the Dockerfile; nothing else. */
import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Fleet } from '../shared/config/types.ts';
import { bundleProgram, programFile } from './bundle.ts';
import { unusedPackages } from './unused-packages.ts';

export interface NotifierImageOptions {
  readonly fleet: Fleet;
  readonly configFile: string;
  readonly outDir: string;
}

export function writeNotifierContext({ fleet, configFile, outDir }: NotifierImageOptions): void {
  const appDir = join(outDir, 'app');
  mkdirSync(appDir, { recursive: true });
  bundleProgram({
    outDir: appDir,
    leaveOut: unusedPackages(fleet),
    entries: {
      main: programFile('notifier/main'),
      health: programFile('notifier/health-check'),
      'bucardo.config': configFile,
    },
  });
  copyFileSync(fileURLToPath(new URL('../notifier/Dockerfile', import.meta.url)), join(outDir, 'Dockerfile'));
}
