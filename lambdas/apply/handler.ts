/** The apply function as AWS Lambda loads it: everything it is made of, read from top to bottom. */
import { readSettings } from '../../shared/config/environment.ts';
import { loadConfig } from '../../shared/config/load-config.ts';
import { withFleetDatabase } from '../../shared/config/with-fleet-database.ts';
import { powertoolsLog } from '../../shared/telemetry/powertools.ts';
import { createApplyHandler } from './create-handler.ts';
import { sendAnswer } from './send-answer.ts';

/** Per table; the function's own time must leave room for an answer. */
const GIVE_UP_AFTER_MS = 120_000;

const { logLevel } = readSettings();
const { fleet } = await loadConfig({ cwd: process.cwd() });

export const handler = createApplyHandler({
  fleet,
  withDatabase: withFleetDatabase(fleet, 'apply'),
  log: powertoolsLog('apply', logLevel),
  sendAnswer,
  giveUpAfterMs: GIVE_UP_AFTER_MS,
});
