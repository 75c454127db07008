// The provider's functions about the caller, its region and its registry. Rules: terraform-provider-aws
// internal/service/{meta,sts,ecr}/*_data_source.go.
import { GetAuthorizationTokenCommand } from "@aws-sdk/client-ecr";
import type { PluginFunction } from "../plugin.ts";
import { secret, type Properties } from "../values.ts";
import { getCluster } from "./eks.ts";
import { withContext } from "./errors.ts";
import { regionOf, text, timestamp } from "./inputs.ts";
import { getOpenIdConnectProvider } from "./oidc-provider.ts";
import type { AwsSession } from "./session.ts";

/** By the prefix of the region, as the SDK's endpoints have it (names.PartitionForRegion in names/names.go). */
const partitions: readonly { readonly regions: RegExp; readonly partition: string; readonly dnsSuffix: string }[] = [
  { regions: /^cn-/, partition: "aws-cn", dnsSuffix: "amazonaws.com.cn" },
  { regions: /^us-gov-/, partition: "aws-us-gov", dnsSuffix: "amazonaws.com" },
  { regions: /^us-iso-/, partition: "aws-iso", dnsSuffix: "c2s.ic.gov" },
  { regions: /^us-isob-/, partition: "aws-iso-b", dnsSuffix: "sc2s.sgov.gov" },
  { regions: /^eu-isoe-/, partition: "aws-iso-e", dnsSuffix: "cloud.adc-e.uk" },
  { regions: /^us-isof-/, partition: "aws-iso-f", dnsSuffix: "csp.hci.ic.gov" },
  { regions: /^eusc-/, partition: "aws-eusc", dnsSuffix: "amazonaws.eu" },
  { regions: /^/, partition: "aws", dnsSuffix: "amazonaws.com" },
];

const partitionOf = (region: string): { partition: string; dnsSuffix: string } => {
  const { partition, dnsSuffix } = partitions.find(({ regions }) => regions.test(region)) ?? {
    partition: "aws",
    dnsSuffix: "amazonaws.com",
  };
  return { partition, dnsSuffix };
};

/** The functions that infra/ calls, by their tokens. */
export const awsFunctions: Readonly<Record<string, PluginFunction<AwsSession>>> = {
  "aws:index/getCallerIdentity:getCallerIdentity": async (_, session) => {
    const identity = await session.identity();
    return { ...identity, id: identity.accountId };
  },
  "aws:index/getPartition:getPartition": async (_, { region }) => {
    const { partition, dnsSuffix } = partitionOf(region);
    const reverseDnsPrefix = dnsSuffix.split(".").reverse().join(".");
    return Promise.resolve({ partition, dnsSuffix, reverseDnsPrefix, id: partition });
  },
  "aws:index/getRegion:getRegion": async (args, session) => {
    const region = text(args, "region") ?? text(args, "name") ?? session.region;
    const endpoint = `ec2.${region}.${partitionOf(region).dnsSuffix}`;
    return Promise.resolve({ region, name: region, id: region, endpoint, description: region });
  },
  "aws:eks/getCluster:getCluster": getCluster,
  "aws:iam/getOpenIdConnectProvider:getOpenIdConnectProvider": getOpenIdConnectProvider,
  "aws:ecr/getAuthorizationToken:getAuthorizationToken": getAuthorizationToken,
};

async function getAuthorizationToken(args: Properties, session: AwsSession): Promise<Properties> {
  const registryId = text(args, "registryId");
  // ECR ignores the registry id: a token is valid for every registry that its principal has access to.
  const response = session.ecr(args["region"]).send(new GetAuthorizationTokenCommand());
  const { authorizationData: [data] = [] } = await withContext("getting ECR Authorization Token", response);
  const { authorizationToken = "", expiresAt, proxyEndpoint } = data ?? {};
  const [, userName, password] = /^([^:]*):(.*)$/s.exec(Buffer.from(authorizationToken, "base64").toString()) ?? [];
  if (userName === undefined || password === undefined) {
    throw new Error("getting ECR Authorization Token: unknown ECR authorization token format");
  }
  const region = regionOf(args, session);
  return {
    authorizationToken: secret(authorizationToken),
    expiresAt: timestamp(expiresAt),
    id: region,
    password: secret(password),
    proxyEndpoint,
    region,
    userName,
    ...(registryId === undefined ? {} : { registryId }),
  };
}
