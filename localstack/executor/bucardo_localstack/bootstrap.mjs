// Lambda's runtime for Node.js in short: loads _HANDLER from LAMBDA_TASK_ROOT and asks the Runtime API for invocations, one after the
// other. A Runtime API that is gone ends the process, since the request for the next invocation rejects.
import http from 'node:http';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(':');
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
const call = (method, route, body) =>
  new Promise((resolve, reject) => {
    const payload = body === undefined ? undefined : Buffer.from(body);
    const headers = payload ? { 'content-type': 'application/json', 'content-length': payload.length } : {};
    const req = http.request(
      { host, port, agent, method, path: `/2018-06-01/runtime/${route}`, headers },
      (res) => {
        const chunks = [];
        res
          .on('data', (c) => chunks.push(c))
          .on('end', () => resolve({ headers: res.headers, body: Buffer.concat(chunks).toString() }));
      },
    );
    req.on('error', reject).end(payload);
  });
const describe = (e) =>
  JSON.stringify({
    errorType: e?.name ?? typeof e,
    errorMessage: e instanceof Error ? e.message : String(e),
    trace: e?.stack?.split('\n') ?? [],
  });

async function load() {
  const spec = process.env._HANDLER;
  const dot = spec.indexOf('.', spec.lastIndexOf('/') + 1);
  const [file, name] = [spec.slice(0, dot), spec.slice(dot + 1)];
  const base = path.resolve(process.env.LAMBDA_TASK_ROOT, file);
  const found = ['.js', '.mjs', '.cjs'].map((x) => base + x).find(existsSync);
  if (!found)
    throw Object.assign(new Error(`Cannot find module '${file}'`), { name: 'Runtime.ImportModuleError' });
  const mod = await import(pathToFileURL(found).href);
  const pick = (o) => name.split('.').reduce((v, k) => v?.[k], o);
  const handler = pick(mod) ?? pick(mod.default);
  if (typeof handler !== 'function')
    throw Object.assign(new Error(`${spec} is undefined or not exported`), {
      name: 'Runtime.HandlerNotFound',
    });
  return handler;
}

const run = (handler, event, context) =>
  new Promise((resolve, reject) => {
    const callback = (err, value) => (err ? reject(err) : resolve(value));
    const out = handler(event, context, callback);
    if (typeof out?.then === 'function') out.then(resolve, reject);
    else if (out !== undefined || handler.length < 3) resolve(out);
  });

let handler;
try {
  handler = await load();
} catch (e) {
  console.error(e);
  await call('POST', 'init/error', describe(e));
  process.exit(1);
}
for (;;) {
  const next = await call('GET', 'invocation/next');
  const h = next.headers;
  const id = h['lambda-runtime-aws-request-id'];
  const deadline = Number(h['lambda-runtime-deadline-ms']);
  process.env._X_AMZN_TRACE_ID = h['lambda-runtime-trace-id'] ?? '';
  const context = {
    awsRequestId: id,
    invokedFunctionArn: h['lambda-runtime-invoked-function-arn'],
    functionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
    functionVersion: process.env.AWS_LAMBDA_FUNCTION_VERSION,
    memoryLimitInMB: process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: process.env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: process.env.AWS_LAMBDA_LOG_STREAM_NAME,
    callbackWaitsForEmptyEventLoop: true,
    getRemainingTimeInMillis: () => deadline - Date.now(),
  };
  try {
    const result = await run(handler, JSON.parse(next.body), context);
    await call('POST', `invocation/${id}/response`, JSON.stringify(result ?? null));
  } catch (e) {
    console.error(`ERROR\tInvoke Error\t${describe(e)}`);
    await call('POST', `invocation/${id}/error`, describe(e));
  }
}
