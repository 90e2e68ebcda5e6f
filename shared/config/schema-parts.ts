/** Parts that the configuration's schemas are made of. Each message says what is wrong and what to do; none quotes a value. */
import * as v from 'valibot';
import { closestName } from './closest-name.ts';
import { isPlainObject, kindOf } from './kind-of.ts';

/** A value that `judge` finds nothing wrong with. */
export function judged<Value>(judge: (input: unknown) => string | undefined) {
  return v.custom<Value>(
    (input) => judge(input) === undefined,
    ({ input }) => judge(input) ?? '',
  );
}

export function judgedText<Value extends string = string>(
  what: string,
  judge: (text: string) => string | undefined,
) {
  return judged<Value>((input) => (typeof input === 'string' ? judge(input) : wanted(what, input)));
}

export function wanted(what: string, input: unknown): string {
  return input === undefined ? `is missing; write ${what}` : `must be ${what}, not ${kindOf(input)}`;
}

/** What people who know Bucardo, or guess, write instead. */
const OTHER_WORDS: Readonly<Record<string, string>> = {
  dbs: "write 'sources' and 'targets'",
  source: "write 'sources', a list",
  target: "write 'targets', a list",
  herd: "write 'tables'",
  relgroup: "write 'tables'",
  relations: "write 'tables'",
  onetimecopy: "write 'copy'",
  checktime: "write 'schedule'",
  conflict_strategy: "'conflict' comes with several sources, which are not supported yet",
  sequences: 'sequences are not supported yet',
  password: 'no password may be in the file; put the whole URL into a variable or secret',
  host: "write 'url', one URL for all parts of the connection",
  port: "write 'url', one URL for all parts of the connection",
  user: "write 'url', one URL for all parts of the connection",
};

/** An object with known keys only. `required` says what to write for each key that must be there. */
export function section<const Entries extends v.ObjectEntries>(
  what: string,
  entries: Entries,
  required: Readonly<Record<string, string>> = {},
) {
  const keys = Object.keys(entries);
  return v.pipe(
    v.custom<Readonly<Record<string, unknown>>>(isPlainObject, ({ input }) => wanted(what, input)),
    v.looseObject(entries, ({ expected }) => {
      const key = expected?.replaceAll('"', '') ?? '';
      return `is missing; write ${required[key] ?? `'${key}'`}`;
    }),
    v.rawCheck(({ dataset, addIssue }) => {
      const input: unknown = dataset.value;
      if (!isPlainObject(input)) return;
      for (const key of Object.keys(input).filter((name) => !keys.includes(name))) {
        const meant = closestName(key, keys);
        const hint = OTHER_WORDS[key] ?? (meant === undefined ? undefined : `did you mean '${meant}'?`);
        addIssue({
          message: `is no known key; ${hint ?? `known here: ${keys.join(', ')}`}`,
          path: [{ type: 'object', origin: 'key', input: { ...input }, key, value: input[key] }],
        });
      }
    }),
  );
}

export const flag = judged<boolean>((input) =>
  typeof input === 'boolean' ? undefined : wanted('true or false', input),
);
