// Where the Kubernetes API has an object, by what its manifest says.

/** An object, with the parts of it that its path is made of. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
}

/** The API path of the collection that an object is in. */
export function collectionPath({ apiVersion, kind, metadata: { namespace } }: Manifest): string {
  const group = apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const scope = namespace === undefined ? "" : `/namespaces/${namespace}`;
  return `${group}${scope}/${`${kind.toLowerCase()}s`.replace(/ys$/, "ies")}`;
}

/** The API path of an object. */
export const objectPath = (object: Manifest): string => `${collectionPath(object)}/${object.metadata.name}`;
