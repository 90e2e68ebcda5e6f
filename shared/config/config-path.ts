/** Where something stands in the configuration, as one would write it in code: `syncs.orders.targets[1]`. */

export function configPath(keys: readonly unknown[]): string {
  return keys.reduce<string>((left, key) => left + step(key, left === ''), '');
}

function step(key: unknown, first: boolean): string {
  if (typeof key === 'number') return `[${key}]`;
  const text = String(key);
  if (!/^[A-Za-z_$][\w$]*$/.test(text)) return `[${JSON.stringify(text)}]`;
  return first ? text : `.${text}`;
}
