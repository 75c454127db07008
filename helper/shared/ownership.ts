// How the objects of one stack's helper are marked: by field manager, labels, annotations and owner references.

/** The field manager of everything that the helper applies. */
export const fieldManager = "ecr-helper";

/** The field manager of what the helper replaces or patches in a secret that exists. */
export const updateManager = "ecr-helper-refresh";

/** Prefix of the keys of all annotations that only the helper writes. */
export const annotationPrefix = "ecr-helper/";

/** Keys of the annotations of a secret. */
export const annotations = {
  /** Hash of everything that the helper wrote: an object with another one is out of date. */
  revision: "ecr-helper/revision",
  /** When the last of the tokens was requested: for people, the helper does not read it. */
  refreshedAt: "ecr-helper/refreshed-at",
  /** When each token was requested and expires, so that a new helper can restore it. */
  tokens: "ecr-helper/tokens",
} as const;

/** The metadata of an object that the helper writes. */
export interface Metadata {
  name: string;
  namespace?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  ownerReferences?: readonly object[];
}

/** The part of the configuration that this file needs. */
interface Owned {
  /** Name of the first of the stack's owners, by which its objects are known. */
  readonly owner: string;
}

/** The labels of every object that the helper of this stack creates. */
export const ownLabels = (config: Owned): Record<string, string> => ({
  "app.kubernetes.io/managed-by": "ecr-helper",
  "app.kubernetes.io/instance": config.owner,
});

/**
 * Names of the ClusterRoles that own every object that the helper creates. Kubernetes deletes an object when the last of its
 * owners is gone, so that one that is deleted by hand takes nothing with it:
 * https://kubernetes.io/docs/concepts/architecture/garbage-collection/
 */
export const ownerNames = ({ owner }: Owned): readonly [string, string] => [owner, `${owner}-owner`];

/** The kind of the stack's owners. */
export const ownerKind = { apiVersion: "rbac.authorization.k8s.io/v1", kind: "ClusterRole" } as const;

/** Name and labels of an object that the helper creates. */
export const ownMetadata = (config: Owned, name: string): Metadata => ({ name, labels: ownLabels(config) });

/** Whether labels are those of an object that this stack's helper created. */
export const isOwn = (config: Owned, labels: Readonly<Record<string, string>> = {}): boolean =>
  Object.entries(ownLabels(config)).every(([key, value]) => labels[key] === value);

/** Key of the annotation that lists the entries that the helper added to a service account, so that it removes no others. */
export const entriesAnnotation = ({ owner }: Owned): string => `${annotationPrefix}${owner}`;

/** The longest annotation that is read, in characters: a hundred regions' names are a tenth of it. */
export const maxEntriesAnnotation = 1 << 16;
