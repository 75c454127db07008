// The syntax of names in Kubernetes and ECR. The stack and the helper validate their configuration with the same patterns.

/** A namespace's name: an RFC 1123 label. */
export const namespaceName = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
/** A namespace's name, or a glob pattern that may match one: `*` is any characters, `?` is one. */
export const namespacePattern = /^(?!-)[-a-z0-9*?]{1,63}(?<!-)$/;
/** The name of a secret, a service account or a Deployment: an RFC 1123 subdomain. */
export const objectName = /^(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
/** The name of a service account, or a glob pattern that may match one: `*` is any characters, `?` is one. */
export const accountPattern =
  /^(?=.{1,253}$)[a-z0-9*?]([-a-z0-9*?]*[a-z0-9*?])?(\.[a-z0-9*?]([-a-z0-9*?]*[a-z0-9*?])?)*$/;
/** A value of a label, or the part of an annotation's key after the slash. */
export const labelValue = /^[A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?$/;

const label = "[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?";
/** A DNS name, as the source of a regular expression without anchors. */
export const dnsName = `(?=[^:/]{1,253}(?:[:/]|$))${label}(?:\\.${label})*`;
/** The key of a label or annotation, as such a source. */
export const labelKey = `(?:${dnsName}/)?[A-Za-z0-9](?:[\\w.-]{0,61}[A-Za-z0-9])?`;
/** An optional `:PORT`, as such a source. It takes ports that are too high: `URL` does not. */
export const portSuffix = "(?::[1-9]\\d{0,4})?";

/** A region of AWS, as such a source: `eu-central-1`, `us-gov-west-1`, `eusc-de-east-1`. */
export const region = "[a-z]{2,10}(?:-[a-z]{1,20}){1,4}-\\d{1,2}";

/**
 * The host of an ECR registry, with any suffix: `ACCOUNT.dkr.ecr.REGION.SUFFIX`, or the dual-stack
 * `ACCOUNT.dkr-ecr.REGION.SUFFIX`, or either with `ecr-fips`: https://docs.aws.amazon.com/general/latest/gr/ecr.html
 */
export const registryHost = new RegExp(
  `^(?=.{1,253}$)(\\d{12})\\.dkr([.-])ecr(-fips)?\\.(?=[^.]{1,63}\\.)(${region})(?:\\.${label})+$`,
);

/** The host of ECR Public, which has one registry, in the partition `aws`: https://docs.aws.amazon.com/AmazonECR/latest/public/public-registries.html */
export const publicRegistryHost = "public.ecr.aws";
/** The only region whose endpoint gives tokens for it: https://docs.aws.amazon.com/general/latest/gr/ecr-public.html */
export const publicRegistryRegion = "us-east-1";

/** The endpoints of a service in a region, as the SDK calls them: those of FIPS 140, and those with IPv4 and IPv6. */
export interface EndpointVariant {
  readonly useFipsEndpoint: boolean;
  readonly useDualstackEndpoint: boolean;
}

/** What the host of an ECR registry says: whose it is, where, and by which endpoint. Undefined for any other host. */
export function parseRegistryHost(
  host: string,
): (EndpointVariant & { readonly accountId: string; readonly region: string }) | undefined {
  const [, accountId, separator, fips, region] = registryHost.exec(host) ?? [];
  if (accountId === undefined || region === undefined) return undefined;
  return { accountId, region, useFipsEndpoint: fips !== undefined, useDualstackEndpoint: separator === "-" };
}

const hostAndPort = new RegExp(`^(?=localhost$|.*[.:])${dnsName}${portSuffix}$`);
/**
 * Any host of a registry, `HOST` or `HOST:PORT`. It has a dot or a port, or is `localhost`: Docker takes any other word for a
 * part of an image's name. `URL` rejects numbers that are not an address or a port.
 */
export const hostWithOptionalPort = {
  test: (value: string): boolean => hostAndPort.test(value) && URL.canParse(`https://${value}`),
};

const httpProxy = new RegExp(`^http://(?:${dnsName}|\\[[0-9a-f:.]{2,45}\\])${portSuffix}/?$`);
/**
 * The URL of an HTTP proxy, without user and password. `URL` would correct a host such as 10.0.1, which is not an address, so
 * the host must come out unchanged.
 */
export const proxyUrl = {
  test: (value: string): boolean =>
    httpProxy.test(value) &&
    URL.canParse(value) &&
    (value.includes("[") || value.split(/[/:]+/)[1] === new URL(value).hostname),
};
/** A host, or `*.DOMAIN` for all hosts of a domain. */
export const hostPattern = new RegExp(`^(?:\\*\\.)?${dnsName}$`);

/** How the helper can authenticate to AWS. */
export const identities = ["accessKey", "irsa", "podIdentity", "kube2iam", "node"] as const;
