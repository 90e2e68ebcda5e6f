/** LocalStack's public image, where there is a Docker engine. */
import { spawnSync } from 'node:child_process';

/** The last release that needs no account. */
const IMAGE = 'localstack/localstack:4.14.0';

/** LOCALSTACK_NO_DOCKER=1 takes the packages all the same. */
export function hasDocker(): boolean {
  if (process.env['LOCALSTACK_NO_DOCKER'] === '1') return false;
  return spawnSync('docker', ['version'], { stdio: 'ignore', timeout: 10_000 }).status === 0;
}

/** Functions are containers too, hence the socket; they reach this machine's Postgres by the host's network. */
export function dockerCommand(port: number): readonly [string, readonly string[]] {
  const variables = {
    GATEWAY_LISTEN: `127.0.0.1:${port}`,
    LOCALSTACK_HOST: `127.0.0.1:${port}`,
    SQS_ENDPOINT_STRATEGY: 'path',
    DISABLE_EVENTS: '1',
    LAMBDA_DOCKER_FLAGS: '--network host',
  };
  return [
    'docker',
    [
      'run',
      '--rm',
      '--network',
      'host',
      '--volume',
      '/var/run/docker.sock:/var/run/docker.sock',
      ...Object.entries(variables).flatMap(([name, value]) => ['--env', `${name}=${value}`]),
      IMAGE,
    ],
  ];
}
