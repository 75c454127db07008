// A principal that may create policies, users and keys could make itself an administrator. The permissions boundary that
// infra/deployer-policy.json requires prevents this. https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_boundaries.html
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import * as ecr from "@aws-sdk/client-ecr";
import * as eks from "@aws-sdk/client-eks";
import * as iam from "@aws-sdk/client-iam";
import { AssumeRoleCommand } from "@aws-sdk/client-sts";
import { boundaryArn } from "../support/deployer.ts";
import { cluster, roleArn } from "../local/settings.ts";
import {
  administrator,
  clientsOf,
  allowEverything,
  makeIntruder,
  policyArn,
  policyOf,
  refused,
  root,
  trusting,
  type Clients,
  type Intruder,
} from "./intruder.ts";

describe("a deployer that created a policy that allows everything, and a user and a role with it", () => {
  let intruder: Intruder;
  let [id, theirs, lax, UserName, RoleName] = ["", "", "", "", ""];
  let policy: { PolicyArn: string };
  let own: Clients;
  /** Clients with the key of the user that the deployer created. */
  let created: Clients;
  let key = "";

  before(async () => {
    intruder = await makeIntruder();
    ({ id, theirs, lax, own } = intruder);
    [UserName, RoleName, policy] = [id, id, { PolicyArn: policyArn(id) }];
    const PermissionsBoundary = boundaryArn(id);
    await own.iam.send(new iam.CreatePolicyCommand({ PolicyName: id, PolicyDocument: allowEverything }));
    await own.iam.send(new iam.CreateUserCommand({ UserName, PermissionsBoundary }));
    const mine = trusting(intruder.userArn);
    await own.iam.send(new iam.CreateRoleCommand({ RoleName, AssumeRolePolicyDocument: mine, PermissionsBoundary }));
    await own.iam.send(new iam.AttachUserPolicyCommand({ UserName, ...policy }));
    await own.iam.send(new iam.AttachRolePolicyCommand({ RoleName, ...policy }));
    const { AccessKey } = await own.iam.send(new iam.CreateAccessKeyCommand({ UserName }));
    key = AccessKey?.AccessKeyId ?? "";
    created = clientsOf(AccessKey);
  });

  after(async () => {
    await own.iam.send(new iam.DeleteAccessKeyCommand({ UserName, AccessKeyId: key }));
    await own.iam.send(new iam.DetachUserPolicyCommand({ UserName, ...policy }));
    await own.iam.send(new iam.DetachRolePolicyCommand({ RoleName, ...policy }));
    await own.iam.send(new iam.DeleteUserCommand({ UserName }));
    await own.iam.send(new iam.DeleteRoleCommand({ RoleName }));
    await own.iam.send(new iam.DeletePolicyCommand(policy));
    await intruder.remove();
  });

  /** Asserts that a principal may get a token of ECR, and is denied everything that the boundary does not allow. */
  const isBounded = async (who: Clients): Promise<void> => {
    const denied = "with an explicit deny in a permissions boundary";
    assert.ok((await who.ecr.send(new ecr.GetAuthorizationTokenCommand())).authorizationData);
    await refused(who.iam.send(new iam.CreateUserCommand({ UserName: `${id}-3` })), "iam:CreateUser", denied);
    const version = { ...policy, PolicyDocument: allowEverything };
    await refused(who.iam.send(new iam.CreatePolicyVersionCommand(version)), "iam:CreatePolicyVersion", denied);
    const unbounded = who.iam.send(new iam.DeleteUserPermissionsBoundaryCommand({ UserName }));
    await refused(unbounded, "iam:DeleteUserPermissionsBoundary", denied);
    const [repositoryName, session] = [id, { RoleArn: roleArn(theirs), RoleSessionName: id }];
    await refused(who.ecr.send(new ecr.DeleteRepositoryCommand({ repositoryName })), "ecr:DeleteRepository", denied);
    await refused(who.eks.send(new eks.DescribeClusterCommand({ name: cluster })), "eks:DescribeCluster", denied);
    await refused(who.sts.send(new AssumeRoleCommand(session)), "sts:AssumeRole", denied);
  };

  it("gets a key with no more rights than the boundary", async () => isBounded(created));

  it("gets a session with no more rights than the boundary", async () => {
    const RoleArn = roleArn(RoleName);
    // In AWS the role's trust of a user's ARN is enough; the emulator needs an identity-based policy, too.
    const assume = { UserName: `${id}-user`, PolicyName: "assume" };
    const PolicyDocument = policyOf({ Effect: "Allow", Action: "sts:AssumeRole", Resource: RoleArn });
    await root.send(new iam.PutUserPolicyCommand({ ...assume, PolicyDocument }));
    const { Credentials } = await own.sts
      .send(new AssumeRoleCommand({ RoleArn, RoleSessionName: id }))
      .finally(async () => root.send(new iam.DeleteUserPolicyCommand(assume)));
    await isBounded(clientsOf(Credentials));
  });

  it("cannot remove or replace the boundary", async () => {
    const ofUser = own.iam.send(new iam.DeleteUserPermissionsBoundaryCommand({ UserName }));
    await refused(ofUser, "iam:DeleteUserPermissionsBoundary");
    const ofRole = own.iam.send(new iam.DeleteRolePermissionsBoundaryCommand({ RoleName }));
    await refused(ofRole, "iam:DeleteRolePermissionsBoundary");
    const other = { PermissionsBoundary: lax };
    const user = own.iam.send(new iam.PutUserPermissionsBoundaryCommand({ UserName, ...other }));
    await refused(user, "iam:PutUserPermissionsBoundary");
    const role = own.iam.send(new iam.PutRolePermissionsBoundaryCommand({ RoleName, ...other }));
    await refused(role, "iam:PutRolePermissionsBoundary");
  });

  it("can neither attach other policies to them nor add inline policies", async () => {
    for (const PolicyArn of [administrator, lax]) {
      await refused(own.iam.send(new iam.AttachUserPolicyCommand({ UserName, PolicyArn })), "iam:AttachUserPolicy");
      await refused(own.iam.send(new iam.AttachRolePolicyCommand({ RoleName, PolicyArn })), "iam:AttachRolePolicy");
    }
    const inline = { PolicyName: "more", PolicyDocument: allowEverything };
    await refused(own.iam.send(new iam.PutUserPolicyCommand({ UserName, ...inline })), "iam:PutUserPolicy");
    await refused(own.iam.send(new iam.PutRolePolicyCommand({ RoleName, ...inline })), "iam:PutRolePolicy");
  });

  it("can neither attach its policy to a user or role without a boundary, nor change the trust of such a role", async () => {
    await root.send(new iam.DeleteUserPermissionsBoundaryCommand({ UserName }));
    await root.send(new iam.DeleteRolePermissionsBoundaryCommand({ RoleName }));
    await refused(own.iam.send(new iam.AttachUserPolicyCommand({ UserName, ...policy })), "iam:AttachUserPolicy");
    await refused(own.iam.send(new iam.AttachRolePolicyCommand({ RoleName, ...policy })), "iam:AttachRolePolicy");
    const trusted = own.iam.send(new iam.UpdateAssumeRolePolicyCommand({ RoleName, PolicyDocument: trusting() }));
    await refused(trusted, "iam:UpdateAssumeRolePolicy");
    const PermissionsBoundary = boundaryArn(id);
    await own.iam.send(new iam.PutUserPermissionsBoundaryCommand({ UserName, PermissionsBoundary }));
    await own.iam.send(new iam.PutRolePermissionsBoundaryCommand({ RoleName, PermissionsBoundary }));
  });
});
