/** Reads a parameter of Systems Manager, decrypted. The SDK is loaded only where parameter() is used. */
import { notThere, type Store } from './value-store.ts';

const REASONS: Readonly<Record<string, string>> = {
  ParameterNotFound: 'there is no such parameter in this account and region',
  ParameterVersionNotFound: 'the parameter has no such version',
  AccessDeniedException: 'this role may not read the parameter (ssm:GetParameter)',
  InvalidKeyId: 'this role may not use the key of the parameter (kms:Decrypt)',
};

export const parameterStore: Store = {
  name: 'Parameter Store',
  reasons: REASONS,
  async read(name, signal) {
    const { SSMClient, GetParameterCommand } = await import('@aws-sdk/client-ssm');
    const client = new SSMClient({ maxAttempts: 3 });
    try {
      const { Parameter } = await client.send(new GetParameterCommand({ Name: name, WithDecryption: true }), {
        abortSignal: signal,
      });
      return Parameter?.Value ?? notThere('the parameter holds no text');
    } finally {
      client.destroy();
    }
  },
};
