/**
 * Logging in to RDS with the program's own role: a token signed here takes the password's place. Signing asks nobody but the
 * role's credentials.
 */
import { readVariable } from './environment.ts';
import type { IamLogin } from './types.ts';

/** RDS takes a token for fifteen minutes. Kept for less, since a changed URL makes warm connections unfit. */
const KEPT_MS = 10 * 60_000;

const DEFAULT_PORT = 5432;

const kept = new Map<string, { readonly token: Promise<string>; readonly untilMs: number }>();

/** The URL with the user and a token, and with TLS that verifies the server: a token must not reach another. */
export async function withToken(urlText: string, { user }: IamLogin): Promise<string> {
  const url = new URL(urlText);
  const port = url.port === '' ? DEFAULT_PORT : Number(url.port);
  url.username = encodeURIComponent(user);
  url.password = encodeURIComponent(await tokenFor(url.hostname, port, user));
  url.searchParams.set('sslmode', 'verify-full');
  return url.toString();
}

async function tokenFor(hostname: string, port: number, user: string): Promise<string> {
  const key = `${user}@${hostname}:${port}`;
  const known = kept.get(key);
  if (known !== undefined && known.untilMs > Date.now()) return await known.token;
  const token = sign(hostname, port, user);
  kept.set(key, { token, untilMs: Date.now() + KEPT_MS });
  try {
    return await token;
  } catch (error) {
    kept.delete(key);
    throw error;
  }
}

async function sign(hostname: string, port: number, username: string): Promise<string> {
  const { Signer } = await import('@aws-sdk/rds-signer');
  const region = regionOf(hostname) ?? readVariable('AWS_REGION');
  return await new Signer({
    hostname,
    port,
    username,
    ...(region === undefined ? {} : { region }),
  }).getAuthToken();
}

/** `shop.abc123.eu-west-1.rds.amazonaws.com` says where it is; a name of one's own does not. */
function regionOf(hostname: string): string | undefined {
  return /\.([a-z]{2}(?:-[a-z]+)+-\d)\.rds\.amazonaws\.com(?:\.cn)?$/.exec(hostname)?.[1];
}
