// How the helper reaches AWS.
import { hostPattern, proxyUrl } from "../shared/names.ts";
import { commaSeparated, matching, type Environment, type EnvironmentReader } from "./environment-reader.ts";

/** How the helper reaches AWS. Neither the API server nor a source of credentials on the node is reached this way. */
export interface AwsConnection {
  /** `http://HOST:PORT` of a proxy; undefined for none. */
  readonly proxy: string | undefined;
  /** The hosts, or `*.DOMAIN`, that are reached without the proxy. */
  readonly noProxy: readonly string[];
  /** File with certificates, in PEM, that are trusted beside those of Node; undefined for none. It may change. */
  readonly caFile: string | undefined;
  /** Whether ECR and STS have the URLs of the environment, which the SDK reads itself, instead of AWS' own endpoints. */
  readonly hasOwnUrl: { readonly ecr: boolean; readonly sts: boolean };
}

/** Reads the connection. Mistakes go to the reader. */
export function readAwsConnection(reader: EnvironmentReader, env: Environment): AwsConnection {
  const isSet = (name: string): boolean => (env[name] ?? "") !== "";
  const ecr = isSet("AWS_ENDPOINT_URL");
  const proxy = (value: string): string | undefined => (value === "" || proxyUrl.test(value) ? value : undefined);
  return {
    proxy: reader.read("ECR_HELPER_PROXY", "empty or http://HOST:PORT", proxy) || undefined,
    noProxy: reader.read("ECR_HELPER_NO_PROXY", "hosts or *.DOMAIN", commaSeparated(matching(hostPattern))),
    caFile: reader.read("ECR_HELPER_CA_FILE", "empty or the path of a file", matching(/^(?:\/[!-~]+)?$/)) || undefined,
    hasOwnUrl: { ecr, sts: ecr || isSet("AWS_ENDPOINT_URL_STS") },
  };
}
