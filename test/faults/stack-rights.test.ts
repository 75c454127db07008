import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { ECRClient, PutImageScanningConfigurationCommand } from "@aws-sdk/client-ecr";
import {
  AssociateAccessPolicyCommand,
  CreateAccessEntryCommand,
  DeleteAccessEntryCommand,
  EKSClient,
  ListPodIdentityAssociationsCommand,
  UpdatePodIdentityAssociationCommand,
} from "@aws-sdk/client-eks";
import { CreatePolicyVersionCommand, UpdateRoleCommand } from "@aws-sdk/client-iam";
import { deployerPolicy, deployerStatements, makeDeployer, type Deployer } from "../deployer.ts";
import { account, cluster, nodeRole, roleArn } from "../local/machine.ts";
import { ofTheProviderAlone, unknownToEmulator } from "../whole/aws-rights.ts";
import { commands, EngineStack, type Ended } from "./engine-stack.ts";
import { arnOf, iam } from "./live-stack.ts";

/** What the policy gives, and AWS does not ask for in so many words. */
const unasked = {
  "a registry of AWS asks for these whose token pushes; the emulator's registry asks for the token alone": [
    "ecr:BatchCheckLayerAvailability",
    "ecr:BatchGetImage",
    "ecr:CompleteLayerUpload",
    "ecr:GetDownloadUrlForLayer",
    "ecr:InitiateLayerUpload",
    "ecr:PutImage",
    "ecr:UploadLayerPart",
  ],
  "AWS asks for this one where a role is given to EKS; the emulator does not": ["iam:PassRole"],
  "the emulator does not know these": [...unknownToEmulator, "eks:TagResource", "iam:TagOpenIDConnectProvider"],
  ...ofTheProviderAlone,
};

/** What a stack makes in AWS; the rest of it takes its time and asks AWS for nothing but the image's login. */
const inAws = ["Repository", "Identity"].flatMap((one) => ["--target", `**ecr-helper:index:${one}**`]);

