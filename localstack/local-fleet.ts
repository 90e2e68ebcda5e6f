/** The fleet that these commands deploy. */
import { join } from 'node:path';
import { STATE_FOLDER } from './state.ts';

export const LOCAL_FLEET = {
  configFile: join(import.meta.dirname, 'bucardo.config.ts'),
  fleetName: 'local',
  outDir: join(STATE_FOLDER, 'cdk.out'),
} as const;
