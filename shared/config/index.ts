/** What bucardo.config.ts imports: the package's public face. */
export { defineConfig } from './define-config.ts';
export { env, parameter, secret, type SecretOptions } from './value-refs.ts';
export type {
  AwsConfig,
  CopyPolicy,
  DatabaseConfig,
  FleetConfig,
  IamLogin,
  RelationConfig,
  Schedule,
  SyncConfig,
  ValueRef,
} from './types.ts';
