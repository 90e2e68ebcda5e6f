/**
 * `defineConfig` gives bucardo.config.ts its types: completion, and a sync that names an unknown database does not compile.
 * It changes and checks nothing, so that loading the file can report all problems at once.
 */
import type { FleetConfig } from './types.ts';

/** The configuration as it was given. */
export function defineConfig<const DatabaseName extends string>(
  config: FleetConfig<DatabaseName>,
): FleetConfig<DatabaseName> {
  return config;
}
