// Whoever has the rights of infra/deployer-policy.json tries to get more, by each way that its actions may open, with the
// document as it is. https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_boundaries.html
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import * as eks from "@aws-sdk/client-eks";
import * as iam from "@aws-sdk/client-iam";
import { AssumeRoleCommand } from "@aws-sdk/client-sts";
import { boundaryArn } from "../support/deployer.ts";
import { account, aws, cluster, issuer, roleArn } from "../local/settings.ts";
import {
  administrator,
  allowEverything,
  makeIntruder,
  refused,
  trusting,
  type Clients,
  type Intruder,
} from "./intruder.ts";

describe("a deployer with the rights of infra/deployer-policy.json", () => {
  let intruder: Intruder;
  let [id, theirs, lax, userArn] = ["", "", "", ""];
  let own: Clients;

  before(async () => {
    intruder = await makeIntruder();
    ({ id, theirs, lax, userArn, own } = intruder);
  });

  after(async () => intruder.remove());

  it("cannot create a user or a role without the boundary, with another one, or under another name or path", async () => {
    const AssumeRolePolicyDocument = trusting();
    const within = { PermissionsBoundary: boundaryArn(id) };
    for (const one of [{}, { PermissionsBoundary: lax }, { PermissionsBoundary: administrator }]) {
      await refused(own.iam.send(new iam.CreateUserCommand({ UserName: id, ...one })), "iam:CreateUser");
      const role = { AssumeRolePolicyDocument, ...one };
      for (const RoleName of [id, `${id}-push`]) {
        await refused(own.iam.send(new iam.CreateRoleCommand({ RoleName, ...role })), "iam:CreateRole");
      }
    }
    for (const named of [
      { UserName: `${id}-2`, ...within },
      { UserName: id, Path: `/${id}/`, ...within },
    ]) {
      await refused(own.iam.send(new iam.CreateUserCommand(named)), "iam:CreateUser");
    }
    const elsewhere = { RoleName: id, Path: `/${id}/`, AssumeRolePolicyDocument, ...within };
    await refused(own.iam.send(new iam.CreateRoleCommand(elsewhere)), "iam:CreateRole");
  });

  it("cannot change the boundary or policies of other names", async () => {
    for (const PolicyArn of [boundaryArn(id), lax]) {
      const version = { PolicyArn, PolicyDocument: allowEverything, SetAsDefault: true };
      await refused(own.iam.send(new iam.CreatePolicyVersionCommand(version)), "iam:CreatePolicyVersion");
      const first = { PolicyArn, VersionId: "v1" };
      await refused(own.iam.send(new iam.SetDefaultPolicyVersionCommand(first)), "iam:SetDefaultPolicyVersion");
      await refused(own.iam.send(new iam.DeletePolicyVersionCommand(first)), "iam:DeletePolicyVersion");
      await refused(own.iam.send(new iam.DeletePolicyCommand({ PolicyArn })), "iam:DeletePolicy");
      const tags = { PolicyArn, Tags: [{ Key: "a", Value: "b" }] };
      await refused(own.iam.send(new iam.TagPolicyCommand(tags)), "iam:TagPolicy");
    }
    const made = { PolicyName: `${id}-boundary`, Path: "/", PolicyDocument: allowEverything };
    await refused(own.iam.send(new iam.CreatePolicyCommand(made)), "iam:CreatePolicy");
  });

  it("cannot change other users and roles", async () => {
    const [UserName, RoleName] = [theirs, theirs];
    await refused(own.iam.send(new iam.CreateAccessKeyCommand({ UserName })), "iam:CreateAccessKey");
    await refused(own.iam.send(new iam.CreateAccessKeyCommand({ UserName: `${id}-user` })), "iam:CreateAccessKey");
    const attached = { PolicyArn: administrator };
    await refused(own.iam.send(new iam.AttachUserPolicyCommand({ UserName, ...attached })), "iam:AttachUserPolicy");
    await refused(own.iam.send(new iam.AttachRolePolicyCommand({ RoleName, ...attached })), "iam:AttachRolePolicy");
    const mine = { RoleName, PolicyDocument: trusting(userArn) };
    await refused(own.iam.send(new iam.UpdateAssumeRolePolicyCommand(mine)), "iam:UpdateAssumeRolePolicy");
    const renamed = { UserName, NewUserName: id };
    await refused(own.iam.send(new iam.UpdateUserCommand(renamed)), "iam:UpdateUser");
    await refused(own.iam.send(new iam.DeleteUserCommand({ UserName })), "iam:DeleteUser");
    await refused(own.iam.send(new iam.DeleteRoleCommand({ RoleName })), "iam:DeleteRole");
    const session = { RoleArn: roleArn(theirs), RoleSessionName: id };
    await refused(own.sts.send(new AssumeRoleCommand(session)), "sts:AssumeRole");
    const inline = { UserName: `${id}-user`, PolicyName: "more", PolicyDocument: allowEverything };
    await refused(own.iam.send(new iam.PutUserPolicyCommand(inline)), "iam:PutUserPolicy");
  });

  it("cannot change other OIDC providers, clusters and associations", async () => {
    const arn = (name: string): string => `arn:aws:iam::${account}:oidc-provider/${name}`;
    for (const name of [`oidc.example/${id}`, `${issuer.replace("https://", "")}/more`]) {
      const OpenIDConnectProviderArn = arn(name);
      const removed = new iam.DeleteOpenIDConnectProviderCommand({ OpenIDConnectProviderArn });
      await refused(own.iam.send(removed), "iam:DeleteOpenIDConnectProvider");
      const made = { Url: `https://${name}`, ClientIDList: ["sts.amazonaws.com"] };
      await refused(own.iam.send(new iam.CreateOpenIDConnectProviderCommand(made)), "iam:CreateOpenIDConnectProvider");
    }
    const audience = { OpenIDConnectProviderArn: arn(issuer.replace("https://", "")), ClientID: "more" };
    const added = own.iam.send(new iam.AddClientIDToOpenIDConnectProviderCommand(audience));
    await refused(added, "iam:AddClientIDToOpenIDConnectProvider");
    const other = { clusterName: theirs, associationId: "a-1" };
    const deleted = own.eks.send(new eks.DeletePodIdentityAssociationCommand(other));
    await refused(deleted, "eks:DeletePodIdentityAssociation");
    const changed = own.eks.send(new eks.UpdatePodIdentityAssociationCommand({ ...other, roleArn: roleArn(id) }));
    await refused(changed, "eks:UpdatePodIdentityAssociation");
    await refused(own.eks.send(new eks.DescribeClusterCommand({ name: theirs })), "eks:DescribeCluster");
    const pods = { namespace: id, serviceAccount: id, roleArn: roleArn(theirs) };
    const passed = own.eks.send(new eks.CreatePodIdentityAssociationCommand({ clusterName: cluster, ...pods }));
    await refused(passed, "iam:PassRole");
    const made = own.eks.send(
      new eks.CreatePodIdentityAssociationCommand({ clusterName: theirs, ...pods, roleArn: roleArn(id) }),
    );
    await refused(made, "eks:CreatePodIdentityAssociation");
    const resourceArn = `arn:aws:eks:${aws.AWS_REGION}:${account}:cluster/${cluster}`;
    await refused(own.eks.send(new eks.TagResourceCommand({ resourceArn, tags: { a: "b" } })), "eks:TagResource");
  });

  it("is denied what the local cloud cannot evaluate", async () => {
    const request = own.iam.send(new iam.CreateGroupCommand({ GroupName: id }));
    await assert.rejects(request, {
      name: /^InvalidAction/,
      message: /does not know which rights iam:CreateGroup needs/,
    });
  });
});
