// What is to be done in a namespace: what was seen there compared with what should be there. Decides, and does nothing.
import type { HelperConfig } from "./config.ts";
import type { DesiredSecret } from "./desired.ts";
import type { Observed, SeenSecret } from "./observed.ts";
import { serviceAccountPatch, type Entries } from "./service-account.ts";

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

/**
 * The tasks of a namespace, the service account last: what it lists is there by then. `settled` has the objects that were
 * right before, so that what is missing of them was deleted.
 */
export function tasksOf(
  config: HelperConfig,
  observed: Observed,
  desired: Desired,
  namespace: string,
  settled: readonly string[],
): Task[] {
  const role = observed.roleOf(namespace);
  if (role === "gone") return [];
  const secrets = config.secretNames.map((name) => {
    const seen = observed.secrets.get(name)?.get(namespace);
    if (role === "build" || (role === "own" && name === config.pullSecret)) {
      return secretTask(desired.get(name), seen, settled.includes(`secret/${name}`));
    }
    return seen?.own === true ? ({ kind: "removeSecret", object: `secret/${name}`, name, seen } as const) : undefined;
  });
  const account = accountTask(config, observed, desired, namespace, settled);
  return [...secrets, account].filter((task) => task !== undefined);
}

function secretTask(
  secret: DesiredSecret | undefined,
  seen: SeenSecret | undefined,
  wasSettled: boolean,
): Task | undefined {
  if (secret === undefined) return undefined;
  const task = { kind: "applySecret", object: `secret/${secret.name}`, secret, seen } as const;
  if (seen === undefined) return { ...task, drift: wasSettled ? "was deleted" : undefined };
  if (!seen.own) return task;
  if (seen.changedBy !== undefined) return { ...task, drift: `was changed by ${seen.changedBy}` };
  return seen.revision === secret.revision ? undefined : task;
}

function accountTask(
  config: HelperConfig,
  observed: Observed,
  desired: Desired,
  namespace: string,
  settled: readonly string[],
): Task | undefined {
  const object = `serviceaccount/${config.serviceAccount}`;
  const seen = observed.accounts.get(namespace);
  if (observed.roleOf(namespace) !== "build") {
    return seen?.held === true ? { kind: "releaseAccount", object } : undefined;
  }
  const isThere = (name: string): boolean =>
    desired.has(name) || observed.secrets.get(name)?.get(namespace)?.own === true;
  const entries = {
    secrets: [...config.basicAuthSecrets.values()].filter(isThere),
    imagePullSecrets: [config.pullSecret].filter(isThere),
  };
  if (seen !== undefined && serviceAccountPatch(config, seen.account, entries) === undefined) return undefined;
  const change = seen === undefined ? "was deleted" : "lost an entry";
  return { kind: "applyAccount", object, entries, drift: settled.includes(object) ? change : undefined };
}
