/** What a LocalStack is told, whether it runs in a container or as a process of this machine. */

export const LOOPBACK = '127.0.0.1';

export function settingsOf(port: number): Readonly<Record<string, string>> {
  return {
    GATEWAY_LISTEN: `${LOOPBACK}:${port}`,
    // The default server listens on every address, whatever is asked for.
    GATEWAY_SERVER: 'hypercorn',
    // Queue URLs with an address in them that every program on this machine reaches.
    LOCALSTACK_HOST: `${LOOPBACK}:${port}`,
    SQS_ENDPOINT_STRATEGY: 'path',
    // Nothing is fetched, told or resolved elsewhere.
    DNS_ADDRESS: '0',
    DISABLE_EVENTS: '1',
    SKIP_SSL_CERT_DOWNLOAD: '1',
    SKIP_INFRA_DOWNLOADS: '1',
    // A poller that found an empty queue looks again within a second, as AWS does; by default its pauses grow to ten.
    LAMBDA_EVENT_SOURCE_MAPPING_POLL_INTERVAL_SEC: '0.2',
    LAMBDA_EVENT_SOURCE_MAPPING_MAX_BACKOFF_ON_EMPTY_POLL_SEC: '1',
    LAMBDA_EVENT_SOURCE_MAPPING_MAX_BACKOFF_ON_ERROR_SEC: '2',
    // Alarms on queues need not wait for minutes.
    SQS_CLOUDWATCH_METRICS_REPORT_INTERVAL: '5',
  };
}
