/**
 * The configuration in two shapes: what a person writes (`FleetConfig`, generic so that a sync can only name
 * databases that exist) and what the program works with after validation (`Fleet`: every default filled in).
 */

/** Where a value is to be found at run time; the value itself is never in the file. Made by `env()`, `secret()` and
 * `parameter()`. */
export type ValueRef =
  | { readonly kind: 'env'; readonly name: string }
  | { readonly kind: 'secret'; readonly id: string; readonly field?: string }
  | { readonly kind: 'parameter'; readonly name: string };

export type Wake = 'auto' | 'notify' | 'poll';

export interface DatabaseConfig {
  readonly engine: 'postgres';
  /** Where the connection URL is found. A plain string is accepted if it holds no password. */
  readonly url: ValueRef | string;
  /**
   * How a source tells of changes. `auto` (default): by NOTIFY where the server allows no prepared transactions, else the notifier looks at
   * short intervals. `notify`: always by NOTIFY, after which Postgres refuses PREPARE TRANSACTION. `poll`: never by NOTIFY.
   */
  readonly wake?: Wake;
  /** Connections that a deployed fleet may hold to it at most, all programs together. Default 40. */
  readonly maxConnections?: number;
  /** Log in by RDS IAM authentication: the user, and the resource id of the instance, cluster or proxy (`db-…`, `cluster-…`, `prx-…`). */
  readonly iam?: IamLogin;
  /** The database's security group (`sg-…`): a deployed fleet in a VPC lets its functions and notifier in. */
  readonly securityGroup?: string;
}

export interface IamLogin {
  readonly user: string;
  readonly resourceId: string;
}

/** `rate(5 minutes)` or `cron(0 3 * * ? *)`, as EventBridge writes them. */
export type Schedule = `rate(${string})` | `cron(${string})`;

export interface RelationConfig {
  /** `schema.table` */
  readonly table: string;
  readonly columns?: readonly string[];
  readonly as?: string | Readonly<Record<string, string>>;
  readonly where?: string;
  /** `row` forces row-level capture; by default the catalog decides. */
  readonly capture?: 'row';
}

export type CopyPolicy = 'if-empty' | 'always' | 'never';

export interface SyncConfig<DatabaseName extends string = string> {
  readonly sources: readonly DatabaseName[];
  readonly targets: readonly DatabaseName[];
  /** `'schema.table'`, a pattern such as `'schema.*'`, or an object. */
  readonly tables: readonly (string | RelationConfig)[];
  /** Tables and patterns that `tables` must not match. */
  readonly exclude?: readonly string[];
  /** When the sweep kicks the sync's lanes, changes or not. Default: only changes kick. */
  readonly schedule?: Schedule;
  /** Whether changes kick the lanes. Default true. */
  readonly autokick?: boolean;
  /** Whether targets get what is already there. Default `if-empty`, decided per table. */
  readonly copy?: CopyPolicy;
  /** Greatest number of deltas in one destination transaction. Default 100,000. */
  readonly batchRows?: number;
  /** Deployed: an alarm of its own for each lane that is behind by more seconds than this. Default: the fleet's alarm only. */
  readonly lagAlarmSeconds?: number;
}

/** How the fleet is deployed to AWS. Every key has a default. */
export interface AwsConfig {
  /**
   * Where functions and notifier run. `public`, the default: the databases are reached over the internet. `vpcId`: in an existing
   * VPC. `create`: in a VPC of the fleet's own, that reaches AWS by a NAT gateway or by interface endpoints.
   */
  readonly network?: 'public' | { readonly vpcId: string } | { readonly create: 'nat' | 'endpoints' };
  /** `fargate`, the default, or `none`: it is run elsewhere. */
  readonly notifier?: 'fargate' | 'none';
  /** An SNS topic that alarms are sent to. Default: the fleet makes one. */
  readonly alarmTopicArn?: string;
  /** Subscribed to the topic that the fleet makes. */
  readonly alarmEmail?: string;
  /** The fleet's alarm goes when any lane is behind by more seconds than this. Default 900. */
  readonly lagAlarmSeconds?: number;
  /** Whether dead letters are also events on the account's default EventBridge bus. Default false. */
  readonly events?: boolean;
  /** Days; one of CloudWatch's. Default 30. */
  readonly logRetentionDays?: number;
  /** X-Ray. Default false. */
  readonly tracing?: boolean;
  /** Encrypts the queues and the alarm topic. Default: keys of SQS and AWS themselves. */
  readonly kmsKeyArn?: string;
  /** Whether `cdk deploy` also does what `bucardo apply` does. Default false. */
  readonly applyOnDeploy?: boolean;
}

export interface FleetConfig<DatabaseName extends string = string> {
  /** Tells fleets in one account apart. Default `bucardo`. */
  readonly fleet?: string;
  readonly databases: Readonly<Record<DatabaseName, DatabaseConfig>>;
  readonly syncs: Readonly<Record<string, SyncConfig<NoInfer<DatabaseName>>>>;
  readonly aws?: AwsConfig;
}

/** A database after validation. */
export interface Database {
  readonly name: string;
  readonly engine: 'postgres';
  readonly url: ValueRef | string;
  readonly wake: Wake;
  /** Concern a deployed fleet only, and so may be left out where none is. Default: DEFAULT_MAX_CONNECTIONS. */
  readonly maxConnections?: number | undefined;
  readonly iam?: IamLogin | undefined;
  readonly securityGroup?: string | undefined;
}

/** Which tables of a source belong to a sync. `*` in either part matches any run of characters. */
export interface RelationSelector {
  readonly schema: string;
  readonly table: string;
  readonly capture: 'auto' | 'row';
}

/** A sync after validation. */
export interface Sync {
  readonly name: string;
  /** Exactly one, until merge lanes exist. */
  readonly source: string;
  readonly targets: readonly string[];
  readonly include: readonly RelationSelector[];
  readonly exclude: readonly Omit<RelationSelector, 'capture'>[];
  readonly schedule: Schedule | undefined;
  readonly autokick: boolean;
  readonly copy: CopyPolicy;
  readonly batchRows: number;
  readonly lagAlarmSeconds?: number | undefined;
}

/** How a fleet is deployed, after validation. */
export interface AwsSettings {
  readonly network: NonNullable<AwsConfig['network']>;
  readonly notifier: 'fargate' | 'none';
  readonly alarmTopicArn: string | undefined;
  readonly alarmEmail: string | undefined;
  readonly lagAlarmSeconds: number;
  readonly events: boolean;
  readonly logRetentionDays: number;
  readonly tracing: boolean;
  readonly kmsKeyArn: string | undefined;
  readonly applyOnDeploy: boolean;
}

export interface Fleet {
  readonly name: string;
  readonly databases: ReadonlyMap<string, Database>;
  readonly syncs: ReadonlyMap<string, Sync>;
  readonly aws: AwsSettings;
}

/** One sync × one destination: the unit of work, of ordering, of failure and of status. */
export interface Lane {
  /** `sync/destination`; also the FIFO message group. */
  readonly id: string;
  readonly sync: string;
  readonly source: string;
  readonly destination: string;
}
