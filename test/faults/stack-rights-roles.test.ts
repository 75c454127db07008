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
  DeleteRolePermissionsBoundaryCommand,
  UpdateRoleCommand,
} from "@aws-sdk/client-iam";
import { account, cluster, nodeRole, roleArn } from "../local/settings.ts";
import { ofTheProviderAlone, unknownToEmulator } from "../whole-run/aws-rights.ts";
import { actionsOf, issuerOf, RestrictedDeployer } from "./restricted-deployer.ts";
import { iam } from "./stack-resources.ts";

/** What the policy gives, and AWS does not ask for in so many words. */
const unasked: Readonly<Record<string, readonly string[]>> = {
  "the emulator does not know these": unknownToEmulator,
  ...ofTheProviderAlone,
};

describe("a deployer who begins without the rights of the identities that have a role", () => {
  const name = `fr-${randomBytes(3).toString("hex")}`;
  const eks = new EKSClient();
  const principal = { clusterName: cluster, principalArn: `arn:aws:iam::${account}:user/deployer-${name}` };
  const provider = `arn:aws:iam::${account}:oidc-provider/${issuerOf(name)}`;
  const tags = 'tags=["team=builds"]';
  let deployer: RestrictedDeployer;

  before(async () => {
    deployer = await RestrictedDeployer.make(name, /^(LogIn|RepositoryAndImage|Policy)$/);
    // What he may in the cluster is not the question.
    await eks.send(new CreateAccessEntryCommand(principal));
    const policyArn = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy";
    await eks.send(
      new AssociateAccessPolicyCommand({ ...principal, policyArn, accessScope: { type: "cluster" as const } }),
    );
    const theirs = { Url: `https://${issuerOf(name)}`, ClientIDList: ["sts.amazonaws.com"] };
    await iam.send(new CreateOpenIDConnectProviderCommand(theirs));
  });

  after(async () => {
    await deployer.end();
    await eks.send(new DeleteAccessEntryCommand(principal));
  });

  it("is told of each that he lacks, by its name, and goes on when he has it", async (t) => {
    const kube2iam = ["identity=kube2iam", `trustedPrincipals=["${roleArn(nodeRole)}"]`];
    const irsa = ["identity=irsa", `oidcIssuer=https://${issuerOf(name)}`];
    await deployer.up(t, "up as irsa by a provider that is there", irsa);
    await iam.send(new DeleteOpenIDConnectProviderCommand({ OpenIDConnectProviderArn: provider }));
    await deployer.up(t, "up as irsa by a provider of its own", [...irsa, "createOidcProvider=true", tags]);
    // The emulator knows no tags of a provider or an association but those that they are made with.
    await deployer.up(t, "up as kube2iam", kube2iam);
    await iam.send(new DeleteRolePermissionsBoundaryCommand({ RoleName: name }));
    await deployer.up(t, "up where somebody took the boundary away", kube2iam);
  });

  it("is told of each of EKS' as well, and of those that take everything down", async (t) => {
    const podIdentity = ["identity=podIdentity", `eksCluster=${cluster}`, "kubeconfig=", tags];
    await deployer.up(t, "up as podIdentity", podIdentity);
    await iam.send(new UpdateRoleCommand({ RoleName: name, Description: "theirs", MaxSessionDuration: 7200 }));
    const own = { clusterName: cluster, namespace: name };
    const { associations = [] } = await eks.send(new ListPodIdentityAssociationsCommand(own));
    const associationId = associations[0]?.associationId;
    const another = { clusterName: cluster, associationId, roleArn: roleArn(nodeRole) };
    await eks.send(new UpdatePodIdentityAssociationCommand(another));
    await deployer.up(t, "up where somebody changed role and association", podIdentity);
    await deployer.grantUntilAllowed(t, "down", async () => deployer.stack.destroy());
    await deployer.stack.proveNothingIsLeft();
  });

  it("needs all that infra/deployer-policy.json gives him for it, and nothing else", async () => {
    const given = await actionsOf(name, /^(IdentityRole\w*|(At|De)tach\w+|\w*(Irsa|EksCluster|PodIdentity))$/);
    const more = Object.values(unasked).flat();
    const needed = given.filter((action) => !more.includes(action) && !/UserPolicy$/.test(action));
    assert.deepEqual([...deployer.deniedActions].sort(), needed.sort());
  });
});
