/**
 * What the shop's applications do: each function is one transaction of a kind that replication has to get right. They
 * return how many rows their statements changed; what foreign keys cascade to comes on top of it.
 */
import type { Connection } from '../../shared/postgres/connection.ts';
import type { Random } from './random.ts';
import { CUSTOMERS, ORDERS, PRODUCTS } from './shop.ts';

export type Transaction = (db: Connection, random: Random) => Promise<number>;

/** Thrown to have a transaction rolled back on purpose: nothing of it may ever arrive. */
export class ChangedMind extends Error {}

const newCustomer: Transaction = (db, random) =>
  db.run(
    `insert into public.customers (email, name, profile) values ($1, $2, jsonb_build_object('visits', 0, 'source', $3::text))`,
    [
      `new${random.between(0, 2 ** 40)}@example.com`,
      `New customer ${random.between(1, 1_000_000)}`,
      random.pick(['web', 'shop', 'phone "direct"', 'back\\slash\ttab']),
    ],
  );

const visit: Transaction = (db, random) =>
  db.run(
    `update public.customers set profile = jsonb_set(profile, '{visits}', to_jsonb(coalesce((profile->>'visits')::int, 0) + 1))
     where id = $1`,
    [random.between(1, CUSTOMERS)],
  );

/** Several statements and tables; the order's own id is used by the lines. */
const placeOrder: Transaction = async (db, random) => {
  const { id } = await db.row<{ id: string }>(
    `insert into public.orders (customer_id, notes) values ($1, $2::jsonb) returning id`,
    [random.between(1, CUSTOMERS), random.pick([null, '{"gift": true}', '{"text": "déjà vu ✓"}'])],
  );
  // In the order of the keys, so that two such transactions do not wait for each other.
  const products = Array.from({ length: random.between(1, 4) }, () => random.between(1, PRODUCTS)).sort(
    (a, b) => a - b,
  );
  let changed = 1;
  for (const [index, product] of products.entries()) {
    const sku = skuLike(product);
    const quantity = random.between(1, 3);
    changed += await db.run(`update public.products set stock = stock - $2 where sku like $1`, [
      sku,
      quantity,
    ]);
    changed += await db.run(
      `insert into public.order_lines (order_id, line_no, sku, quantity, unit_price)
       select $1, $2, sku, $4, price from public.products where sku like $3`,
      [id, index + 1, sku, quantity],
    );
  }
  if (random.between(1, 20) === 1) throw new ChangedMind();
  return changed;
};

const pay: Transaction = (db, random) =>
  db.run(
    `update public.orders set status = 'paid' where id = (select id from public.orders where id >= $1 order by id limit 1)`,
    [random.between(1, ORDERS)],
  );

/** The lines go with it, by the foreign key. */
const cancelOrder: Transaction = (db, random) =>
  db.run(
    `delete from public.orders where id = (select id from public.orders where id >= $1 order by id limit 1)`,
    [random.between(1, ORDERS)],
  );

/** Changes the key of a row, and of every line that refers to it, by the foreign key. */
const renameProduct: Transaction = (db, random) =>
  db.run(`update public.products set sku = left(sku, 9) || '-' || $2::text where sku like $1`, [
    skuLike(random.between(1, PRODUCTS)),
    random.between(1, 99),
  ]);

/** Moves keys of a composite key, each into a place that becomes free in the same statement or was free. */
const renumberLines: Transaction = (db, random) =>
  db.run(`update public.order_lines set line_no = line_no + 100 where order_id = $1 and line_no < 100`, [
    random.between(1, ORDERS),
  ]);

/** Two rows swap a unique value: applied one by one, either would be refused. */
const swapEmails: Transaction = async (db, random) => {
  const first = random.between(1, CUSTOMERS - 1);
  const rows = await db.rows<{ id: string; email: string }>(
    `select id, email from public.customers where id in ($1, $2) order by id for update`,
    [first, random.between(first + 1, CUSTOMERS)],
  );
  const [a, b] = rows;
  if (a === undefined || b === undefined) return 0;
  const set = (id: string, email: string) =>
    db.run(`update public.customers set email = $2 where id = $1`, [id, email]);
  return (await set(a.id, `swapping-${a.id}`)) + (await set(b.id, a.email)) + (await set(a.id, b.email));
};

/** One statement, many rows. */
const reprice: Transaction = (db, random) =>
  db.run(
    `update public.products set price = round(price * $2::numeric, 2), repriced_at = clock_timestamp() where sku like $1`,
    [`SKU-${String(random.between(0, 19)).padStart(3, '0')}%`, random.pick(['1.03', '0.97'])],
  );

/** Part of a transaction is undone; the rest counts. */
const secondThoughts: Transaction = async (db, random) => {
  const changed = await visit(db, random);
  await db.script('savepoint thought');
  await newCustomer(db, random);
  await db.script('rollback to savepoint thought');
  return changed;
};

/** How often each kind is chosen, in parts of their sum. */
export const KINDS: readonly (readonly [parts: number, transaction: Transaction])[] = [
  [8, newCustomer],
  [30, visit],
  [30, placeOrder],
  [14, pay],
  [6, cancelOrder],
  [3, renameProduct],
  [4, renumberLines],
  [3, swapEmails],
  [1, reprice],
  [3, secondThoughts],
];

/** A product's key begins like this whatever it was renamed to. */
function skuLike(product: number): string {
  return `SKU-${String(product).padStart(5, '0')}%`;
}
