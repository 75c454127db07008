// The service account of a build namespace: pure functions that add entries to its lists and remove them, and never lose, duplicate
// or move an entry of someone else's.
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
import { hasOwners, ownerUids, withOwners, type OwnerReference } from "./owners.ts";

/** An entry of `secrets` or `imagePullSecrets`. */
export interface NameReference {
  name: string;
}

/** A ServiceAccount of the Kubernetes API, with the fields that the helper reads or writes. */
export interface ServiceAccount {
  apiVersion: "v1";
  kind: "ServiceAccount";
  metadata: Metadata & { resourceVersion?: string; uid?: string };
  secrets?: NameReference[];
  imagePullSecrets?: NameReference[];
}

/** The names of secrets that a service account should list: in `secrets` for builds, in `imagePullSecrets` for pulls. */
export interface Entries {
  readonly secrets: readonly string[];
  readonly imagePullSecrets: readonly string[];
}

/** The entries of a service account that the helper releases. */
export const noEntries: Entries = { secrets: [], imagePullSecrets: [] };

/** The service account that the helper creates where none exists. */
export const newServiceAccount = (
  config: HelperConfig,
  name: string,
  entries: Entries,
  owners: readonly OwnerReference[],
): ServiceAccount => {
  const metadata: Metadata = { ...ownMetadata(config, name), ownerReferences: [...owners] };
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

/** The names of secrets in a list. Other users can write the list, so any other value is skipped. */
const namesIn = (value: unknown): string[] =>
  asArray(value).filter((name) => isString(name) && objectName.test(name)) as string[];

/** The entries that the helper added, by its annotation. An invalid annotation counts as no entries, so that none is removed. */
export function readOwnEntries(config: HelperConfig, { metadata }: Pick<ServiceAccount, "metadata">): Entries {
  const text = metadata.annotations?.[entriesAnnotation(config)] ?? "";
  const { secrets, imagePullSecrets } = text.length > maxEntriesAnnotation ? {} : parseRecord(text);
  return { secrets: namesIn(secrets), imagePullSecrets: namesIn(imagePullSecrets) };
}

/** A list with names removed, and names added at its end. Returns the same array when nothing changes. */
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
 * The merge patch after which an existing service account lists these entries, and no others that the helper added; undefined when
 * nothing has to change. It has the resourceVersion that was read, so that it fails with a conflict if someone wrote in between.
 */
export function serviceAccountPatch(config: HelperConfig, found: ServiceAccount, wanted: Entries): object | undefined {
  const before = readOwnEntries(config, found);
  const patch: Record<string, unknown> = {};
  const added: Record<(typeof lists)[number], string[]> = { secrets: [], imagePullSecrets: [] };
  for (const list of lists) {
    const current = found[list] ?? [];
    const next = withEntries(current, wanted[list], before[list]);
    if (next !== current) patch[list] = next;
    // An entry that existed before the helper added any is not the helper's, even if the helper wants it too.
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

/** Whether the helper created a service account or added entries to it. */
export const hasOwnEntries = (config: HelperConfig, { metadata }: ServiceAccount): boolean =>
  isOwn(config, metadata.labels) || metadata.annotations?.[entriesAnnotation(config)] !== undefined;

/**
 * Reduces a service account to what decides whether the helper has to change it, without anything that others can make large: it
 * keeps each name once, and of an annotation that the helper did not write only that it exists. Its own name is left out, so that
 * service accounts of all names can share one projection.
 */
export function projectAccount(config: HelperConfig, found: ServiceAccount): ServiceAccount {
  const { apiVersion, kind, metadata } = found;
  const key = entriesAnnotation(config);
  const annotation = metadata.annotations?.[key];
  const before = readOwnEntries(config, found);
  const known = new Set(config.allSecretNames);
  // An annotation with any other name is to be changed anyway, and may have very many.
  const isKnown = lists.every(
    (list) => before[list].length <= known.size && before[list].every((name) => known.has(name)),
  );
  const own = (list: (typeof lists)[number]): NameReference[] => {
    const names = new Set((found[list] ?? []).map(({ name }) => name));
    return [...names].filter((name) => known.has(name)).map((name) => ({ name }));
  };
  const annotations = { [key]: isKnown && annotation === JSON.stringify(before) ? annotation : foreignAnnotation };
  const kept = { name: "", ...(annotation === undefined ? {} : { annotations }) };
  return { apiVersion, kind, metadata: kept, secrets: own("secrets"), imagePullSecrets: own("imagePullSecrets") };
}

/** Replaces the value of an annotation that the helper did not write. */
const foreignAnnotation = "something else";

/** Whether all entries of a service account were added by the helper. */
export function listsOnlyOwnEntries(config: HelperConfig, found: ServiceAccount): boolean {
  const own = readOwnEntries(config, found);
  return lists.every((list) => (found[list] ?? []).every(({ name }) => own[list].includes(name)));
}

/** Whether the helper created a service account, and it has nothing but the helper's entries. */
export const isWhollyOwn = (config: HelperConfig, found: ServiceAccount): boolean =>
  isOwn(config, found.metadata.labels) && listsOnlyOwnEntries(config, found);

/** Whether one of the stack's owners owns a service account. */
export const hasOwner = (config: HelperConfig, { metadata }: ServiceAccount): boolean =>
  ownerUids(config, metadata.ownerReferences) !== "";

/** The merge patch after which a service account has none of the helper's entries, and is not the helper's own. */
export function releasePatch(config: HelperConfig, found: ServiceAccount): object {
  const patch = { ...serviceAccountPatch(config, found, noEntries) };
  return isOwn(config, found.metadata.labels) ? mergePatches(patch, releaseOwnershipPatch(config, found)) : patch;
}

/**
 * The merge patch after which a service account that the helper created has these owners, at the resourceVersion that was read;
 * undefined when nothing has to change, or when the account is someone else's.
 */
export function ownersPatch(
  config: HelperConfig,
  { metadata }: ServiceAccount,
  owners: readonly OwnerReference[],
): object | undefined {
  const { labels, ownerReferences, resourceVersion } = metadata;
  const isRight = hasOwners(ownerUids(config, ownerReferences), ownerUids(config, owners));
  if (isRight || !isOwn(config, labels)) return undefined;
  return { metadata: { resourceVersion, ownerReferences: withOwners(config, ownerReferences, owners) } };
}

/** The merge patch that removes the helper's labels and owners, so that the account stays when the stack is destroyed. */
export function releaseOwnershipPatch(config: HelperConfig, { metadata }: ServiceAccount): object {
  const labels = Object.fromEntries(Object.keys(ownLabels(config)).map((key) => [key, null]));
  const ownerReferences = withOwners(config, metadata.ownerReferences, []);
  return { metadata: { resourceVersion: metadata.resourceVersion, labels, ownerReferences } };
}

/** Two merge patches as one. */
export const mergePatches = (one: { metadata?: object }, other: { metadata?: object }): object => ({
  ...one,
  metadata: { ...one.metadata, ...other.metadata },
});
