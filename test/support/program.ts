// Runs the Pulumi program on Pulumi's mocks and returns the inputs of each resource. Nothing leaves the process.
import { setTimeout as delay } from "node:timers/promises";
import * as pulumi from "@pulumi/pulumi";
import { plain } from "../local/pulumi/values.ts";
import { defaultConfig } from "../local/stack.ts";
import { printToken, withAwsCli } from "./aws-cli.ts";

/** The account that the mocks answer with. */
export const account = "123456789012";
/** The registry of the account, in the region that the mocks answer with by default. */
export const ownRegistry = { partition: "aws", accountId: account, region: "eu-central-1" };
/** The password of the authorization token; only the image may get it. */
export const password = "the-password-of-the-registry";
/** The secret of the access key; only the helper's secret may get it. */
export const secretAccessKey = "the-secret-access-key";
/** The id of the access key. */
export const accessKeyId = "AKIAEXAMPLE";
/** The uid of every object that the mocks create. */
const mockedUid = "the-uid";
/** The issuer of the cluster's tokens; IAM has an OIDC provider for it and for no other. */
export const issuer = "https://oidc.example/id/MAIN";
/** The digest of the image that the mocks push. */
export const digest = `sha256:${"0".repeat(64)}`;

/** A resource that the program registered. */
export interface Registered {
  readonly type: string;
  readonly name: string;
  /** The inputs as they reach the engine: a secret is marked (`isSecret`). */
  readonly raw: Record<string, unknown>;
  /** The inputs with the secrets' values. */
  readonly inputs: Record<string, unknown>;
  readonly provider: string;
}

/** Sets the stack's configuration to Pulumi.yaml's defaults with these keys on top. */
export function configure(overrides: Readonly<Record<string, string>>): void {
  const own = Object.entries(overrides).map(([key, value]) => [key.includes(":") ? key : `ecr-helper:${key}`, value]);
  pulumi.runtime.setAllConfig({ ...defaultConfig(), ...(Object.fromEntries(own) as Record<string, string>) });
}

/** A run of the program. */
export interface Program {
  readonly resources: readonly Registered[];
  /** The outputs as Pulumi stores them: without undefined ones. */
  readonly outputs: Record<string, unknown>;
  readonly secretOutputs: readonly string[];
  /** The only resource of a type, or of a type and a name; throws if there is not exactly one. */
  readonly find: (type: string, name?: string) => Registered;
}

type Values = Record<string, unknown>;

/** The results of the providers' functions by their tokens. A call fails if its function throws. */
export type Answers = Readonly<Record<string, (inputs: Values) => Values>>;

type Place = Readonly<Pick<typeof ownRegistry, "partition" | "region">>;

/** The result of looking up the EKS cluster in a partition and region. */
export const eksCluster = ({ partition, region }: Place): Values => ({
  arn: `arn:${partition}:eks:${region}:${account}:cluster/main`,
  endpoint: "https://eks.example",
  certificateAuthorities: [{ data: "Q0E=" }],
  identities: [{ oidcs: [{ issuer }] }],
  kubernetesNetworkConfigs: [{ ipFamily: "ipv4" }],
  region,
});

/** The result of looking up the cluster's OIDC provider. */
export const oidcProvider = ({ partition }: Pick<Place, "partition">): Values => {
  const url = issuer.replace("https://", "");
  return { arn: `arn:${partition}:iam::${account}:oidc-provider/${url}`, url, clientIdLists: ["sts.amazonaws.com"] };
};

/** An error as the engine returns it over gRPC. */
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

/** The outputs that each type of resource has in addition to its inputs. */
function madeIn({ partition, region }: Place): Readonly<Record<string, (inputs: Values) => Values>> {
  const suffix = { "aws-cn": "amazonaws.com.cn", "aws-eusc": "amazonaws.eu" }[partition] ?? "amazonaws.com";
  const host = `${account}.dkr.ecr.${region}.${suffix}`;
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

/** Types that are created with a delay: a resource that does not wait for them is registered before, which tests can see. */
const slow =
  /:(Repository|RepositoryPolicy|Namespace|RolePolicyAttachment|UserPolicyAttachment|PodIdentityAssociation)$/;

/** Options of `runProgram`; the partition and region of `ownRegistry` by default. */
export interface RunOptions extends Partial<Place> {
  readonly stack?: string;
  /** Replaces some of the mocks' answers. */
  readonly answers?: Answers;
  /** How long a resource of a slow type takes, in milliseconds. */
  readonly delay?: number;
  /** The shell commands of the AWS CLI; empty for none in PATH. By default it prints a token. */
  readonly awsCli?: string;
  /** Receives the registered resources, also those of a program that fails. */
  readonly resources?: Registered[];
}

/** Runs infra/index.ts with this configuration. Rejects as the program does. One at a time: the mocks are global. */
export async function runProgram(config: Readonly<Record<string, string>>, options: RunOptions = {}): Promise<Program> {
  const defaults = { ...ownRegistry, stack: "test", answers: {}, delay: 50, awsCli: printToken(), resources: [] };
  const run: Required<RunOptions> = { ...defaults, ...options };
  await pulumi.runtime.setMocks(mocksOf(run), "ecr-helper", run.stack, false);
  configure(config);
  const { exported, values, failure } = await withAwsCli(run.awsCli, importProgram);
  const secret = await Promise.all(
    Object.entries(exported).map(async ([key, value]) => ((await pulumi.isSecret(pulumi.output(value))) ? [key] : [])),
  );
  await pulumi.runtime.disconnect();
  if (failure !== undefined) throw failure as Error;
  return {
    resources: run.resources,
    outputs: Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)),
    secretOutputs: secret.flat(),
    find: (type, name) => {
      const found = run.resources.filter((one) => one.type === type && (name === undefined || one.name === name));
      if (found.length !== 1 || found[0] === undefined)
        throw new Error(`${String(found.length)} resources ${type} ${name ?? ""}`);
      return found[0];
    },
  };
}

function mocksOf({ answers, delay: time, resources, ...place }: Required<RunOptions>): pulumi.runtime.Mocks {
  const [answering, made] = [{ ...answersIn(place), ...answers }, madeIn(place)];
  return {
    newResource: async ({ type, name, inputs: raw, provider = "", id }: pulumi.runtime.MockResourceArgs) => {
      // A resource with an id exists already and is only read.
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
  };
}

let runs = 0;

async function importProgram(): Promise<{ exported: Values; values: Values; failure: unknown }> {
  // A module runs once; the query makes it another module.
  const module = `../../infra/index.ts?run=${String(++runs)}`;
  let [exported, failure]: [Values, unknown] = [{}, undefined];
  const values: unknown = await pulumi.runtime.runInPulumiStack(async () => {
    try {
      exported = ((await import(module)) as { default: Values }).default;
    } catch (error) {
      failure = error; // If it were thrown here, Pulumi's promises for the exports would reject unhandled.
    }
    return exported;
  });
  return { exported, values: values as Values, failure };
}
