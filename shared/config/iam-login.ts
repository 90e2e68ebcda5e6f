/**
 * Logging in to RDS with the program's own role: a token signed here takes the password's place. Signing asks nobody but the
 * role's credentials.
 */
import { readVariable } from './environment.ts';
import type { IamLogin } from './types.ts';
import { asNotThere, notThere } from './value-store.ts';

/** RDS takes a token for fifteen minutes. Kept at all since a changed URL makes warm connections unfit. */
const KEPT_MS = 10 * 60_000;

const DEFAULT_PORT = 5432;

interface Kept {
  readonly token: Promise<string>;
  readonly sinceMs: number;
}

const kept = new Map<string, Kept>();

/** Parts of a URL that the driver takes from its parameters too, where they would win. */
const PARAMETERS = ['user', 'password', 'host', 'port', 'ssl'];

/**
 * The URL with the user and a token, and with TLS that verifies the server: a token must not reach another.
 * @throws NotThere without the URL
 */
export async function withToken(urlText: string, { user }: IamLogin): Promise<string> {
  const url = URL.canParse(urlText) ? new URL(urlText) : undefined;
  if (url === undefined || url.hostname === '') return notThere('the URL has no host name');
  for (const name of PARAMETERS) url.searchParams.delete(name);
  const port = url.port === '' ? DEFAULT_PORT : Number(url.port);
  url.username = encodeURIComponent(user);
  url.password = encodeURIComponent(await tokenFor(url.hostname.toLowerCase(), port, user));
  url.searchParams.set('sslmode', 'verify-full');
  return url.toString();
}

/** Of all servers where this user logs in: signing anew costs nothing. */
export function forgetTokens({ user }: IamLogin): void {
  for (const key of kept.keys()) if (key.startsWith(`${user}@`)) kept.delete(key);
}

async function tokenFor(hostname: string, port: number, user: string): Promise<string> {
  const key = `${user}@${hostname}:${port}`;
  const known = kept.get(key);
  if (known !== undefined && Date.now() - known.sinceMs < KEPT_MS) return await known.token;
  const entry: Kept = { token: sign(hostname, port, user), sinceMs: Date.now() };
  kept.set(key, entry);
  try {
    return await entry.token;
  } catch (error) {
    // A newer attempt's entry is not this one's to remove.
    if (kept.get(key) === entry) kept.delete(key);
    throw error;
  }
}

async function sign(hostname: string, port: number, username: string): Promise<string> {
  const { Signer } = await import('@aws-sdk/rds-signer');
  const region = regionOf(hostname) ?? readVariable('AWS_REGION');
  const signer = new Signer({ hostname, port, username, ...(region === undefined ? {} : { region }) });
  try {
    return await signer.getAuthToken();
  } catch (error) {
    throw asNotThere('AWS', error);
  }
}

/** `shop.abc123.eu-west-1.rds.amazonaws.com` says where it is; a name of one's own does not. */
function regionOf(hostname: string): string | undefined {
  return /\.([a-z]{2}(?:-[a-z]+)+-\d)\.rds\.amazonaws\.com(?:\.cn)?$/.exec(hostname)?.[1];
}
