// The format of the secrets that Kubernetes pulls images with:
// https://kubernetes.io/docs/concepts/configuration/secret/#docker-config-secrets

/** The type of such a secret. */
export const dockerConfigType = "kubernetes.io/dockerconfigjson";

/** The only key of such a secret. */
export const dockerConfigKey = ".dockerconfigjson";

/** The `auth` of a login, as `docker login` writes it: `USERNAME:PASSWORD` in base64. */
export const encodeAuth = (username: string, password: string): string =>
  Buffer.from(`${username}:${password}`).toString("base64");

/** The JSON under that key, from the `auth` of each host. */
export const encodeDockerConfig = (auths: Readonly<Record<string, string>>): string =>
  JSON.stringify({ auths: Object.fromEntries(Object.entries(auths).map(([host, auth]) => [host, { auth }])) });
