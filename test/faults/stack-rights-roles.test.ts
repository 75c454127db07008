import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import {
  AssociateAccessPolicyCommand,
  CreateAccessEntryCommand,
  DeleteAccessEntryCommand,
  EKSClient,
  ListPodIdentityAssociationsCommand,
  UpdatePodIdentityAssociationCommand,
} from "@aws-sdk/client-eks";
import {
  CreateOpenIDConnectProviderCommand,
  DeleteOpenIDConnectProviderCommand,
  UpdateRoleCommand,
} from "@aws-sdk/client-iam";
import { account, cluster, nodeRole, roleArn } from "../local/machine.ts";
import { ofTheProviderAlone, unknownToEmulator } from "../whole/aws-rights.ts";
import { actionsOf, LackingDeployer } from "./lacking-deployer.ts";
import { iam } from "./live-stack.ts";

/** What the policy gives, and AWS does not ask for in so many words. */
const unasked = {
  "AWS asks for this one where a role is given to EKS; the emulator does not": ["iam:PassRole"],
  "the emulator does not know these": [...unknownToEmulator, "eks:TagResource", "iam:TagOpenIDConnectProvider"],
  ...ofTheProviderAlone,
};

describe("a deployer who begins without the rights of the identities that have a role", () => {
  const name = `fr-${randomBytes(3).toString("hex")}`;
  const eks = new EKSClient();
  const principal = { clusterName: cluster, principalArn: `arn:aws:iam::${account}:user/deployer-${name}` };
  const theirs = `oidc.example/theirs-${name}`;
  let deployer: LackingDeployer;

  before(async () => {
    deployer = await LackingDeployer.make(name, /^(LogIn|RepositoryAndImage|Policy)$/);
    // What he may in the cluster is not the question.
    await eks.send(new CreateAccessEntryCommand(principal));
    const policyArn = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy";
    await eks.send(
      new AssociateAccessPolicyCommand({ ...principal, policyArn, accessScope: { type: "cluster" as const } }),
    );
    await iam.send(
      new CreateOpenIDConnectProviderCommand({ Url: `https://${theirs}`, ClientIDList: ["sts.amazonaws.com"] }),
    );
  });

  after(async () => {
    await deployer.end();
    const OpenIDConnectProviderArn = `arn:aws:iam::${account}:oidc-provider/${theirs}`;
    await iam.send(new DeleteOpenIDConnectProviderCommand({ OpenIDConnectProviderArn }));
    await eks.send(new DeleteAccessEntryCommand(principal));
  });

  it("is told of each that he lacks, by its name, and goes on when he has it", async (t) => {
    const kube2iam = ["identity=kube2iam", `trustedPrincipals=["${roleArn(nodeRole)}"]`];
    const hardened = ['tags=["team=builds"]', "permissionsBoundary=arn:aws:iam::aws:policy/PowerUserAccess"];
    await deployer.up(t, "up as irsa by a provider that is there", ["identity=irsa", `oidcIssuer=https://${theirs}`]);
    const own = ["identity=irsa", `oidcIssuer=https://oidc.example/${name}`, "createOidcProvider=true"];
    await deployer.up(t, "up as irsa by a provider of its own", own);
    // The emulator knows no tags of a provider or an association but those that they are made with.
    await deployer.up(t, "up as kube2iam", kube2iam);
    await deployer.up(t, "up as kube2iam with tags and a boundary", [...kube2iam, ...hardened]);
    await deployer.up(t, "up as kube2iam without them again", kube2iam);
  });

  it("is told of each of EKS' as well, and of those that take everything down", async (t) => {
    const podIdentity = ["identity=podIdentity", `eksCluster=${cluster}`, "kubeconfig="];
    await deployer.up(t, "up as podIdentity", podIdentity);
    await iam.send(new UpdateRoleCommand({ RoleName: name, Description: "theirs", MaxSessionDuration: 7200 }));
    const own = { clusterName: cluster, namespace: name };
    const { associations = [] } = await eks.send(new ListPodIdentityAssociationsCommand(own));
    const associationId = associations[0]?.associationId;
    const another = { clusterName: cluster, associationId, roleArn: roleArn(nodeRole) };
    await eks.send(new UpdatePodIdentityAssociationCommand(another));
    await deployer.up(t, "up where somebody changed role and association", podIdentity);
    await deployer.refused(t, "down", async () => deployer.stack.destroy());
    await deployer.stack.proveNothingIsLeft();
  });

  it("needs all that infra/deployer-policy.json gives him for it, and nothing else", async () => {
    const given = await actionsOf(name, /^(IdentityRole|AttachNothingElse|\w*(Irsa|EksCluster|PodIdentity))$/);
    const more = Object.values(unasked).flat();
    const needed = given.filter((action) => !more.includes(action) && !/UserPolicy$/.test(action));
    assert.deepEqual([...deployer.told].sort(), needed.sort());
  });
});
