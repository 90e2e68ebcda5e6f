/** Databases of a server as a person moves them about: copied from a template, renamed, put in place of each other. */
import { withConnection } from '../../shared/postgres/connection.ts';

async function onServer(url: string, statements: (name: string) => readonly string[]): Promise<void> {
  const server = new URL(url);
  const name = server.pathname.slice(1);
  server.pathname = '/postgres';
  await withConnection({ database: 'server', url: server.href, purpose: 'test setup' }, async (db) => {
    for (const statement of statements(name)) await db.script(statement);
  });
}

/** A copy of the database as it is now. Nobody may be connected to it. */
export async function keepCopy(url: string): Promise<void> {
  await onServer(url, (name) => [
    `drop database if exists "${name}_copy"`,
    `create database "${name}_copy" template "${name}"`,
  ]);
}

/** The copy takes the database's place and name; the database is gone. */
export async function putCopyBack(url: string): Promise<void> {
  await onServer(url, (name) => [
    `drop database "${name}"`,
    `alter database "${name}_copy" rename to "${name}"`,
  ]);
}

/** Renames the database, and back. */
export async function renameTo(url: string, name: string): Promise<void> {
  await onServer(url, (old) => [`alter database "${old}" rename to "${name}"`]);
}
