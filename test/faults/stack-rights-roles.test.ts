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
import { usedByProviderOnly, unknownToEmulator } from "../whole-run/aws-rights.ts";
import { actionsOf, issuerOf, RestrictedDeployer } from "./restricted-deployer.ts";
import { iam } from "./stack-resources.ts";

/** Actions that the policy grants and whose denial no command of this test can report, by reason. */
const neverReported: Readonly<Record<string, readonly string[]>> = {
  "the emulator does not implement these": unknownToEmulator,
  ...usedByProviderOnly,
};

describe("a deployer that starts without the rights for identities with a role", () => {
  const name = `fr-${randomBytes(3).toString("hex")}`;
  const eks = new EKSClient();
  const principal = { clusterName: cluster, principalArn: `arn:aws:iam::${account}:user/deployer-${name}` };
  const provider = `arn:aws:iam::${account}:oidc-provider/${issuerOf(name)}`;
  const tags = 'tags=["team=builds"]';
  let deployer: RestrictedDeployer;

  before(async () => {
    deployer = await RestrictedDeployer.make(name, /^(LogIn|RepositoryAndImage|Policy)$/);
    // This test is about rights in AWS: in the cluster the user may do everything.
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

  it("gets the name of each missing right, and can continue once it is granted", async (t) => {
    const kube2iam = ["identity=kube2iam", `trustedPrincipals=["${roleArn(nodeRole)}"]`];
    const irsa = ["identity=irsa", `oidcIssuer=https://${issuerOf(name)}`];
    await deployer.up(t, "up as irsa by a provider that is there", irsa);
    await iam.send(new DeleteOpenIDConnectProviderCommand({ OpenIDConnectProviderArn: provider }));
    await deployer.up(t, "up as irsa by a provider of its own", [...irsa, "createOidcProvider=true", tags]);
    // The emulator cannot change the tags of a provider or an association after their creation.
    await deployer.up(t, "up as kube2iam", kube2iam);
    await iam.send(new DeleteRolePermissionsBoundaryCommand({ RoleName: name }));
    await deployer.up(t, "up after the boundary was removed", kube2iam);
  });

  it("gets the names of the rights for EKS and for destroy as well", async (t) => {
    const podIdentity = ["identity=podIdentity", `eksCluster=${cluster}`, "kubeconfig=", tags];
    await deployer.up(t, "up as podIdentity", podIdentity);
    await iam.send(new UpdateRoleCommand({ RoleName: name, Description: "theirs", MaxSessionDuration: 7200 }));
    const own = { clusterName: cluster, namespace: name };
    const { associations = [] } = await eks.send(new ListPodIdentityAssociationsCommand(own));
    const associationId = associations[0]?.associationId;
    const another = { clusterName: cluster, associationId, roleArn: roleArn(nodeRole) };
    await eks.send(new UpdatePodIdentityAssociationCommand(another));
    await deployer.up(t, "up after role and association were changed", podIdentity);
    await deployer.grantUntilAllowed(t, "down", async () => deployer.stack.destroy());
    await deployer.stack.assertCleanedUp();
  });

  it("needs exactly the rights that infra/deployer-policy.json grants for it", async () => {
    const granted = await actionsOf(name, /^(IdentityRole\w*|(At|De)tach\w+|\w*(Irsa|EksCluster|PodIdentity))$/);
    const more = Object.values(neverReported).flat();
    const needed = granted.filter((action) => !more.includes(action) && !/UserPolicy$/.test(action));
    assert.deepEqual([...deployer.deniedActions].sort(), needed.sort());
  });
});
