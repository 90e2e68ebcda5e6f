/** What kind of value was found where another was wanted, in words, without the value. */

export function kindOf(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'a list';
  if (value instanceof Promise) return 'a promise';
  if (typeof value === 'object') {
    const name: unknown = Object.getPrototypeOf(value)?.constructor?.name;
    return typeof name !== 'string' || name === 'Object' ? 'an object' : `an object of class ${name}`;
  }
  return typeof value === 'bigint' ? 'a bigint' : `a ${typeof value}`;
}

/** Whether a value is an object as `{ … }` makes it: no list, no Map, no promise. */
export function isPlainObject(value: unknown): value is Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  // An object from another realm (a test runner's sandbox) has another Object.prototype, whose prototype is null too.
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}
