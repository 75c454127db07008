// Runs the Pulumi program on Pulumi's mocks and gives what each resource was given. Nothing leaves the process.
import { setTimeout as delay } from "node:timers/promises";
import * as pulumi from "@pulumi/pulumi";
import { plain } from "../local/pulumi/values.ts";
import { defaultConfig } from "../local/stack.ts";

/** What the mocks answer for the account, the region and the token; a test that finds them elsewhere found a leak. */
export const account = "123456789012";
export const ownRegistry = { partition: "aws", accountId: account, region: "eu-central-1" };
export const password = "the-password-of-the-registry";
export const secretAccessKey = "the-secret-access-key";
export const accessKeyId = "AKIAEXAMPLE";
export const mockedUid = "the-uid";
/** Of the cluster's tokens; IAM has an OIDC provider for it and for no other. */
export const issuer = "https://oidc.example/id/MAIN";
export const digest = `sha256:${"0".repeat(64)}`;

export interface Registered {
  readonly type: string;
  readonly name: string;
  /** As they reach the engine: a secret is marked (`isSecret`). */
  readonly raw: Record<string, unknown>;
  /** With the secrets' values. */
  readonly inputs: Record<string, unknown>;
  readonly provider: string;
}

/** Sets the stack's configuration: Pulumi.yaml's defaults with these on top. */
export function configure(overrides: Readonly<Record<string, string>>): void {
  const own = Object.entries(overrides).map(([key, value]) => [key.includes(":") ? key : `ecr-helper:${key}`, value]);
  pulumi.runtime.setAllConfig({ ...defaultConfig(), ...(Object.fromEntries(own) as Record<string, string>) });
}

export interface Program {
  readonly resources: readonly Registered[];
  /** As Pulumi keeps them: without those that are undefined. */
  readonly outputs: Record<string, unknown>;
  readonly secretOutputs: readonly string[];
  /** The one resource of a type and, where there are several, name. */
  readonly find: (type: string, name?: string) => Registered;
}

type Values = Record<string, unknown>;

/** What functions of the providers answer, by their token. One that throws is a call that fails. */
export type Answers = Readonly<Record<string, (inputs: Values) => Values>>;

interface Place {
  readonly partition: string;
  readonly region: string;
}

export const eksCluster = ({ partition, region }: Place): Values => ({
  arn: `arn:${partition}:eks:${region}:${account}:cluster/main`,
  endpoint: "https://eks.example",
  certificateAuthorities: [{ data: "Q0E=" }],
  identities: [{ oidcs: [{ issuer }] }],
  kubernetesNetworkConfigs: [{ ipFamily: "ipv4" }],
  region,
});

export const oidcProvider = ({ partition }: Pick<Place, "partition">): Values => {
  const url = issuer.replace("https://", "");
  return { arn: `arn:${partition}:iam::${account}:oidc-provider/${url}`, url, clientIdLists: ["sts.amazonaws.com"] };
};

/** A failure as it comes from the engine, by gRPC. */
export const failedCall = (details: string): Error => Object.assign(new Error(details), { details });

const answersIn = (place: Place): Answers => ({
  "aws:index/getCallerIdentity:getCallerIdentity": () => ({ accountId: account }),
  "aws:index/getPartition:getPartition": () => ({ partition: place.partition }),
  "aws:index/getRegion:getRegion": () => ({ region: place.region }),
  "aws:ecr/getAuthorizationToken:getAuthorizationToken": () => ({ userName: "AWS", password }),
  "aws:eks/getCluster:getCluster": () => eksCluster(place),
  "aws:iam/getOpenIdConnectProvider:getOpenIdConnectProvider": ({ arn, url }) => {
    const known = oidcProvider(place);
    if (arn !== known["arn"] && url !== issuer) throw failedCall("no such provider");
    return known;
  },
});

