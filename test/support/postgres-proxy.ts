/**
 * A proxy in front of Postgres that understands just enough of its protocol to stop, cut or kill at an exact place: it counts
 * what the program asks (statements, pieces of COPY data, connecting), over all its connections, and asks the test what to
 * do before each one goes on. Nothing is changed on the way. Postgres manual, "Message Formats".
 */
import { connect as connectSocket, createServer, type Server, type Socket } from 'node:net';
import type { AddressInfo } from 'node:net';

/** One thing that the program asks of a server. */
export interface Asked {
  /** Counted from 1, over all servers of the proxy. */
  readonly number: number;
  readonly server: string;
  readonly kind: 'connect' | 'query' | 'prepared' | 'copy data' | 'copy done';
  /** The statement; empty where there is none. */
  readonly sql: string;
}

/**
 * - `pass`: goes on to the server.
 * - `cut before`: the connection breaks, the server never sees it.
 * - `cut after`: the server does it, the connection breaks before the program sees the answer.
 */
export type Decision = 'pass' | 'cut before' | 'cut after';

export interface PostgresProxy {
  /** Connection URL by way of the proxy. */
  url(server: string): string;
  /** What was asked since the last `forget`. */
  readonly asked: Asked[];
  /** Called for each; nothing more of that connection goes on until it has decided. */
  decide: (asked: Asked) => Decision | Promise<Decision>;
  /** Forgets what was asked, counts from 1 again, and lets everything pass. */
  forget(): void;
  /** Breaks all connections that there are now. */
  cutAll(): void;
  close(): Promise<void>;
}

/** Types of messages. What belongs to one prepared statement is held back until its Sync, and then goes as one. */
const QUERY = 'Q'.charCodeAt(0);
const PARSE = 'P'.charCodeAt(0);
const BIND = 'B'.charCodeAt(0);
const DESCRIBE = 'D'.charCodeAt(0);
const EXECUTE = 'E'.charCodeAt(0);
const SYNC = 'S'.charCodeAt(0);
const COPY_DATA = 'd'.charCodeAt(0);
const COPY_DONE = 'c'.charCodeAt(0);

/** @param servers real connection URLs by name */
export async function startPostgresProxy(servers: Readonly<Record<string, string>>): Promise<PostgresProxy> {
  const listeners = new Map<string, { readonly server: Server; readonly url: string }>();
  const sockets = new Set<Socket>();
  const proxy: PostgresProxy = {
    asked: [],
    decide: () => 'pass',
    url: (server) => listeners.get(server)?.url ?? '',
    forget() {
      proxy.asked.length = 0;
      proxy.decide = () => 'pass';
    },
    cutAll() {
      for (const socket of sockets) socket.destroy();
    },
    async close() {
      proxy.cutAll();
      await Promise.all(
        [...listeners.values()].map(({ server }) => new Promise((resolve) => server.close(resolve))),
      );
    },
  };

  function ask(server: string, kind: Asked['kind'], sql: string): Decision | Promise<Decision> {
    const asked = { number: proxy.asked.length + 1, server, kind, sql };
    proxy.asked.push(asked);
    return proxy.decide(asked);
  }

  function accept(name: string, real: URL, client: Socket): void {
    const upstream = connectSocket(Number(real.port), real.hostname);
    for (const socket of [client, upstream]) {
      socket.setNoDelay(true);
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    let deaf = false;
    upstream.on('data', (bytes) => {
      if (deaf) client.destroy();
      else if (!client.write(bytes)) {
        upstream.pause();
        client.once('drain', () => upstream.resume());
      }
    });
    void relay(client, upstream, name, () => (deaf = true)).catch(() => client.destroy());
  }

  async function relay(client: Socket, upstream: Socket, name: string, deafen: () => void): Promise<void> {
    let started = false;
    let waiting = Buffer.alloc(0);
    const statements = new Map<string, string>();
    let bound = '';
    let group: Buffer[] = [];
    for await (const bytes of client as AsyncIterable<Buffer>) {
      waiting = Buffer.concat([waiting, bytes]);
      for (;;) {
        const header = started ? 1 : 0;
        if (waiting.length < header + 4) break;
        const length = header + waiting.readUInt32BE(header);
        if (waiting.length < length) break;
        const message = waiting.subarray(0, length);
        waiting = waiting.subarray(length);
        const type = started ? message[0] : undefined;
        const text = (from: number): string => message.toString('utf8', from, message.indexOf(0, from));
        const afterText = (from: number): number => message.indexOf(0, from) + 1;
        let decision: Decision = 'pass';
        if (type === undefined) decision = await ask(name, 'connect', '');
        else if (type === QUERY) decision = await ask(name, 'query', text(5));
        else if (type === COPY_DATA) decision = await ask(name, 'copy data', '');
        else if (type === COPY_DONE) decision = await ask(name, 'copy done', '');
        else if (type === PARSE) statements.set(text(5), text(afterText(5)));
        else if (type === BIND) bound = statements.get(text(afterText(5))) ?? '';
        else if (type === SYNC) decision = await ask(name, 'prepared', bound);
        if (type === PARSE || type === BIND || type === DESCRIBE || type === EXECUTE) {
          group.push(message);
          continue;
        }
        started = true;
        if (decision === 'cut before') return void client.destroy();
        if (decision === 'cut after') deafen();
        const onward = Buffer.concat([...group, message]);
        group = [];
        if (!upstream.write(onward)) await new Promise((resolve) => upstream.once('drain', resolve));
      }
    }
    upstream.end();
  }

  for (const [name, url] of Object.entries(servers)) {
    const real = new URL(url);
    const server = createServer({ allowHalfOpen: false }, (client) => accept(name, real, client));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const shown = new URL(url);
    shown.port = String((server.address() as AddressInfo).port);
    listeners.set(name, { server, url: shown.href });
  }
  return proxy;
}

/** The same place in different runs: what is asked, and for which time. */
export function labeller(): (asked: Asked) => { readonly label: string; readonly time: number } {
  const times = new Map<string, number>();
  return ({ server, kind, sql }) => {
    const label = `${server} ${kind} ${sql.trim().replaceAll(/\s+/g, ' ').slice(0, 70).replaceAll(/\d+/g, 'n')}`;
    const time = (times.get(label) ?? 0) + 1;
    times.set(label, time);
    return { label: `${label} #${time}`, time };
  };
}
