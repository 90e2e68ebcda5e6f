/** The queue of a chaos run as a process that may be killed: SQS as it is on this machine, with short times. */
import { startLocalSqs } from '../../shared/local/sqs-server.ts';

const [fleet = '', port = ''] = process.argv.slice(2);
await startLocalSqs({
  fleet,
  port: Number(port),
  // Who is killed gives back its kicks after seconds, and letters need no eighteen minutes.
  attributes: { VisibilityTimeout: '5' },
  maxReceiveCount: 2,
});
process.stdout.write('ready\n');
