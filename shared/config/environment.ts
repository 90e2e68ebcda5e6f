/** The only reader of the process environment: the program's own settings, and the variables that `env()` names. */
import type { LogLevel } from '../telemetry/log.ts';

type Environment = Readonly<Record<string, string | undefined>>;

export interface Settings {
  /** URL of the queue of kicks, if there is a deployed one. The SDK itself reads region, credentials and endpoints. */
  readonly queueUrl: string | undefined;
  /** URL of the queue of dead letters, for the function that works on them. */
  readonly deadLetterQueueUrl: string | undefined;
  /** Whether dead letters are also events on the account's bus. */
  readonly events: boolean;
  /** The least level that is logged. An unknown LOG_LEVEL counts as `info`: a log setting must not stop a lane. */
  readonly logLevel: LogLevel;
  /** Where the notifier serves GET /health: BUCARDO_HEALTH_PORT and, if not on loopback, BUCARDO_HEALTH_HOST. */
  readonly health: { readonly host: string | undefined; readonly port: number } | undefined;
}

export function readSettings(environment: Environment = process.env): Settings {
  return {
    queueUrl: nonEmpty(environment['BUCARDO_QUEUE_URL']),
    deadLetterQueueUrl: nonEmpty(environment['BUCARDO_DEAD_LETTER_QUEUE_URL']),
    events: environment['BUCARDO_EVENTS'] === '1',
    logLevel: parseLogLevel(environment['LOG_LEVEL']),
    health: parseHealth(environment['BUCARDO_HEALTH_HOST'], environment['BUCARDO_HEALTH_PORT']),
  };
}

/** A variable's value. Undefined if it is not set or empty. */
export function readVariable(name: string, environment: Environment = process.env): string | undefined {
  return nonEmpty(environment[name]);
}

/** Without a usable port there is no endpoint, which the container's check then reports. */
function parseHealth(host: string | undefined, portText: string | undefined): Settings['health'] {
  const port = Number(nonEmpty(portText) ?? Number.NaN);
  return Number.isInteger(port) && port >= 0 && port <= 65_535 ? { host: nonEmpty(host), port } : undefined;
}

function parseLogLevel(text: string | undefined): LogLevel {
  const level = text?.toLowerCase();
  return level === 'debug' || level === 'warn' || level === 'error' ? level : 'info';
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === undefined || text.trim() === '' ? undefined : text.trim();
}
