// What is to be done in a namespace: what was seen there compared with what should be there. Decides, and does nothing.
import type { HelperConfig } from "../config/helper-config.ts";
import { mostData } from "../resources/secrets.ts";
import type { DesiredSecret } from "../resources/types.ts";
import type { Observed, SeenAccount, SeenSecret } from "../cache/cluster-cache.ts";
import { listsAllAdded, serviceAccountPatch, type Entries } from "../resources/service-account.ts";

interface Work {
  /** Kind and name as kubectl shows them, `secret/ecr-creds`. */
  readonly object: string;
  /** What somebody else did to it; undefined when it only has to be made, refreshed or taken back. */
  readonly drift?: string | undefined;
}

export type Task =
  | (Work & { readonly kind: "applySecret"; readonly secret: DesiredSecret; readonly seen: SeenSecret | undefined })
  | (Work & { readonly kind: "removeSecret"; readonly name: string; readonly seen: SeenSecret })
  | (Work & { readonly kind: "applyAccount"; readonly entries: Entries })
  | (Work & { readonly kind: "releaseAccount" });

/** All objects of a build namespace, as kubectl shows them. */
export const objectsOf = ({ secretNames, serviceAccount }: HelperConfig): string[] => [
  ...secretNames.map((name) => `secret/${name}`),
  `serviceaccount/${serviceAccount}`,
];

/** By the secret's name. A secret that is not among them has no token yet, or no more, and stays as it is. */
export type Desired = ReadonlyMap<string, DesiredSecret>;

/** What was right in a namespace after it was last worked on. */
export interface Settled {
  /** As kubectl shows them: what is missing of them was deleted. */
  readonly objects: readonly string[];
  /** What they were compared with. */
  readonly desired: Desired;
}

/** The tasks of a namespace, the service account last: what it lists is there by then. */
export function tasksOf(
  config: HelperConfig,
  observed: Observed,
  desired: Desired,
  namespace: string,
  settled: Settled | undefined,
): Task[] {
  const role = observed.roleOf(namespace);
  if (role === "gone") return [];
  const secrets = config.secretNames.map((name) => {
    const seen = observed.secrets.get(name)?.get(namespace);
    // Beside its pull secret the next helper, which may be at work already, keeps what it wants there.
    if (role === "own" && name !== config.pullSecret && observed.isSucceeded) return undefined;
    if (role === "build" || (role === "own" && config.ownSecretNames.includes(name))) {
      return secretTask(observed, desired, name, seen, settled);
    }
    return seen?.own === true ? ({ kind: "removeSecret", object: `secret/${name}`, name, seen } as const) : undefined;
  });
  const account = accountTask(config, observed, desired, namespace, settled);
  return [...secrets, account].filter((task) => task !== undefined);
}

function secretTask(
  observed: Observed,
  desired: Desired,
  name: string,
  seen: SeenSecret | undefined,
  settled: Settled | undefined,
): Task | undefined {
  const secret = desired.get(name);
  if (secret === undefined) return undefined;
  const wasSettled = wasRight(settled, `secret/${name}`);
  const task = { kind: "applySecret", object: `secret/${secret.name}`, secret, seen } as const;
  if (seen === undefined) return { ...task, drift: wasSettled ? "was deleted" : undefined };
  if (!seen.own) return task;
  if (seen.changedBy !== undefined) return { ...task, drift: `was changed by ${seen.changedBy}` };
  return isRight(observed, seen, secret, wasSettled && settled?.desired === desired) ? undefined : task;
}

const wasRight = (settled: Settled | undefined, object: string): boolean => settled?.objects.includes(object) === true;

/** `wasItsOwn` says whether it was as this helper wants it: what is another now was written by another helper of this stack. */
const isRight = (observed: Observed, seen: SeenSecret, secret: DesiredSecret, wasItsOwn: boolean): boolean =>
  seen.revision === secret.revision || (wasItsOwn && (observed.isSucceeded || isNewer(seen, secret)));

/**
 * Whether another helper's secret is the one to stay. There should be one helper, but where a node is cut off there are two for a
 * while, and each would overwrite the other for ever: all give the same answer for the same two. Where this one has a
 * successor, that one's stays in any case.
 */
function isNewer(seen: SeenSecret, secret: DesiredSecret): boolean {
  const isAsOld = seen.refreshedAt === secret.refreshedAt;
  return isAsOld ? seen.revision > secret.revision : seen.refreshedAt > secret.refreshedAt;
}

function accountTask(
  config: HelperConfig,
  observed: Observed,
  desired: Desired,
  namespace: string,
  settled: Settled | undefined,
): Task | undefined {
  const object = `serviceaccount/${config.serviceAccount}`;
  const seen = observed.accounts.get(namespace);
  if (observed.roleOf(namespace) !== "build") {
    return seen?.held === true ? { kind: "releaseAccount", object } : undefined;
  }
  const isThere = (name: string): boolean =>
    (desired.get(name)?.size ?? Infinity) <= mostData || observed.secrets.get(name)?.get(namespace)?.own === true;
  const entries = {
    secrets: [...config.basicAuthSecrets.values()].filter(isThere),
    imagePullSecrets: [config.pullSecret].filter(isThere),
  };
  if (seen !== undefined && isAccountRight(config, observed, seen, entries)) return undefined;
  const change = seen === undefined ? "was deleted" : "lost an entry";
  return {
    kind: "applyAccount",
    object,
    entries,
    drift: wasRight(settled, object) ? change : undefined,
  };
}

/** Other entries than this helper's are right, too, where the next one wrote them: what somebody else took of them is not. */
const isAccountRight = (
  config: HelperConfig,
  observed: Observed,
  { account }: SeenAccount,
  entries: Entries,
): boolean =>
  serviceAccountPatch(config, account, entries) === undefined ||
  (observed.isSucceeded && listsAllAdded(config, account));
