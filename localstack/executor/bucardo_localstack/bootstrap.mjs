// Lambda's runtime for Node.js in short: loads _HANDLER from LAMBDA_TASK_ROOT and asks the Runtime API for invocations, one after the
// other. Handlers are async, as from nodejs24.x on. It ends with whoever started it.
import http from 'node:http';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

// Our end of a pipe that is never written to: it closes when LocalStack is gone, even in the middle of an invocation.
process.stdin.on('close', () => process.exit(1));
process.stdin.resume();
process.stdin.unref();

const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(':');
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

/** Rejects if the Runtime API is gone, which ends the process. */
function call(method, route, body) {
  return new Promise((resolve, reject) => {
    const payload = body === undefined ? undefined : Buffer.from(body);
    const headers = payload ? { 'content-type': 'application/json', 'content-length': payload.length } : {};
    const options = { host, port, agent, method, path: `/2018-06-01/runtime/${route}`, headers };
    const request = http.request(options, (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () =>
        resolve({
          statusCode: response.statusCode,
          headers: response.headers,
          body: Buffer.concat(chunks).toString(),
        }),
      );
    });
    request.on('error', reject).end(payload);
  });
}

function describe(error) {
  return JSON.stringify({
    errorType: error?.name ?? typeof error,
    errorMessage: error instanceof Error ? error.message : String(error),
    trace: error?.stack?.split('\n') ?? [],
  });
}

function named(name, message) {
  return Object.assign(new Error(message), { name });
}

async function loadHandler() {
  const spec = process.env._HANDLER;
  const dot = spec.indexOf('.', spec.lastIndexOf('/') + 1);
  const base = path.resolve(process.env.LAMBDA_TASK_ROOT, spec.slice(0, dot));
  const file = ['.js', '.mjs', '.cjs'].map((extension) => base + extension).find(existsSync);
  if (!file) throw named('Runtime.ImportModuleError', `Cannot find module '${spec.slice(0, dot)}'`);
  const module = await import(pathToFileURL(file).href);
  const name = spec.slice(dot + 1);
  const handler = module[name] ?? module.default?.[name];
  if (typeof handler !== 'function')
    throw named('Runtime.HandlerNotFound', `${spec} is undefined or not exported`);
  return handler;
}

function contextOf(headers) {
  const deadlineMs = Number(headers['lambda-runtime-deadline-ms']);
  return {
    awsRequestId: headers['lambda-runtime-aws-request-id'],
    invokedFunctionArn: headers['lambda-runtime-invoked-function-arn'],
    functionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
    functionVersion: process.env.AWS_LAMBDA_FUNCTION_VERSION,
    memoryLimitInMB: process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: process.env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: process.env.AWS_LAMBDA_LOG_STREAM_NAME,
    callbackWaitsForEmptyEventLoop: true,
    getRemainingTimeInMillis: () => deadlineMs - Date.now(),
  };
}

let handler;
try {
  handler = await loadHandler();
} catch (error) {
  console.error(error);
  await call('POST', 'init/error', describe(error));
  process.exit(1);
}
for (;;) {
  const { statusCode, headers, body } = await call('GET', 'invocation/next');
  if (statusCode !== 200) process.exit(0);
  process.env._X_AMZN_TRACE_ID = headers['lambda-runtime-trace-id'] ?? '';
  const context = contextOf(headers);
  const route = `invocation/${context.awsRequestId}`;
  try {
    const result = await handler(JSON.parse(body), context);
    await call('POST', `${route}/response`, JSON.stringify(result ?? null));
  } catch (error) {
    console.error(`ERROR\tInvoke Error\t${describe(error)}`);
    await call('POST', `${route}/error`, describe(error));
  }
}
