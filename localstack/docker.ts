/**
 * LocalStack's public image, where there is a Docker engine. Not run by the project's tests. The host's network, so that functions,
 * which are containers too, reach databases at this machine's loopback address; LocalStack itself listens there only.
 */
import { spawnSync } from 'node:child_process';
import { settingsOf } from './settings.ts';

/** The last release that needs no account. */
const IMAGE = 'localstack/localstack:4.14.0';

/** LOCALSTACK_NO_DOCKER=1 takes the packages all the same. */
export function hasDocker(): boolean {
  if (process.env['LOCALSTACK_NO_DOCKER'] === '1') return false;
  return spawnSync('docker', ['version'], { stdio: 'ignore', timeout: 10_000 }).status === 0;
}

export function dockerCommand(port: number): readonly [string, readonly string[]] {
  const variables = { ...settingsOf(port), LAMBDA_DOCKER_FLAGS: '--network host' };
  return [
    'docker',
    [
      'run',
      '--rm',
      '--name',
      `bucardo-localstack-${port}`,
      '--network',
      'host',
      // It starts functions by the engine.
      '--volume',
      '/var/run/docker.sock:/var/run/docker.sock',
      ...Object.entries(variables).flatMap(([name, value]) => ['--env', `${name}=${value}`]),
      IMAGE,
    ],
  ];
}
