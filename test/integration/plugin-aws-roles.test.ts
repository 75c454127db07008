// Roles, OIDC providers and associations of the AWS stand-in, against the emulator.
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import * as eks from "@aws-sdk/client-eks";
import * as iam from "@aws-sdk/client-iam";
import { awsFunctions } from "../local/pulumi/aws/functions.ts";
import { InitFailedError, type LiveResource } from "../local/pulumi/resource-type.ts";
import { account, cluster } from "../local/settings.ts";
import {
  assertDeleted,
  changes,
  checked,
  create,
  lifecycle,
  name,
  policyDocument,
  refresh,
  removeCreated,
  session,
  text,
  typeOf,
  update,
} from "./plugin-resources.ts";

after(removeCreated);

const trust = (service: string): string =>
  JSON.stringify({
    Version: "2012-10-17",
    Statement: [{ Effect: "Allow", Action: "sts:AssumeRole", Principal: { Service: service } }],
  });
const roleArn = (role: string): string => `arn:aws:iam::${account}:role/${role}`;

describe("roles, OIDC providers and associations of the AWS stand-in", () => {
  const roleToken = "aws:iam/role:Role";
  const oidcToken = "aws:iam/openIdConnectProvider:OpenIdConnectProvider";
  const associationToken = "aws:eks/podIdentityAssociation:PodIdentityAssociation";
  let role: LiveResource;

  it("create a role, and update in place all properties that allow it", async () => {
    const inputs = { name, assumeRolePolicy: trust("pods.eks.amazonaws.com"), tags: { a: "1" } };
    role = await lifecycle(roleToken, inputs);
    assert.equal(role.outputs["arn"], roleArn(name));
    assert.match(text(role, "createDate"), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    const next = { ...inputs, assumeRolePolicy: trust("ec2.amazonaws.com"), description: "x", tags: { b: "2" } };
    role = await update(roleToken, role, { ...next, maxSessionDuration: 7200 });
    assert.deepEqual([role.outputs["maxSessionDuration"], role.outputs["description"]], [7200, "x"]);
    role = await update(roleToken, role, inputs);
    assert.deepEqual([role.outputs["maxSessionDuration"], role.outputs["description"]], [3600, ""]);
  });

  it("show another client's change of a trust policy", async () => {
    const theirs = { RoleName: name, PolicyDocument: trust("lambda.amazonaws.com") };
    await session.iam.send(new iam.UpdateAssumeRolePolicyCommand(theirs));
    const refreshed = (await refresh(roleToken, role)) ?? assert.fail();
    assert.deepEqual(changes(roleToken, refreshed, role.inputs), { assumeRolePolicy: "UPDATE" });
    role = await update(roleToken, refreshed, { ...role.inputs, __defaults: undefined });
  });

  it("attach a policy to a role, and delete the role nevertheless if forceDetachPolicies is set", async () => {
    const policy = await create("aws:iam/policy:Policy", { name: `${name}-r`, policy: policyDocument("s3:*") });
    const token = "aws:iam/rolePolicyAttachment:RolePolicyAttachment";
    const inputs = { role: name, policyArn: policy.id };
    const live = await lifecycle(token, inputs, () => `${name}/${policy.id}`);
    await assert.rejects(typeOf(roleToken).delete(name, role.outputs, session), /DeleteConflict/);
    await typeOf(roleToken).delete(name, { ...role.outputs, forceDetachPolicies: true }, session);
    assert.equal(await refresh(roleToken, role), undefined);
    await assertDeleted(token, live);
    await assertDeleted(roleToken, role);
    await assertDeleted("aws:iam/policy:Policy", policy);
  });

  it("create an OIDC provider, and find it by its issuer and by its ARN", async () => {
    const url = `https://${name}.example.com/id`;
    const live = await lifecycle(oidcToken, { url, clientIdLists: ["b", "a"], tags: { a: "1" } });
    assert.equal(live.id, `arn:aws:iam::${account}:oidc-provider/${name}.example.com/id`);
    assert.equal(live.outputs["url"], `${name}.example.com/id`);
    const lookup = awsFunctions["aws:iam/getOpenIdConnectProvider:getOpenIdConnectProvider"] ?? assert.fail();
    for (const wanted of [{ url }, { arn: live.id }]) {
      const found = await lookup(wanted, session);
      assert.deepEqual([found["arn"], found["url"]], [live.id, `${name}.example.com/id`]);
    }
    await assertDeleted(oidcToken, live);
    await assert.rejects(lookup({ url }, session), /finding IAM OIDC Provider by url/);
    await assert.rejects(lookup({ arn: live.id }, session), /couldn't find resource/);
  });

  it("associate a role with a service account, and import it by its cluster", async () => {
    const inputs = { clusterName: cluster, namespace: name, serviceAccount: name, roleArn: roleArn("one") };
    const live = await lifecycle(associationToken, inputs, ({ id }) => `${cluster},${id}`);
    const updated = await update(associationToken, live, { ...inputs, roleArn: roleArn("two") });
    const wanted = { clusterName: cluster, associationId: live.id };
    const found = await session.eks().send(new eks.DescribePodIdentityAssociationCommand(wanted));
    assert.equal(found.association?.roleArn, roleArn("two"));
    await assertDeleted(associationToken, updated);
    await assert.rejects(typeOf(associationToken).read("a-1", session), /use: 'cluster-name,association-id'/);
  });

  it("keep a resource in the state whose update has failed halfway", async () => {
    const url = `https://${name}.example.com/thumb`;
    const live = await create(oidcToken, { url, clientIdLists: ["a"] });
    // The emulator does not have the actions that this needs; AWS might deny them.
    const thumbprints = { url, clientIdLists: ["a", "b"], thumbprintLists: ["0".repeat(40)] };
    const failed = typeOf(oidcToken).update(live.id, live.outputs, await checked(oidcToken, thumbprints), session);
    await assert.rejects(failed, (error: unknown) => {
      assert.ok(error instanceof InitFailedError);
      assert.match(error.message, /operation error IAM: UpdateOpenIDConnectProviderThumbprint/);
      assert.deepEqual(error.live.outputs, live.outputs);
      return true;
    });
    await assertDeleted(oidcToken, live);
  });
});
