// The service account of a build namespace: pure functions that extend and shorten its lists and never lose, double or
// move an entry of somebody else's.
import type { HelperConfig } from "../config/helper-config.ts";
import { objectName } from "../shared/names.ts";
import {
  entriesAnnotation,
  isOwn,
  maxEntriesAnnotation,
  ownLabels,
  ownMetadata,
  type Metadata,
} from "../shared/ownership.ts";
import { isString, asArray, parseRecord } from "../runtime/shape.ts";

export interface NameReference {
  name: string;
}

export interface ServiceAccount {
  apiVersion: "v1";
  kind: "ServiceAccount";
  metadata: Metadata & { resourceVersion?: string; uid?: string };
  secrets?: NameReference[];
  imagePullSecrets?: NameReference[];
}

/** The names that a service account should list: in `secrets` for builds, in `imagePullSecrets` for pulls. */
export interface Entries {
  readonly secrets: readonly string[];
  readonly imagePullSecrets: readonly string[];
}

export const noEntries: Entries = { secrets: [], imagePullSecrets: [] };

/** The service account as the helper creates it where there is none. */
export const newServiceAccount = (config: HelperConfig, entries: Entries): ServiceAccount => {
  const metadata = ownMetadata(config, config.serviceAccount);
  metadata.annotations = { [entriesAnnotation(config)]: JSON.stringify(entries) };
  const references = (names: readonly string[]): NameReference[] => names.map((name) => ({ name }));
  return {
    apiVersion: "v1",
    kind: "ServiceAccount",
    metadata,
    secrets: references(entries.secrets),
    imagePullSecrets: references(entries.imagePullSecrets),
  };
};

/** Names of secrets in a list, and nothing else that may stand there. */
const namesIn = (value: unknown): string[] =>
  asArray(value).filter((name) => isString(name) && objectName.test(name)) as string[];

/** The entries that the helper added, as the annotation tells. Where somebody wrote something else none are known to be the helper's. */
export function readOwnEntries(config: HelperConfig, { metadata }: Pick<ServiceAccount, "metadata">): Entries {
  const text = metadata.annotations?.[entriesAnnotation(config)] ?? "";
  const { secrets, imagePullSecrets } = text.length > maxEntriesAnnotation ? {} : parseRecord(text);
  return { secrets: namesIn(secrets), imagePullSecrets: namesIn(imagePullSecrets) };
}

/** A list with these names added at its end and those removed: the very same list where nothing changes. */
export function withEntries(
  list: readonly NameReference[],
  added: readonly string[],
  removed: readonly string[],
): readonly NameReference[] {
  const missing = added.filter((name) => !list.some((entry) => entry.name === name));
  const isStale = ({ name }: NameReference): boolean => removed.includes(name) && !added.includes(name);
  if (missing.length === 0 && !list.some(isStale)) return list;
  return [...list.filter((entry) => !isStale(entry)), ...[...new Set(missing)].map((name) => ({ name }))];
}

const lists = ["secrets", "imagePullSecrets"] as const;

/**
 * The merge patch that makes an existing service account list these entries, or takes all that the helper added away
 * when there are none. It holds the resourceVersion that was read, so that a write in between makes it fail. Undefined
 * when there is nothing to change.
 */
export function serviceAccountPatch(config: HelperConfig, found: ServiceAccount, wanted: Entries): object | undefined {
  const before = readOwnEntries(config, found);
  const patch: Record<string, unknown> = {};
  const added: Record<(typeof lists)[number], string[]> = { secrets: [], imagePullSecrets: [] };
  for (const list of lists) {
    const current = found[list] ?? [];
    const next = withEntries(current, wanted[list], before[list]);
    if (next !== current) patch[list] = next;
    // What stood there before the helper came is not the helper's, even where it wants it too.
    added[list] = wanted[list].filter(
      (name) => before[list].includes(name) || !current.some((entry) => entry.name === name),
    );
  }
  const key = entriesAnnotation(config);
  const annotated = found.metadata.annotations?.[key];
  const isNothing = added.secrets.length + added.imagePullSecrets.length === 0;
  const annotation = isNothing ? undefined : JSON.stringify(added);
  if (Object.keys(patch).length === 0 && annotation === annotated) return undefined;
  const { resourceVersion } = found.metadata;
  return { ...patch, metadata: { resourceVersion, annotations: { [key]: annotation ?? null } } };
}

/** Whether the helper made a service account, or added anything to it. */
export const hasOwnEntries = (config: HelperConfig, { metadata }: ServiceAccount): boolean =>
  isOwn(config, metadata.labels) || metadata.annotations?.[entriesAnnotation(config)] !== undefined;

/**
 * A service account with nothing in it but what decides whether the helper has to change it, and nothing that others can make
 * large: each name once, and of an annotation that the helper did not write no more than that it is there.
 */
export function projectAccount(config: HelperConfig, found: ServiceAccount): ServiceAccount {
  const { apiVersion, kind, metadata } = found;
  const key = entriesAnnotation(config);
  const annotation = metadata.annotations?.[key];
  const before = readOwnEntries(config, found);
  const own = (list: (typeof lists)[number]): NameReference[] => {
    const known = new Set([...config.secretNames, ...before[list]]);
    const names = new Set((found[list] ?? []).map(({ name }) => name));
    return [...names].filter((name) => known.has(name)).map((name) => ({ name }));
  };
  const annotations = { [key]: annotation === JSON.stringify(before) ? annotation : foreign };
  const kept = { name: metadata.name, ...(annotation === undefined ? {} : { annotations }) };
  return { apiVersion, kind, metadata: kept, secrets: own("secrets"), imagePullSecrets: own("imagePullSecrets") };
}

/** In the place of an annotation that the helper did not write so. */
const foreign = "something else";

/** Whether a service account lists nothing but what the helper added. */
export function listsOnlyOwnEntries(config: HelperConfig, found: ServiceAccount): boolean {
  const own = readOwnEntries(config, found);
  return lists.every((list) => (found[list] ?? []).every(({ name }) => own[list].includes(name)));
}

/** Whether a service account still lists everything that a helper of this stack added, and a helper added anything. */
export function listsAllOwnEntries(config: HelperConfig, found: ServiceAccount): boolean {
  const added = readOwnEntries(config, found);
  const has = (list: (typeof lists)[number], name: string): boolean =>
    (found[list] ?? []).some((entry) => entry.name === name);
  return (
    added.secrets.length + added.imagePullSecrets.length > 0 &&
    lists.every((list) => added[list].every((name) => has(list, name)))
  );
}

/** The merge patch that makes a service account somebody else's: it then stays when the stack goes. */
export function releaseOwnershipPatch(config: HelperConfig, { metadata }: ServiceAccount): object {
  const labels = Object.fromEntries(Object.keys(ownLabels(config)).map((key) => [key, null]));
  const isOther = (owner: object): boolean => (owner as { uid?: string }).uid !== config.owner.uid;
  const ownerReferences = (metadata.ownerReferences ?? []).filter(isOther);
  return { metadata: { resourceVersion: metadata.resourceVersion, labels, ownerReferences } };
}
