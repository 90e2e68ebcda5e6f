/** Reads a secret. The SDK takes tens of milliseconds to load; configurations without secret() never need it. */
import { notThere, type Store } from './value-store.ts';

const REASONS: Readonly<Record<string, string>> = {
  ResourceNotFoundException: 'there is no such secret in this account and region',
  AccessDeniedException: 'this role may not read the secret (secretsmanager:GetSecretValue)',
  DecryptionFailure: 'this role may not use the key of the secret (kms:Decrypt)',
  InvalidRequestException: 'the secret is being deleted',
};

export const secretsManager: Store = {
  name: 'Secrets Manager',
  reasons: REASONS,
  async read(id, signal) {
    const { SecretsManagerClient, GetSecretValueCommand } = await import('@aws-sdk/client-secrets-manager');
    const client = new SecretsManagerClient({ maxAttempts: 3 });
    try {
      const { SecretString } = await client.send(new GetSecretValueCommand({ SecretId: id }), {
        abortSignal: signal,
      });
      return SecretString ?? notThere('the secret holds no text');
    } finally {
      client.destroy();
    }
  },
};
