/**
 * A proxy in front of the in-process SQS that misbehaves on request, for the failures that no well server shows:
 * throttling, entries of a batch refused, answers lost on the way, silence.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export type Fault =
  /** Refused before it reaches the queue, with this error name and status. */
  | { readonly kind: 'refuse'; readonly name: string; readonly status: number }
  /** Only these entries of a SendMessageBatch (by position) reach the queue; the others are reported as failed. */
  | { readonly kind: 'accept only'; readonly positions: readonly number[]; readonly senderFault: boolean }
  /** The queue does what was asked, but the connection breaks before the answer. */
  | { readonly kind: 'lose answer' }
  | { readonly kind: 'silence' };

export interface SqsProxy {
  readonly endpoint: string;
  /** Names of the actions received, in order. */
  readonly actions: string[];
  /** Faults for the next requests, used up one by one; then everything passes. */
  readonly faults: Fault[];
  close(): Promise<void>;
}

interface BatchEntry {
  readonly Id: string;
}

export async function startSqsProxy(target: string): Promise<SqsProxy> {
  const actions: string[] = [];
  const faults: Fault[] = [];

  async function forward(request: IncomingMessage, body: string): Promise<Response> {
    return await fetch(target, {
      method: 'POST',
      headers: {
        'content-type': request.headers['content-type'] ?? '',
        'x-amz-target': String(request.headers['x-amz-target']),
        authorization: request.headers.authorization ?? '',
      },
      body,
    });
  }

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await textOf(request);
    actions.push(String(request.headers['x-amz-target']).replace('AmazonSQS.', ''));
    const fault = faults.shift();
    const json = { 'content-type': 'application/x-amz-json-1.0' };
    switch (fault?.kind) {
      case undefined: {
        const passed = await forward(request, body);
        response.writeHead(passed.status, json).end(await passed.text());
        return;
      }
      case 'refuse':
        response
          .writeHead(fault.status, json)
          .end(
            JSON.stringify({ __type: `com.amazonaws.sqs#${fault.name}`, message: 'as the test wants it' }),
          );
        return;
      case 'accept only': {
        const { Entries, ...rest } = JSON.parse(body) as { Entries: BatchEntry[] };
        const taken = Entries.filter((_, position) => fault.positions.includes(position));
        const refused = Entries.filter((_, position) => !fault.positions.includes(position)).map(
          ({ Id }) => ({ Id, SenderFault: fault.senderFault, Code: 'InternalError', Message: 'test' }),
        );
        const passed = await forward(request, JSON.stringify({ ...rest, Entries: taken }));
        const result = (await passed.json()) as object;
        response.writeHead(passed.status, json).end(JSON.stringify({ ...result, Failed: refused }));
        return;
      }
      case 'lose answer':
        await (await forward(request, body)).text();
        request.socket.destroy();
        return;
      case 'silence':
        return;
    }
  }

  const server = createServer((request, response) => {
    answer(request, response).catch(() => request.socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    endpoint: `http://127.0.0.1:${port}`,
    actions,
    faults,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

async function textOf(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of request) text += String(chunk);
  return text;
}
