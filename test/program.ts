// Runs the Pulumi program on Pulumi's mocks and gives what each resource was given. Nothing leaves the process.
import { setTimeout as delay } from "node:timers/promises";
import * as pulumi from "@pulumi/pulumi";
import { plain } from "./local/engine/secrets.ts";
import { defaultConfig } from "./local/stack.ts";

/** What the mocks answer for the account, the region and the token; a test that finds them elsewhere found a leak. */
export const account = "123456789012";
export const password = "the-password-of-the-registry";
export const secretAccessKey = "the-secret-access-key";
export const mockedUid = "the-uid";
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
  readonly outputs: Record<string, unknown>;
  /** The one resource of a type and, where there are several, name. */
  readonly find: (type: string, name?: string) => Registered;
}

let runs = 0;

/** Runs infra/index.ts with the given configuration, in a partition and region of AWS. Rejects as the program does. */
export async function runProgram(
  overrides: Readonly<Record<string, string>>,
  { partition = "aws", stack = "test", region = "eu-central-1" } = {},
): Promise<Program> {
  const resources: Registered[] = [];
  const suffix = partition === "aws-cn" ? "amazonaws.com.cn" : "amazonaws.com";
  const answers: Record<string, Record<string, unknown>> = {
    "aws:index/getCallerIdentity:getCallerIdentity": { accountId: account },
    "aws:index/getPartition:getPartition": { partition },
    "aws:index/getRegion:getRegion": { region },
    "aws:ecr/getAuthorizationToken:getAuthorizationToken": { userName: "AWS", password },
    "aws:eks/getCluster:getCluster": {
      endpoint: "https://eks.example",
      certificateAuthorities: [{ data: "Q0E=" }],
      region,
    },
  };
  const outputsOf = ({ type, inputs }: pulumi.runtime.MockResourceArgs): Record<string, unknown> => {
    const given = plain(inputs) as Record<string, unknown>;
    const host = `${account}.dkr.ecr.${region}.${suffix}`;
    if (type === "aws:ecr/repository:Repository") return { repositoryUrl: `${host}/${String(given["name"])}` };
    if (type === "aws:iam/policy:Policy")
      return { arn: `arn:${partition}:iam::${account}:policy/${String(given["name"])}` };
    if (type === "aws:iam/accessKey:AccessKey") return { secret: secretAccessKey };
    if (type === "docker:index/image:Image")
      return { repoDigest: `${String(given["imageName"]).split(":").slice(0, -1).join(":")}@${digest}` };
    if (type.includes("ClusterRole")) return { metadata: { ...(given["metadata"] as object), uid: mockedUid } };
    return {};
  };
  await pulumi.runtime.setMocks(
    {
      newResource: async (args) => {
        // A namespace takes its time: what does not wait for it is registered first, and a test sees that.
        if (args.type.endsWith(":Namespace")) await delay(50);
        const provider = args.provider ?? "";
        resources.push({
          type: args.type,
          name: args.name,
          raw: args.inputs as Record<string, unknown>,
          inputs: plain(args.inputs) as Record<string, unknown>,
          provider,
        });
        return {
          id: args.type.includes("AccessKey") ? "AKIAEXAMPLE" : args.name,
          state: { ...(args.inputs as object), ...outputsOf(args) },
        };
      },
      call: ({ token }) => {
        const answer = answers[token];
        if (answer === undefined) throw new Error(`the mocks know no function ${token}`);
        return answer;
      },
    },
    "ecr-helper",
    stack,
    false,
  );
  configure(overrides);
  // A module runs once; under another name it is another module.
  const module = `../infra/index.ts?run=${String(++runs)}`;
  const exported = await pulumi.runtime.runInPulumiStack(async () => (await import(module)) as Record<string, unknown>);
  const outputs = await (
    pulumi.output(exported) as unknown as { promise(): Promise<Record<string, unknown>> }
  ).promise();
  await pulumi.runtime.disconnect();
  return {
    resources,
    outputs,
    find: (type, name) => {
      const found = resources.filter((one) => one.type === type && (name === undefined || one.name === name));
      if (found.length !== 1 || found[0] === undefined)
        throw new Error(`${String(found.length)} resources ${type} ${name ?? ""}`);
      return found[0];
    },
  };
}
