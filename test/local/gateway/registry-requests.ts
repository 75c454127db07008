// Parses requests to the registry into ECR's actions. Pure.
import { account as ownAccount, aws, registryHost } from "../settings.ts";
import type { RegistryId } from "./emulator.ts";
import type { RepositoryId } from "./rights.ts";
import type { ReceivedRequest } from "../aws-requests.ts";

/** One request about a repository. */
export interface RegistryRequest {
  readonly repository: RepositoryId;
  /** The actions that ECR authorizes: `ecr:BatchGetImage`. */
  readonly actions: readonly string[];
  /** The path and query for the emulator, and the host by which it identifies the registry. */
  readonly path: string;
  readonly host: string;
  /** The tag of a manifest that the request writes. */
  readonly writtenTag?: string;
}

type Route = readonly [method: string, path: RegExp, actions: readonly string[]];

/**
 * https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-push-iam.html
 * https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonelasticcontainerregistry.html
 */
const routes: readonly Route[] = [
  ["HEAD", /^blobs\/sha256:[0-9a-f]{64}$/, ["BatchCheckLayerAvailability"]],
  ["GET", /^blobs\/sha256:[0-9a-f]{64}$/, ["GetDownloadUrlForLayer"]],
  ["POST", /^blobs\/uploads\/?$/, ["InitiateLayerUpload"]],
  ["PATCH", /^blobs\/uploads\/[^/]+$/, ["UploadLayerPart"]],
  ["GET", /^blobs\/uploads\/[^/]+$/, ["UploadLayerPart"]],
  ["DELETE", /^blobs\/uploads\/[^/]+$/, ["UploadLayerPart"]],
  ["PUT", /^blobs\/uploads\/[^/]+$/, ["UploadLayerPart", "CompleteLayerUpload"]],
  ["GET", /^manifests\/[^/]+$/, ["BatchGetImage"]],
  ["HEAD", /^manifests\/[^/]+$/, ["BatchGetImage"]],
  ["PUT", /^manifests\/[^/]+$/, ["PutImage"]],
  ["DELETE", /^manifests\/[^/]+$/, ["BatchDeleteImage"]],
  ["GET", /^tags\/list$/, ["ListImages"]],
];

/** The hosts of a registry: https://docs.aws.amazon.com/general/latest/gr/ecr.html */
const host =
  /^(\d{12})\.dkr(?:\.ecr(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.com|-ecr(?:-fips)?\.([a-z0-9-]+)\.on\.aws)(?::\d+)?$/;

/**
 * The registry that a request is for: by the Host header, as in AWS, or by the parameter `ns`, in which containerd sends the original
 * host to a mirror; else the local account's.
 */
export function registryOf({ url = "/", headers }: ReceivedRequest): RegistryId {
  const ns = new URL(url, "http://registry").searchParams.get("ns") ?? "";
  const [, account = ownAccount, single, dualStack] = host.exec(headers.host ?? "") ?? host.exec(ns) ?? [];
  return { account, region: single ?? dualStack ?? aws.AWS_REGION };
}

const word = "(?!(?:blobs|manifests|tags)/)[a-z0-9]+(?:(?:\\.|__?|-+)[a-z0-9]+)*";
/** A repository's name, no segment of which is `blobs`, `manifests` or `tags`, and the path within the repository. */
const pattern = new RegExp(`^/v2/(${word}(?:/${word})*)/((?:blobs|manifests|tags)/[\\w./:-]*)$`);

/** Parses a request; undefined for a path or a method that ECR's registry does not have. */
export function parseRegistryRequest(received: ReceivedRequest): RegistryRequest | undefined {
  const { method = "", url = "/" } = received;
  const { pathname: encoded, searchParams } = new URL(url, "http://registry");
  const pathname = encoded.replaceAll(/%3a/gi, ":");
  // No other escape is accepted: the emulator must not decode another name than the one that is authorized here.
  const [, name, rest = ""] = pattern.exec(pathname) ?? [];
  const found = routes.find(([of, path]) => of === method && path.test(rest));
  if (name === undefined || found === undefined) return undefined;
  const registry = registryOf(received);
  const [, writtenTag] = /^PUT manifests\/(?!sha256:)(.*)$/.exec(`${method} ${rest}`) ?? [];
  return {
    repository: { ...registry, name },
    actions: found[2].map((action) => `ecr:${action}`),
    path: `${pathname}?${queryFor(method, searchParams)}`,
    host: registryHost(registry.account, registry.region),
    ...(writtenTag === undefined ? {} : { writtenTag }),
  };
}

/**
 * Removes parameters that ECR ignores: those of an upload in one request, and of a mount from another repository, for which the token
 * may have no rights. (In AWS mounts can be enabled for an account; the local cloud has no such setting.)
 */
function queryFor(method: string, query: URLSearchParams): string {
  for (const ignored of ["mount", "from", "ns", ...(method === "POST" ? ["digest"] : [])]) query.delete(ignored);
  return query.toString();
}
