/** A log line of a function as a person reads it. Pure. */

export interface LogLineOptions {
  readonly sync: string;
  readonly errors?: true;
  readonly json?: true;
}

/** Shown at their own place, or of no use to a person. */
const LEFT_OUT = new Set([
  'level',
  'timestamp',
  'service',
  'event',
  'message',
  'sync',
  'requestId',
  'sampling_rate',
  'xray_trace_id',
]);

/** Undefined for what is left out: other syncs’ lines, measurements, and with `errors` what is none. */
export function logLine(text: string, { sync, errors, json }: LogLineOptions): string | undefined {
  const fields = parse(text);
  // Measurements in embedded metric format are for CloudWatch.
  if (fields === undefined || '_aws' in fields || typeof fields['event'] !== 'string') return undefined;
  if (fields['sync'] !== sync) return undefined;
  const level = textOf(fields['level']);
  if (errors === true && level !== 'WARN' && level !== 'ERROR') return undefined;
  if (json === true) return text;
  const rest = Object.entries(fields)
    .filter(([key]) => !LEFT_OUT.has(key))
    .map(([key, value]) => `${key}=${String(value)}`);
  const { event, message } = fields;
  const told = typeof message === 'string' && message !== event ? [`– ${message}`] : [];
  return [textOf(fields['timestamp']), level.padEnd(5), event, ...rest, ...told].join(' ');
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function parse(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null
      ? (value as Readonly<Record<string, unknown>>)
      : undefined;
  } catch {
    return undefined;
  }
}
