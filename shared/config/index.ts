/** What bucardo.config.ts imports: the package's public face. */
export { defineConfig } from './define-config.ts';
export { env, secret, type SecretOptions } from './value-refs.ts';
export type {
  CopyPolicy,
  DatabaseConfig,
  FleetConfig,
  RelationConfig,
  Schedule,
  SyncConfig,
  ValueRef,
} from './types.ts';
