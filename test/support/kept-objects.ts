// The objects that a helper keeps in a build namespace, as the tests read them from the API server.

/** A secret, with the parts of it that tests look at. */
export interface Secret {
  metadata: {
    uid: string;
    namespace: string;
    resourceVersion: string;
    annotations: Record<string, string>;
    ownerReferences?: object[];
  };
  type: string;
  data: Record<string, string>;
}

/** A service account, with the parts of it that tests look at. */
export interface ServiceAccount {
  metadata: { resourceVersion: string; labels?: Record<string, string>; ownerReferences?: object[] };
  secrets?: { name: string }[];
  imagePullSecrets?: { name: string }[];
}

/** The API path of a secret. */
export const secretPath = (namespace: string, name: string): string =>
  `/api/v1/namespaces/${namespace}/secrets/${name}`;
/** The API path of a namespace's service account for builds, by its default name. */
export const accountPath = (namespace: string): string => `/api/v1/namespaces/${namespace}/serviceaccounts/builder-sa`;
/** A value of a secret's data as text. */
export const decode = (text = ""): string => Buffer.from(text, "base64").toString();

/** The passwords of a docker config by registry host. ECR's user name is always AWS. */
export function pullPasswords({ data }: Pick<Secret, "data">): Record<string, string> {
  const { auths } = JSON.parse(decode(data[".dockerconfigjson"])) as { auths: Record<string, { auth: string }> };
  return Object.fromEntries(Object.entries(auths).map(([host, { auth }]) => [host, decode(auth).replace(/^AWS:/, "")]));
}
