/** References to values that are looked up when they are needed, so that none of them is ever in the file. */
import type { ValueRef } from './types.ts';

/** The value of an environment variable of the program that connects. */
export function env(name: string): ValueRef {
  return { kind: 'env', name };
}

export interface SecretOptions {
  /** The key to take if the secret holds a JSON object. Without it the whole secret is the value. */
  readonly field?: string;
}

/** A secret of AWS Secrets Manager, by name or ARN. */
export function secret(id: string, options: SecretOptions = {}): ValueRef {
  return { kind: 'secret', id, ...options };
}

/** A parameter of AWS Systems Manager's Parameter Store, by name or ARN; a SecureString, best. The whole parameter is the value. */
export function parameter(name: string): ValueRef {
  return { kind: 'parameter', name };
}
