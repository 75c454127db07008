// References to the objects that the helper manages and reports on.

/** An object by its kind and name. Its namespace is not part of it, so that all namespaces can share one reference. */
export interface ObjectRef {
  readonly kind: "Secret" | "ServiceAccount" | "Deployment";
  readonly name: string;
}

/** The reference as kubectl writes it, `secret/ecr-creds`: in log lines, Events and metric labels, and as the key of a Map. */
export const formatRef = ({ kind, name }: ObjectRef): string => `${kind.toLowerCase()}/${name}`;

/** The query by which a list or watch has the objects of one name only: rights that are granted by name allow no other. */
export const nameSelector = (name: string): string => `fieldSelector=${encodeURIComponent(`metadata.name=${name}`)}`;
