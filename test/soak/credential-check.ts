// The rules of the soak: when a namespace without a valid credential counts as a failure. Pure.
//
// Five seconds after its creation a namespace must have both secrets, with logins that the registry accepts. The same holds
// five seconds after another client deletes or changes a secret. If a fault of the API server's connection or a restart of the helper
// overlaps these five seconds, they count from the end of the fault, because the helper could not write. A fault of ECR is no
// excuse, because the last login is still valid. Only a declared outage, longer than a token lives, excuses everything until
// the helper has recovered from it, for half a minute at most.

/** The time from a namespace's creation or last disturbance until its credentials must be valid, in milliseconds. */
export const grace = 5_000;
/** The time within which the helper must recover from a declared outage, in milliseconds. */
export const recoveryLimit = 30_000;

/** A fault and its time, in milliseconds since 1970. */
export interface Period {
  readonly what: string;
  /** Whether it keeps the helper from the API server. */
  readonly blocksApiServer: boolean;
  /** Whether it is declared, and longer than a token lives. */
  readonly isDeclared: boolean;
  readonly from: number;
  /** Undefined while it lasts. */
  to?: number;
  /** When all credentials were valid again; undefined until then. */
  convergedAt?: number;
}

/** The state at a moment. */
export interface Sample {
  readonly at: number;
  /** The namespaces that should have credentials, each with the time of its creation or last disturbance. */
  readonly since: ReadonlyMap<string, number>;
  /** The passwords of every secret, by NAMESPACE/NAME; none if it is incomplete. */
  readonly logins: ReadonlyMap<string, readonly string[]>;
  /** The passwords that the registry accepted. */
  readonly accepted: ReadonlySet<string>;
}

/** The secrets that every namespace must have. */
export const secretNames = ["ecr-creds", "ecr-creds-pull"] as const;

/** When a namespace must have valid credentials. `periods` are in the order of time. */
export function deadlineOf(since: number, periods: readonly Period[]): number {
  let start = since;
  for (const { blocksApiServer, from, to = Infinity } of periods) {
    if (blocksApiServer && from < start + grace && to > start) start = to;
  }
  return start + grace;
}

const isExcused = (at: number, periods: readonly Period[]): boolean =>
  periods.some(({ isDeclared, from, to = Infinity, convergedAt = Infinity }) => {
    return isDeclared && at >= from && at < Math.min(convergedAt, to + recoveryLimit);
  });

/** Whether a secret exists, is complete, and the registry accepts every login in it. */
export const isAccepted = ({ logins, accepted }: Sample, secret: string): boolean => {
  const passwords = logins.get(secret) ?? [];
  return passwords.length > 0 && passwords.every((password) => accepted.has(password));
};

/** The number of secrets that had to be valid, and those that were not. */
export function checkSample(sample: Sample, periods: readonly Period[]): { checked: number; without: string[] } {
  if (isExcused(sample.at, periods)) return { checked: 0, without: [] };
  const due = [...sample.since].filter(([, since]) => deadlineOf(since, periods) <= sample.at);
  const secrets = due.flatMap(([namespace]) => secretNames.map((name) => `${namespace}/${name}`));
  return { checked: secrets.length, without: secrets.filter((secret) => !isAccepted(sample, secret)) };
}

/** Whether every namespace that existed when a period ended has the login `latest`, and the registry accepts it. */
export function hasConvergedAfter({ to = Infinity }: Period, sample: Sample, latest: string): boolean {
  const existing = [...sample.since].filter(([, since]) => since < to);
  return existing.every(([namespace]) =>
    secretNames.every((name) => {
      const secret = `${namespace}/${name}`;
      return isAccepted(sample, secret) && sample.logins.get(secret)?.every((password) => password === latest) === true;
    }),
  );
}
