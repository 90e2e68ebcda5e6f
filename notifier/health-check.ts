/** The container's health check: exit status 0 if GET /health of the notifier beside it says that any source is well. */
import { readSettings } from '../shared/config/environment.ts';

const TIMEOUT_MS = 4_000;

const { health } = readSettings();
const host = health?.host ?? '127.0.0.1';
const url = `http://${host.includes(':') ? `[${host}]` : host}:${health?.port ?? 0}/health`;
try {
  const { ok } = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS) });
  process.exitCode = ok ? 0 : 1;
} catch {
  process.exitCode = 1;
}
