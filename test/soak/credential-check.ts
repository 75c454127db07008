// The soak's rules: when a namespace without a valid credential is a moment that should not have been. Pure.
//
// A namespace has to have both secrets, with logins that the registry takes, from five seconds after its creation on. What
// somebody deletes or spoils has to be right again five seconds after that. Where a fault between the helper and the API
// server, or the helper's own end, touches these five seconds they are counted from the end of the fault: nobody can write
// through a door that is closed. A fault at ECR's side is no excuse, for the login of before is still good. Only an outage
// that is declared, longer than a token lives, excuses everything, until all is recovered after it, and that for half a
// minute at the most.

/** From a namespace's creation, or from what was done to it, until it has to be right; in milliseconds. */
export const grace = 5_000;
/** After a declared outage, in milliseconds. */
export const recoveryLimit = 30_000;

/** A time in which something was wrong on purpose. All times are in milliseconds since 1970. */
export interface Period {
  readonly what: string;
  /** Whether it keeps the helper from the API server. */
  readonly hinders: boolean;
  /** Whether it is declared, and longer than a token lives. */
  readonly isDeclared: boolean;
  readonly from: number;
  /** Undefined while it lasts. */
  to?: number;
  /** When all was right again; undefined until then. */
  right?: number;
}

/** What was seen at a moment. */
export interface Sample {
  readonly at: number;
  /** The namespaces there should be credentials in, each with its creation or the last thing that was done to it. */
  readonly since: ReadonlyMap<string, number>;
  /** The passwords of every secret, by NAMESPACE/NAME; none where it is torn. */
  readonly logins: ReadonlyMap<string, readonly string[]>;
  /** The passwords that the registry took. */
  readonly accepted: ReadonlySet<string>;
}

export const secretNames = ["ecr-creds", "ecr-creds-pull"] as const;

/** When a namespace has to be right. `periods` are in the order of time. */
export function dueAt(since: number, periods: readonly Period[]): number {
  let start = since;
  for (const { hinders, from, to = Infinity } of periods) {
    if (hinders && from < start + grace && to > start) start = to;
  }
  return start + grace;
}

const isExcused = (at: number, periods: readonly Period[]): boolean =>
  periods.some(({ isDeclared, from, to = Infinity, right = Infinity }) => {
    return isDeclared && at >= from && at < Math.min(right, to + recoveryLimit);
  });

/** Whether a secret is there, and whole, and every login in it is taken. */
export const isTaken = ({ logins, accepted }: Sample, secret: string): boolean => {
  const passwords = logins.get(secret) ?? [];
  return passwords.length > 0 && passwords.every((password) => accepted.has(password));
};

/** How many secrets had to be right, and which were not: moments without a valid credential. */
export function judge(sample: Sample, periods: readonly Period[]): { checked: number; without: string[] } {
  if (isExcused(sample.at, periods)) return { checked: 0, without: [] };
  const due = [...sample.since].filter(([, since]) => dueAt(since, periods) <= sample.at);
  const secrets = due.flatMap(([namespace]) => secretNames.map((name) => `${namespace}/${name}`));
  return { checked: secrets.length, without: secrets.filter((secret) => !isTaken(sample, secret)) };
}

/** Whether all that was there when a period ended has one and the same login, `latest`, and that is taken. */
export function isRightAfter({ to = Infinity }: Period, sample: Sample, latest: string): boolean {
  const there = [...sample.since].filter(([, since]) => since < to);
  return there.every(([namespace]) =>
    secretNames.every((name) => {
      const secret = `${namespace}/${name}`;
      return isTaken(sample, secret) && sample.logins.get(secret)?.every((password) => password === latest) === true;
    }),
  );
}
