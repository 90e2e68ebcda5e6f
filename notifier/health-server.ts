/** GET /health for container checks: 200 or 503, and each source's state as JSON. Holds names, times and codes only. */
import { createServer } from 'node:http';
import { BucardoError } from '../shared/errors/bucardo-error.ts';
import type { SourceHealth } from './source-watch.ts';

export interface NotifierHealth {
  /** Whether any source is well. One dead source must not get the process restarted that serves the others. */
  readonly well: boolean;
  readonly sources: Readonly<Record<string, SourceHealth>>;
}

export interface HealthEndpoint {
  /** The container's check runs inside the container: loopback by default. */
  readonly host?: string | undefined;
  /** 0 takes any free port. */
  readonly port: number;
}

export interface HealthServer {
  readonly port: number;
  close(): Promise<void>;
}

/** @throws BUC-UNEXPECTED if the address cannot be listened on */
export async function startHealthServer(
  { host = '127.0.0.1', port }: HealthEndpoint,
  health: () => NotifierHealth,
): Promise<HealthServer> {
  const server = createServer((request, response) => {
    if (request.url !== '/health' || (request.method !== 'GET' && request.method !== 'HEAD')) {
      response.writeHead(404).end();
      return;
    }
    const report = health();
    response
      .writeHead(report.well ? 200 : 503, { 'content-type': 'application/json', 'cache-control': 'no-store' })
      .end(JSON.stringify(report));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) =>
      reject(
        new BucardoError('BUC-UNEXPECTED', {
          detail: `the health endpoint cannot listen on ${host} port ${port}`,
          remedy: 'Stop the program that uses the port, or choose another one.',
          cause,
        }),
      ),
    );
    server.listen(port, host, resolve);
  });
  const address = server.address();
  return {
    port: typeof address === 'object' && address !== null ? address.port : port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
