/** What must not compile. `tsc` checks every expect-error line of this file: one that compiles is reported as unused. */
import { expect, test } from 'vitest';
import { defineConfig, env, type FleetConfig, secret } from '../../shared/config/index.ts';

const shop = { engine: 'postgres', url: env('SHOP_URL') } as const;
const reports = { engine: 'postgres', url: secret('reports', { field: 'url' }) } as const;
const databases = { shop, reports };

test('a configuration is passed through as it is, groups as constants included', () => {
  const everyTarget = ['reports'] as const;
  const money = ['public.invoices', { table: 'public.payments', capture: 'row' }] as const;
  const config = defineConfig({
    databases,
    syncs: { orders: { sources: ['shop'], targets: everyTarget, tables: [...money, 'public.orders'] } },
  });
  expect(config.syncs['orders']?.targets).toBe(everyTarget);
  const typed: FleetConfig<'shop' | 'reports'> = config;
  expect(typed).toBe(config);
});

test('mistakes that types can see do not compile', () => {
  const configs = [
    defineConfig({
      databases,
      // @ts-expect-error there is no database 'report'
      syncs: { orders: { sources: ['shop'], targets: ['report'], tables: ['public.orders'] } },
    }),
    defineConfig({
      databases,
      // @ts-expect-error there is no database 'erp'
      syncs: { orders: { sources: ['erp'], targets: ['reports'], tables: ['public.orders'] } },
    }),
    defineConfig({
      databases,
      // @ts-expect-error targets are missing
      syncs: { orders: { sources: ['shop'], tables: ['public.orders'] } },
    }),
    defineConfig({
      databases,
      syncs: {
        // @ts-expect-error no such key
        orders: { sources: ['shop'], targets: ['reports'], tables: ['public.orders'], tabels: [] },
      },
    }),
    defineConfig({
      databases,
      syncs: {
        // @ts-expect-error no schedule
        orders: { sources: ['shop'], targets: ['reports'], tables: ['public.orders'], schedule: 'daily' },
      },
    }),
    defineConfig({
      databases,
      syncs: {
        // @ts-expect-error no copy policy
        orders: { sources: ['shop'], targets: ['reports'], tables: ['public.orders'], copy: 'sometimes' },
      },
    }),
    defineConfig({
      // @ts-expect-error no engine so far
      databases: { shop, cache: { engine: 'redis', url: env('CACHE_URL') } },
      syncs: {},
    }),
    defineConfig({
      // @ts-expect-error a variable may be unset; env() is what is meant
      databases: { shop: { engine: 'postgres', url: process.env['SHOP_URL'] } },
      syncs: {},
    }),
  ];
  expect(configs).toHaveLength(8);
});
