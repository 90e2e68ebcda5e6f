/** The apply function as AWS Lambda loads it: everything it is made of, read from top to bottom. */
import { readSettings } from '../../shared/config/environment.ts';
import { loadConfig } from '../../shared/config/load-config.ts';
import { resolveUrl } from '../../shared/config/secrets.ts';
import { powertoolsLog } from '../../shared/telemetry/powertools.ts';
import { createApplyHandler } from './create-handler.ts';
import { sendAnswer } from './send-answer.ts';

/** Per table; the function's own time must leave room for an answer. */
const GIVE_UP_AFTER_MS = 120_000;

const { logLevel } = readSettings();
const { fleet } = await loadConfig({ cwd: process.cwd() });

export const handler = createApplyHandler({
  fleet,
  resolveUrl,
  log: powertoolsLog('apply', logLevel),
  sendAnswer,
  giveUpAfterMs: GIVE_UP_AFTER_MS,
});
