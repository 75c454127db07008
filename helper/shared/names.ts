// What Kubernetes and ECR take for a name. The stack's configuration and the helper's are checked by the same patterns.

/** A namespace: an RFC 1123 label, as Kubernetes' API conventions have it. */
export const namespaceName = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
/** A namespace's name or a glob pattern that may mean one: `*` stands for any characters, `?` for one. */
export const namespacePattern = /^(?!-)[-a-z0-9*?]{1,63}(?<!-)$/;
/** A secret, a service account, a Deployment: an RFC 1123 subdomain. */
export const objectName = /^(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
/** A value of a label, and the part of an annotation's key after the slash. */
export const labelValue = /^[A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?$/;

const label = "[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?";
/** A name in DNS, without its ends. */
export const dnsName = `(?=[^:/]{1,253}(?:[:/]|$))${label}(?:\\.${label})*`;
/** A port after a host, or none. URL says which are too high. */
export const portSuffix = "(?::[1-9]\\d{0,4})?";

/** A region of AWS: `eu-central-1`, `us-gov-west-1`, `eusc-de-east-1`. */
export const region = "[a-z]{2,10}(?:-[a-z]{1,20}){1,4}-\\d{1,2}";

/** An ECR registry's host, `ACCOUNT.dkr.ecr.REGION.SUFFIX`; its region is the first group. The suffix may be any. */
export const registryHost = new RegExp(
  `^(?=.{1,253}$)\\d{12}\\.dkr\\.ecr\\.(?=[^.]{1,63}\\.)(${region})(?:\\.${label})+$`,
);

const hostAndPort = new RegExp(`^(?:localhost$|(?=.*[.:]))${dnsName}${portSuffix}$`);
/**
 * Any host that a registry may be reached under, `HOST` or `HOST:PORT`. Docker takes a word with neither a dot nor a port for
 * a part of an image's name; URL knows which numbers are no address and no port.
 */
export const hostWithOptionalPort = {
  test: (value: string): boolean => hostAndPort.test(value) && URL.canParse(`https://${value}`),
};

/** The distinct regions of registries, in the order they come first. */
export const regionsOf = (hosts: readonly string[]): string[] => [
  ...new Set(hosts.flatMap((host) => registryHost.exec(host)?.[1] ?? [])),
];

/**
 * The names of the secrets that builds log in with, by region. Such a secret holds one password, and a token opens the
 * registries of its own region only: the first region's has the plain name, each further one's the region after it.
 */
export const basicAuthNames = (base: string, regions: readonly string[]): Map<string, string> =>
  new Map(regions.map((region, index) => [region, index === 0 ? base : `${base}-${region}`]));

/** The ways to be somebody in AWS. */
export const identities = ["accessKey", "irsa", "podIdentity", "kube2iam", "node"] as const;
