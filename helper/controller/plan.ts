// What is to be done in a namespace: what was seen there compared with what should be there. Decides, and does nothing.
import type { HelperConfig } from "../config/helper-config.ts";
import { maxSecretBytes } from "../resources/secrets.ts";
import type { DesiredSecret } from "../resources/types.ts";
import type { ClusterCache, CachedAccount, CachedSecret } from "../cache/cluster-cache.ts";
import { listsAllOwnEntries, serviceAccountPatch, type Entries } from "../resources/service-account.ts";

interface Work {
  /** Kind and name as kubectl shows them, `secret/ecr-creds`. */
  readonly object: string;
  /** What somebody else did to it; undefined when it only has to be made, refreshed or taken back. */
  readonly drift?: string | undefined;
}

export type Action =
  | (Work & { readonly kind: "applySecret"; readonly secret: DesiredSecret; readonly seen: CachedSecret | undefined })
  | (Work & { readonly kind: "removeSecret"; readonly name: string; readonly seen: CachedSecret })
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
export interface LastConverged {
  /** As kubectl shows them: what is missing of them was deleted. */
  readonly objects: readonly string[];
  /** What they were compared with. */
  readonly desired: Desired;
}

/** The tasks of a namespace, the service account last: what it lists is there by then. */
export function planNamespace(
  config: HelperConfig,
  observed: ClusterCache,
  desired: Desired,
  namespace: string,
  settled: LastConverged | undefined,
): Action[] {
  const role = observed.kindOf(namespace);
  if (role === "gone") return [];
  const secrets = config.secretNames.map((name) => {
    const seen = observed.secrets.get(name)?.get(namespace);
    // Beside its pull secret the next helper, which may be at work already, keeps what it wants there.
    if (role === "own" && name !== config.pullSecret && observed.hasSuccessor) return undefined;
    if (role === "build" || (role === "own" && config.ownSecretNames.includes(name))) {
      return planSecret(observed, desired, name, seen, settled);
    }
    return seen?.isOwned === true
      ? ({ kind: "removeSecret", object: `secret/${name}`, name, seen } as const)
      : undefined;
  });
  const account = planAccount(config, observed, desired, namespace, settled);
  return [...secrets, account].filter((task) => task !== undefined);
}

function planSecret(
  observed: ClusterCache,
  desired: Desired,
  name: string,
  seen: CachedSecret | undefined,
  settled: LastConverged | undefined,
): Action | undefined {
  const secret = desired.get(name);
  if (secret === undefined) return undefined;
  const wasSettled = hadConverged(settled, `secret/${name}`);
  const task = { kind: "applySecret", object: `secret/${secret.name}`, secret, seen } as const;
  if (seen === undefined) return { ...task, drift: wasSettled ? "was deleted" : undefined };
  if (!seen.isOwned) return task;
  if (seen.modifiedBy !== undefined) return { ...task, drift: `was changed by ${seen.modifiedBy}` };
  return isConverged(observed, seen, secret, wasSettled && settled?.desired === desired) ? undefined : task;
}

const hadConverged = (settled: LastConverged | undefined, object: string): boolean =>
  settled?.objects.includes(object) === true;

/** `wasItsOwn` says whether it was as this helper wants it: what is another now was written by another helper of this stack. */
const isConverged = (observed: ClusterCache, seen: CachedSecret, secret: DesiredSecret, wasItsOwn: boolean): boolean =>
  seen.revision === secret.revision || (wasItsOwn && (observed.hasSuccessor || isNewer(seen, secret)));

/**
 * Whether another helper's secret is the one to stay. There should be one helper, but where a node is cut off there are two for a
 * while, and each would overwrite the other for ever: all give the same answer for the same two. Where this one has a
 * successor, that one's stays in any case.
 */
function isNewer(seen: CachedSecret, secret: DesiredSecret): boolean {
  const isAsOld = seen.refreshedAt === secret.refreshedAt;
  return isAsOld ? seen.revision > secret.revision : seen.refreshedAt > secret.refreshedAt;
}

function planAccount(
  config: HelperConfig,
  observed: ClusterCache,
  desired: Desired,
  namespace: string,
  settled: LastConverged | undefined,
): Action | undefined {
  const object = `serviceaccount/${config.serviceAccount}`;
  const seen = observed.accounts.get(namespace);
  if (observed.kindOf(namespace) !== "build") {
    return seen?.hasOwnEntries === true ? { kind: "releaseAccount", object } : undefined;
  }
  const isThere = (name: string): boolean =>
    (desired.get(name)?.size ?? Infinity) <= maxSecretBytes ||
    observed.secrets.get(name)?.get(namespace)?.isOwned === true;
  const entries = {
    secrets: [...config.basicAuthSecrets.values()].filter(isThere),
    imagePullSecrets: [config.pullSecret].filter(isThere),
  };
  if (seen !== undefined && isAccountConverged(config, observed, seen, entries)) return undefined;
  const change = seen === undefined ? "was deleted" : "lost an entry";
  return {
    kind: "applyAccount",
    object,
    entries,
    drift: hadConverged(settled, object) ? change : undefined,
  };
}

/** Other entries than this helper's are right, too, where the next one wrote them: what somebody else took of them is not. */
const isAccountConverged = (
  config: HelperConfig,
  observed: ClusterCache,
  { account }: CachedAccount,
  entries: Entries,
): boolean =>
  serviceAccountPatch(config, account, entries) === undefined ||
  (observed.hasSuccessor && listsAllOwnEntries(config, account));
