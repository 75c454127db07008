// Reads how the helper's image comes about: the stack builds it, or somebody else has built it.
import { dnsName, hostWithOptionalPort, portSuffix } from "../../helper/shared/names.ts";
import { defaultOf } from "../pulumi-yaml.ts";
import { hostOfRegistry, registryNamedBy, registryOfHost, type Registry } from "../registry.ts";
import { imagePath } from "./aws-names.ts";
import type { ConfigReader } from "./reader.ts";
import type { RegistriesConfig } from "./registries.ts";

/** What the image is built from, beside the bundle and the Dockerfile. */
export interface ImageBase {
  readonly baseImage: string;
  readonly platform: string;
}

/** An image that somebody else has built and pushed. */
export interface GivenImage {
  /** `HOST/NAME@sha256:...`. */
  readonly ref: string;
  readonly host: string;
  /** The name without the host. */
  readonly repository: string;
  /** The ECR registry that has it; undefined for any other registry, which the stack has no login for. */
  readonly registry: Registry | undefined;
}

export type ImageConfig = ImageBase | GivenImage;

// https://github.com/distribution/reference/blob/main/regexp.go
const baseImagePattern = new RegExp(
  `^(?=.{1,500}$)(?:(?=[^/]*[.:])${dnsName}${portSuffix}/|localhost/)?${imagePath}` +
    "(?::\\w[\\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?$",
);
const byDigest = new RegExp(`^(?=.{1,500}$)([^/]+)/(${imagePath})@sha256:[0-9a-f]{64}$`);
const platforms = /^linux\/(amd64|arm64)$/;

/** Reads the keys of the image. In ECR it must be on a host that the helper keeps a login for, as new nodes pull it with that. */
export function readImage(config: ConfigReader, own: Registry, hosts: RegistriesConfig): ImageConfig {
  const base = {
    baseImage: config.string("baseImage", baseImagePattern, "NAME[:TAG][@sha256:DIGEST] of an image"),
    platform: config.string("platform", platforms, "linux/amd64 or linux/arm64"),
  };
  const form = "HOST/NAME@sha256:DIGEST, without a tag, which could move to another image";
  const ref = config.optional("image", { test: (value) => parseRef(value) !== undefined }, form);
  if (ref === undefined) return base;
  const { host, repository } = parseRef(ref) ?? { host: "", repository: "" };
  for (const [key, value] of Object.entries(base)) {
    if (host === "" || value === defaultOf(key)) continue;
    const expected = `its default, ${defaultOf(key)}: the stack builds no image, as image names one`;
    config.addMistake(key, value, expected);
  }
  const expected = hostMistake(host, own, hosts);
  if (expected !== undefined) config.addMistake("image", ref, expected);
  return { ref, host, repository, registry: host === hosts.registryHost ? own : registryOfHost(host) };
}

/** What is expected instead of an image on this host; undefined if nodes can pull it. */
function hostMistake(
  host: string,
  own: Registry,
  { registries, registryRoles, registryHost }: RegistriesConfig,
): string | undefined {
  if (registryRoles.some(({ hosts }) => hosts.includes(host))) {
    return "an image in a registry without a roleArn: the helper itself logs in for its own image, and no role";
  }
  const isKept = [hostOfRegistry(own), registryHost, ...registries].includes(host);
  if (isKept || registryNamedBy(host) === undefined) return undefined;
  const why = "so that the helper keeps a login with which new nodes pull its image";
  return `an image in the stack's own registry, or in one of registries, ${why}`;
}

function parseRef(ref: string): Pick<GivenImage, "host" | "repository"> | undefined {
  const [, host, repository] = byDigest.exec(ref) ?? [];
  if (host === undefined || repository === undefined || !hostWithOptionalPort.test(host)) return undefined;
  return { host, repository };
}
