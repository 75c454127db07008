// The marks by which the helper of one stack knows what it made, and Kubernetes knows what goes with the stack.

export const fieldManager = "ecr-helper";

/** The prefix of the keys of all annotations that only the helper writes. */
export const annotationPrefix = "ecr-helper/";

/** The annotations that the helper reads again. */
export const annotations = {
  /** A hash of all that the helper wrote: what has another one is out of date. */
  revision: "ecr-helper/revision",
  /** When the last of its tokens was asked for: two helpers know by it whose is the newer. */
  refreshedAt: "ecr-helper/refreshed-at",
  /** The tokens' times by their names: a helper that starts anew goes on from there. */
  tokens: "ecr-helper/tokens",
} as const;

export interface Metadata {
  name: string;
  namespace?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  ownerReferences?: object[];
}

/** The stack's ClusterRole, which owns every object that its helper makes. */
export interface Owner {
  readonly name: string;
  readonly uid: string;
}

/** Whoever knows the owner: the helper's configuration. */
interface Owned {
  readonly owner: Owner;
}

/** The labels by which the helper of one stack knows what it made. */
export const ownLabels = (config: Owned): Record<string, string> => ({
  "app.kubernetes.io/managed-by": "ecr-helper",
  "app.kubernetes.io/instance": config.owner.name,
});

/** The reference to the stack's ClusterRole that everything has that the helper makes. */
export const ownerReference = ({ owner }: Owned): Record<"apiVersion" | "kind" | "name" | "uid", string> => ({
  apiVersion: "rbac.authorization.k8s.io/v1",
  kind: "ClusterRole",
  ...owner,
});

export const ownMetadata = (config: Owned, name: string): Metadata => ({
  name,
  labels: ownLabels(config),
  ownerReferences: [ownerReference(config)],
});

export const isOwn = (config: Owned, labels: Readonly<Record<string, string>> = {}): boolean =>
  Object.entries(ownLabels(config)).every(([key, value]) => labels[key] === value);

/** Which entries the helper added, so that it takes away those and no others. */
export const entriesAnnotation = ({ owner }: Owned): string => `${annotationPrefix}${owner.name}`;

/** No more is taken for the helper's entries, in characters: a hundred regions' names are a tenth of it. */
export const maxEntriesAnnotation = 1 << 16;