/** What each type of resource has once it is made, beside its inputs. */
function madeIn({ partition, region }: Place): Readonly<Record<string, (given: Values) => Values>> {
  const host = `${account}.dkr.ecr.${region}.amazonaws.com${partition === "aws-cn" ? ".cn" : ""}`;
  const named =
    (kind: string) =>
    ({ name, path = "/" }: Values): Values => ({
      arn: `arn:${partition}:iam::${account}:${kind}${String(path)}${String(name)}`,
    });
  const withUid = ({ metadata }: Values): Values => ({ metadata: { ...(metadata as object), uid: mockedUid } });
  return {
    "kubernetes:core/v1:Secret": withUid,
    "aws:ecr/repository:Repository": ({ name }) => ({ repositoryUrl: `${host}/${String(name)}` }),
    "aws:iam/policy:Policy": named("policy"),
    "aws:iam/user:User": named("user"),
    "aws:iam/role:Role": named("role"),
    "aws:iam/openIdConnectProvider:OpenIdConnectProvider": ({ url }) => ({
      arn: `arn:${partition}:iam::${account}:oidc-provider/${String(url).replace("https://", "")}`,
    }),
    "aws:iam/accessKey:AccessKey": () => ({ secret: secretAccessKey }),
    "docker:index/image:Image": ({ imageName }) => ({
      repoDigest: `${String(imageName).split(":").slice(0, -1).join(":")}@${digest}`,
    }),
    "kubernetes:rbac.authorization.k8s.io/v1:ClusterRole": withUid,
    "kubernetes:rbac.authorization.k8s.io/v1:ClusterRoleBinding": withUid,
  };
}

/** These take their time: what does not wait for them is registered first, and a test sees that. */
const slow =
  /:(Repository|RepositoryPolicy|Namespace|RolePolicyAttachment|UserPolicyAttachment|PodIdentityAssociation)$/;

let runs = 0;

export interface RunOptions extends Partial<Place> {
  readonly stack?: string;
  /** On top of the usual ones. */
  readonly answers?: Answers;
  /** How long the slow ones take, in milliseconds. */
  readonly delay?: number;
  /** Takes what is registered, also by a program that fails. */
  readonly resources?: Registered[];
}

/** Runs infra/index.ts with the given configuration, in a partition and region of AWS. Rejects as the program does. */
export async function runProgram(
  overrides: Readonly<Record<string, string>>,
  {
    partition = ownRegistry.partition,
    region = ownRegistry.region,
    stack = "test",
    answers = {},
    resources = [],
    delay: time = 50,
  }: RunOptions = {},
): Promise<Program> {
  const place = { partition, region };
  const [answering, made] = [{ ...answersIn(place), ...answers }, madeIn(place)];
  await pulumi.runtime.setMocks(
    {
      newResource: async ({ type, name, inputs: raw, provider = "", id }: pulumi.runtime.MockResourceArgs) => {
        // It has an id: it is there already, and only looked up.
        if (id) return { id, state: { metadata: { name: id, uid: mockedUid } } };
        if (slow.test(type)) await delay(time);
        const inputs = plain(raw) as Values;
        resources.push({ type, name, raw: raw as Values, inputs, provider });
        return {
          id: type.includes("AccessKey") ? accessKeyId : name,
          state: { ...(raw as Values), ...made[type]?.(inputs) },
        };
      },
      call: ({ token, inputs }) => {
        const answer = answering[token];
        if (answer === undefined) throw failedCall(`the mocks know no function ${token}`);
        return answer(inputs as Values);
      },
    },
    "ecr-helper",
    stack,
    false,
  );
  configure(overrides);
  // A module runs once; under another name it is another module.
  const module = `../../infra/index.ts?run=${String(++runs)}`;
  let [exported, failure]: [Values, unknown] = [{}, undefined];
  const values: unknown = await pulumi.runtime.runInPulumiStack(async () => {
    try {
      exported = ((await import(module)) as { default: Values }).default;
    } catch (error) {
      failure = error; // Pulumi's promises for the exports would reject with it too, where nobody can await them.
    }
    return exported;
  });
  const outputs = Object.entries(values as Values).filter(([, value]) => value !== undefined);
  const secret = await Promise.all(
    Object.entries(exported).map(async ([key, value]) => ((await pulumi.isSecret(pulumi.output(value))) ? [key] : [])),
  );
  await pulumi.runtime.disconnect();
  if (failure !== undefined) throw failure as Error;
  return {
    resources,
    outputs: Object.fromEntries(outputs),
    secretOutputs: secret.flat(),
    find: (type, name) => {
      const found = resources.filter((one) => one.type === type && (name === undefined || one.name === name));
      if (found.length !== 1 || found[0] === undefined)
        throw new Error(`${String(found.length)} resources ${type} ${name ?? ""}`);
      return found[0];
    },
  };
}