describe("a deployer who begins without any right", () => {
  const name = `fr-${randomBytes(3).toString("hex")}`;
  const principalArn = `arn:aws:iam::${account}:user/deployer-${name}`;
  const allowed = new Set<string>();
  const [ecr, eks] = [new ECRClient(), new EKSClient()];
  let deployer: Deployer;
  let stack: EngineStack;

  before(async () => {
    deployer = await makeDeployer(iam, `deployer-${name}`);
    const { AccessKeyId, SecretAccessKey } = deployer.key;
    const key = [`aws:accessKey=${AccessKeyId}`, `aws:secretKey=${SecretAccessKey}`];
    stack = await EngineStack.make(name, [...key, 'buildNamespaces=["default"]']);
    // What he may in the cluster is not the question.
    await eks.send(new CreateAccessEntryCommand({ clusterName: cluster, principalArn }));
    const policyArn = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy";
    const access = { policyArn, accessScope: { type: "cluster" as const } };
    await eks.send(new AssociateAccessPolicyCommand({ clusterName: cluster, principalArn, ...access }));
  });

  after(async () => {
    await deployer.allow(await deployerPolicy(name));
    await stack.end();
    await eks.send(new DeleteAccessEntryCommand({ clusterName: cluster, principalArn }));
    await deployer.remove();
  });

  const upInAws = async (): Promise<Ended> => stack.try(...commands.up, ...inAws);

  /** Runs a command again and again, and each time gives the rights that it was refused for. */
  const refused = async (run: () => Promise<Ended>): Promise<{ named: string[]; again: string }> => {
    const named: string[] = [];
    for (;;) {
      const { code, said, milliseconds } = await run();
      if (code === 0) return { named, again: `right again after ${String(milliseconds)} ms` };
      const told = [...said.matchAll(/not authorized to perform: (\w+:\w+)/g)].map(([, action = ""]) => action);
      const actions = [...new Set(told)];
      assert.ok(actions.length > 0 && actions.every((action) => !allowed.has(action)), said);
      assert.ok(!said.includes(deployer.key.SecretAccessKey));
      named.push(...actions);
      for (const action of actions) allowed.add(action);
      await deployer.allow(await deployerPolicy(name, (one) => allowed.has(one)));
    }
  };

  const associations = async (): Promise<{ associationId?: string | undefined }[]> => {
    const wanted = new ListPodIdentityAssociationsCommand({ clusterName: cluster, namespace: name });
    return (await eks.send(wanted)).associations ?? [];
  };

  /** What somebody changes behind the stack's back, and `up` puts right. */
  const drift = {
    policy: async (): Promise<unknown> =>
      iam.send(
        new CreatePolicyVersionCommand({
          PolicyArn: arnOf(name),
          PolicyDocument: JSON.stringify({
            Version: "2012-10-17",
            Statement: [{ Effect: "Allow", Action: "ecr:GetAuthorizationToken", Resource: "arn:aws:ecr:*:*:*" }],
          }),
          SetAsDefault: true,
        }),
      ),
    scanning: async (): Promise<unknown> =>
      ecr.send(
        new PutImageScanningConfigurationCommand({
          repositoryName: name,
          imageScanningConfiguration: { scanOnPush: false },
        }),
      ),
    role: async (): Promise<unknown> =>
      iam.send(new UpdateRoleCommand({ RoleName: name, Description: "theirs", MaxSessionDuration: 7200 })),
    association: async (): Promise<unknown> => {
      const [{ associationId } = {}] = await associations();
      const wanted = { clusterName: cluster, associationId, roleArn: roleArn(nodeRole) };
      return eks.send(new UpdatePodIdentityAssociationCommand(wanted));
    },
  };

  it("is told of each that he lacks, by its name, and goes on when he has it", async (t) => {
    const hardened = ['tags=["team=builds"]', "permissionsBoundary=arn:aws:iam::aws:policy/PowerUserAccess"];
    const irsa = ["identity=irsa", `oidcIssuer=https://oidc.example/${name}`, "createOidcProvider=true"];
    const kube2iam = ["identity=kube2iam", `trustedPrincipals=["${roleArn(nodeRole)}"]`];
    const podIdentity = ["identity=podIdentity", `eksCluster=${cluster}`, "kubeconfig="];
    const steps: readonly [what: string, settings: readonly string[], change?: () => Promise<unknown>][] = [
      ["up", []],
      ["up with tags and a boundary", hardened],
      ["up without them again", []],
      ["up where policy and scanning were changed", [], async () => Promise.all([drift.policy(), drift.scanning()])],
      ["up as irsa", irsa],
      // The emulator knows no tags of a provider or an association but those that they are made with.
      ["up as kube2iam", kube2iam],
      ["up as kube2iam with tags and a boundary", [...kube2iam, ...hardened]],
      ["up as kube2iam without them again", kube2iam],
      ["up as podIdentity", podIdentity],
      [
        "up where role and association were changed",
        podIdentity,
        async () => Promise.all([drift.role(), drift.association()]),
      ],
    ];
    for (const [what, settings, change] of steps) {
      stack.configure(...settings);
      await change?.();
      const { named, again } = await refused(upInAws);
      t.diagnostic(`outcome: ${what} without rights | each missing one is named: ${named.join(" ")} | ${again}`);
    }
    const { named, again } = await refused(async () => stack.destroy());
    t.diagnostic(`outcome: down without rights | each missing one is named: ${named.join(" ")} | ${again}`);
    await stack.proveNothingIsLeft();
  });

  it("is told of the one for the image's login by the whole program, which leaves nothing when it is taken down", async (t) => {
    stack.configure();
    const { named, again } = await refused(async () => stack.up());
    assert.deepEqual(named, ["ecr:GetAuthorizationToken"]);
    const down = await stack.destroy();
    assert.equal(down.code, 0, down.said);
    await stack.proveNothingIsLeft();
    t.diagnostic(`outcome: no right to log in to the registry | the action is named, down leaves nothing | ${again}`);
  });

  it("needs all that infra/deployer-policy.json gives him, and nothing else", async () => {
    const given = (await deployerStatements(name)).flatMap(({ Action }) => Action);
    const asked = [...allowed, ...Object.values(unasked).flat()];
    assert.deepEqual(asked.sort(), given.sort());
  });
});
