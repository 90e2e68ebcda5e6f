/**
 * Log lines are events: a stable dotted name and the same keys everywhere. Never row values, never URLs with passwords.
 * Programs choose where the lines go: JSON on standard error here, the Powertools logger in Lambda.
 */
import { asBucardoError } from '../errors/bucardo-error.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

/** One event. `event` is a stable dotted name such as `lane.run.completed`. */
export type Log = (level: LogLevel, event: string, fields?: LogFields) => void;

export const silentLog: Log = () => {};

/** Events as JSON lines, one object a line, for people and programs alike. */
export function jsonLog(write: (line: string) => void, leastLevel: LogLevel = 'info'): Log {
  const order: readonly LogLevel[] = ['debug', 'info', 'warn', 'error'];
  return (level, event, fields) => {
    if (order.indexOf(level) < order.indexOf(leastLevel)) return;
    write(`${JSON.stringify({ time: new Date().toISOString(), level, event, ...fields })}\n`);
  };
}

/** The loggable part of an error: code, text without values, what it concerns. */
export function errorFields(error: unknown): LogFields {
  const known = asBucardoError(error);
  return {
    ...known.concern,
    code: known.code,
    message: known.message,
    sqlstate: known.sqlstate,
    ...(known.code === 'BUC-UNEXPECTED' && known.cause instanceof Error
      ? { stack: placesOf(known.cause) }
      : {}),
  };
}

/** Where an unforeseen error came from: file and line only, since its message may quote anything. */
function placesOf(error: Error): string {
  const places = error.stack?.split('\n').filter((line) => /^\s+at /.test(line)) ?? [];
  return places
    .slice(0, 5)
    .map((line) => line.trim())
    .join(' | ');
}
