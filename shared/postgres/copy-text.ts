/**
 * The COPY text format: lines of tab-separated fields, `\\N` for NULL, backslash escapes.
 * Source: the Postgres manual, "COPY", section "Text Format".
 */
import type { Readable } from 'node:stream';

export type Field = string | null;

const ESCAPES: Readonly<Record<string, string>> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' };

/** Fields of one line, without its newline. */
function parseCopyLine(line: string): readonly Field[] {
  return line.split('\t').map(parseField);
}

/** Lines of whole COPY output. */
export function parseCopyText(bytes: Buffer): readonly (readonly Field[])[] {
  if (bytes.length === 0) return [];
  // COPY escapes newlines within values, so every newline ends a line; the last line ends in one too.
  return bytes.toString('utf8').slice(0, -1).split('\n').map(parseCopyLine);
}

function parseField(field: string): Field {
  if (field === '\\N') return null;
  if (!field.includes('\\')) return field;
  return field.replaceAll(/\\(.)/gs, (_, letter: string) => ESCAPES[letter] ?? letter);
}

export type Prefix =
  | { readonly whole: true; readonly bytes: Buffer }
  | { readonly whole: false; readonly bytes: Buffer; readonly rest: AsyncIterator<Buffer> };

/** Reads a stream up to about `limitBytes`: all of it if it is that short, else what was read and the rest. */
export async function readPrefix(stream: Readable, limitBytes: number): Promise<Prefix> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  const rest = stream[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  for (;;) {
    const next = await rest.next();
    if (next.done === true) return { whole: true, bytes: Buffer.concat(chunks) };
    chunks.push(next.value);
    bytes += next.value.length;
    if (bytes > limitBytes) return { whole: false, bytes: Buffer.concat(chunks), rest };
  }
}
