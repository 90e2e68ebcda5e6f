/** Every statement that this process sends to Postgres while `body` runs, COPY included. */
import { Client } from 'pg';

export async function recordStatements(body: () => Promise<void>): Promise<readonly string[]> {
  const statements = new Set<string>();
  // The driver's overloads; what it is called with is looked at and passed on.
  const { query } = Client.prototype as unknown as { query: (...values: unknown[]) => unknown };
  const record = function (this: Client, ...values: unknown[]): unknown {
    const [first] = values;
    if (typeof first === 'string') statements.add(first);
    else if (typeof first === 'object' && first !== null && 'text' in first)
      statements.add(String(first.text));
    return query.apply(this, values);
  };
  Object.assign(Client.prototype, { query: record });
  try {
    await body();
  } finally {
    Object.assign(Client.prototype, { query });
  }
  return [...statements];
}
