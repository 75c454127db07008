// The keys of the way from the helper to AWS: endpoints, proxy and CA.
import { X509Certificate } from "node:crypto";
import { hostPattern, objectName, proxyUrl, region } from "../../helper/shared/names.ts";
import { endpointUrl } from "./aws-names.ts";
import type { ConfigReader } from "./reader.ts";

/** The validated keys of the way to AWS. */
export interface AwsConnectionConfig {
  readonly awsEndpointUrl: string | undefined;
  readonly stsEndpointUrl: string | undefined;
  /** `http://HOST:PORT`; undefined for none. */
  readonly proxy: string | undefined;
  /** Hosts, or `*.DOMAIN`, that are reached without the proxy. */
  readonly noProxy: readonly string[];
  readonly caBundle: CaBundleConfig | undefined;
}

/** Certificates in PEM, or the ConfigMap in the helper's namespace that has them. */
export type CaBundleConfig = { readonly pem: string } | { readonly configMap: string; readonly key: string };

/** Reads the keys of the way to AWS, and collects the mistakes in them. */
export function readAwsConnection(config: ConfigReader): AwsConnectionConfig {
  return { ...readEndpoints(config), ...readProxy(config), caBundle: readCaBundle(config) };
}

/**
 * Rejects http:// by default: anyone on the path could read the tokens, which have all the rights of the helper's
 * identity.
 */
function readEndpoints(config: ConfigReader): Pick<AwsConnectionConfig, "awsEndpointUrl" | "stsEndpointUrl"> {
  const isInsecure = config.boolean("insecureEndpoints");
  const read = (key: string): string | undefined => {
    const url = config.optional(key, endpointUrl, "https://HOST[:PORT]");
    if (url?.toLowerCase().startsWith("http:") === true && !isInsecure) {
      const why =
        "the tokens would come over the network in the clear. insecureEndpoints = true allows it, for an emulator";
      config.addMistake(key, url, `https://HOST[:PORT]: ${why}`);
    }
    return url;
  };
  return { awsEndpointUrl: read("awsEndpointUrl"), stsEndpointUrl: read("stsEndpointUrl") };
}

/** What the helper asks AWS for: the regions of tokens, and whether it needs STS for them, or ECR Public. */
export interface AwsCalls {
  readonly regions: readonly string[];
  readonly needsSts: boolean;
  readonly needsPublic: boolean;
}

/** https://docs.aws.amazon.com/AmazonECR/latest/userguide/vpc-endpoints.html */
const vpcEndpoint = new RegExp(`^https://vpce-[^/]*\\.(?:api|dkr)\\.ecr\\.(${region})\\.vpce\\.`, "i");

/** Rejects a VPC endpoint of ECR where the helper needs what it does not serve: another region, STS, or ECR Public. */
export function checkVpcEndpoint(
  config: ConfigReader,
  { awsEndpointUrl = "", stsEndpointUrl }: Pick<AwsConnectionConfig, "awsEndpointUrl" | "stsEndpointUrl">,
  { regions, needsSts, needsPublic }: AwsCalls,
): void {
  const served = vpcEndpoint.exec(awsEndpointUrl)?.[1];
  if (served === undefined) return;
  const others = [...regions.filter((one) => one !== served), ...(needsPublic ? ["ECR Public"] : [])];
  if (others.length > 0) {
    const remedy = "leave the key out, and let ECR's own host in each region resolve to an endpoint there";
    const expected = `an endpoint that serves ${others.join(", ")}, too: a VPC endpoint serves one region; or ${remedy}`;
    config.addMistake("awsEndpointUrl", awsEndpointUrl, expected);
  }
  if (needsSts && stsEndpointUrl === undefined) {
    const expected = "https://HOST[:PORT] of STS, as awsEndpointUrl is a VPC endpoint of ECR, which does not serve STS";
    config.addMistake("stsEndpointUrl", "", expected);
  }
}

/** Rejects a user and password in the proxy's URL: it is in the pod's spec, which many may read. */
function readProxy(config: ConfigReader): Pick<AwsConnectionConfig, "proxy" | "noProxy"> {
  const expected = "http://HOST[:PORT], without user and password: let the proxy know the helper by its address";
  const proxy = config.optional("proxy", proxyUrl, expected);
  const noProxy = config.strings("noProxy", hostPattern, "hosts, without a port, or *.DOMAIN");
  if (noProxy.length > 0 && proxy === undefined) {
    config.addMistake("noProxy", JSON.stringify(noProxy), "nothing: proxy is not set");
  }
  return { proxy, noProxy: [...new Set(noProxy)] };
}

function readCaBundle(config: ConfigReader): CaBundleConfig | undefined {
  const expected = "certificates in PEM and nothing else, of 1 MB at most, or CONFIGMAP/KEY";
  const value = config.optional("caBundle", { test: (text) => parseCaBundle(text) !== undefined }, expected);
  return value === undefined ? undefined : parseCaBundle(value);
}

/** Undefined for text that is neither certificates nor the key of a ConfigMap. */
function parseCaBundle(text: string): CaBundleConfig | undefined {
  // https://kubernetes.io/docs/concepts/configuration/configmap/#configmap-object
  const [, configMap, key] = /^([^/]{1,253})\/((?!\.\.|\.$)[-.\w]{1,253})$/.exec(text) ?? [];
  if (configMap !== undefined && key !== undefined) return objectName.test(configMap) ? { configMap, key } : undefined;
  const pem = parseCertificates(text);
  return pem === undefined ? undefined : { pem };
}

/** The certificates without the comments between them; undefined if there is none, or anything else in PEM. */
function parseCertificates(text: string): string | undefined {
  const pattern = /-----BEGIN CERTIFICATE-----[\w+/=\s]+-----END CERTIFICATE-----/g;
  const certificates = text.match(pattern) ?? [];
  if (certificates.length === 0 || text.replace(pattern, "").includes("-----")) return undefined;
  const pem = certificates.map((one) => `${one}\n`).join("");
  // A ConfigMap takes 1 MiB.
  return pem.length <= 1_000_000 && certificates.every(isCertificate) ? pem : undefined;
}

function isCertificate(pem: string): boolean {
  try {
    return new X509Certificate(pem).raw.length > 0;
  } catch {
    return false; // The caller adds the mistake.
  }
}
