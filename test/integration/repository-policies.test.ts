// The local cloud's ECR authorizes as AWS does: repositories' policies, other accounts, immutable tags.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as ecr from "@aws-sdk/client-ecr";
import { account, otherAccount, registryHost, url } from "../local/settings.ts";
import {
  allow,
  arnOf,
  clients,
  deny,
  document,
  gateway,
  id,
  inline,
  noIdentity,
  ofRepository,
  opened,
  pull,
  pulling,
  push,
  pushing,
  refused,
  repository,
  roleArn,
  type Statement,
  useRegistryFixture,
  user,
  userArn,
  withForeignRepository,
} from "./registry-fixture.ts";

describe("the repositories of the local cloud", () => {
  useRegistryFixture();

  it("let their policy grant rights to named principals, but not through the account's root", async () => {
    await inline();
    const root = `arn:aws:iam::${account}:root`;
    const denied = refused("ecr:BatchGetImage", noIdentity("ecr:BatchGetImage"));
    for (const [principal, result] of [
      [{ AWS: root }, denied],
      [{ AWS: [account] }, denied],
      [{ AWS: [userArn] }, "pulled"],
      ["*", "pulled"],
      [{ AWS: roleArn }, denied],
    ] as const) {
      await ofRepository(opened(principal));
      assert.equal(await pull(), result, JSON.stringify(principal));
    }
    await inline(allow(pulling));
    await ofRepository(document({ Effect: "Deny", Principal: "*", Action: "ecr:BatchGetImage" }));
    assert.equal(await pull(), refused("ecr:BatchGetImage", "with an explicit deny in a resource-based policy"));
    await ofRepository(undefined);
  });

  it("need the permission of both accounts if they are another account's", async () => {
    const where = arnOf(repository, otherAccount);
    await withForeignRepository("1", async (theirs) => {
      const policy = async (policyText: string): Promise<unknown> =>
        theirs.send(new ecr.SetRepositoryPolicyCommand({ repositoryName: repository, policyText }));
      await inline(allow("ecr:*", where));
      const noResource = "because no resource-based policy allows the ecr:BatchGetImage action";
      const here = registryHost(otherAccount);
      assert.equal(await pull(user, here), refused("ecr:BatchGetImage", noResource, userArn, where));
      const root = `arn:aws:iam::${account}:root`;
      const only = (arn: string): Statement => ({ Condition: { ArnEquals: { "aws:PrincipalArn": arn } } });
      for (const [text, result] of [
        [opened({ AWS: root }), "pulled"],
        [opened({ AWS: root }, only(userArn)), "pulled"],
        [opened({ AWS: root }, only(roleArn)), refused("ecr:BatchGetImage", noResource, userArn, where)],
        [opened({ AWS: userArn }), "pulled"],
      ] as const) {
        await policy(text);
        assert.equal(await pull(user, here), result, text);
      }
      await inline(allow("ecr:*"));
      assert.equal(
        await pull(user, here),
        refused("ecr:BatchGetImage", noIdentity("ecr:BatchGetImage"), userArn, where),
      );
    });
  });

  it("accept a tag once if tags are immutable, even for the same content", async () => {
    await inline(allow([...pulling, ...pushing]));
    const mutability = async (imageTagMutability: "MUTABLE" | "IMMUTABLE"): Promise<unknown> =>
      clients.ecr.send(new ecr.PutImageTagMutabilityCommand({ repositoryName: repository, imageTagMutability }));
    await mutability("IMMUTABLE");
    assert.equal(await push("immutable"), "pushed");
    const message = `The image tag 'immutable' already exists in the '${repository}' repository`;
    assert.equal(
      await push("immutable"),
      `400 TAG_INVALID ${message} and cannot be overwritten because the tag is immutable.`,
    );
    await mutability("MUTABLE");
    assert.equal(await push("immutable"), "pushed");
  });

  it("check rights for lists and ARNs in requests to ECR's API, and for tags at creation", async () => {
    const theirs = new ecr.ECRClient({ endpoint: url(gateway.api), credentials: user });
    const resourceArn = arnOf(repository);
    const describe = new ecr.DescribeRepositoriesCommand({ repositoryNames: [repository] });
    const tag = new ecr.TagResourceCommand({ resourceArn, tags: [{ Key: "team", Value: "b" }] });
    const make = new ecr.CreateRepositoryCommand({ repositoryName: `${id}/made`, tags: [{ Key: "team", Value: "a" }] });
    await inline(allow("ecr:*", "*"), deny(["ecr:DescribeRepositories", "ecr:TagResource"], arnOf(`${id}/*`)));
    const denied = (action: string): object => ({
      name: "AccessDeniedException",
      message: new RegExp(
        `^User: ${userArn} is not authorized to perform: ${action} .* with an explicit deny in an identity`,
      ),
    });
    await assert.rejects(theirs.send(describe), denied("ecr:DescribeRepositories"));
    await assert.rejects(theirs.send(tag), denied("ecr:TagResource"));
    await assert.rejects(theirs.send(make), denied("ecr:TagResource"));
    const images = { repositoryName: repository, imageIds: [{ imageTag: "1" }], registryId: otherAccount };
    const elsewhere = theirs.send(new ecr.BatchGetImageCommand(images));
    await assert.rejects(elsewhere, { name: "InvalidParameterException" });
  });

  it("refuse the policies that ECR refuses", async () => {
    const one = { Effect: "Allow", Principal: "*", Action: "ecr:BatchGetImage" };
    const session = (role: string): string => `arn:aws:sts::${account}:assumed-role/${role}/pod`;
    for (const policyText of [
      "{",
      "{}",
      document(),
      document({ ...one, Resource: "*" }),
      document({ ...one, NotResource: "*" }),
      document({ ...one, Principal: undefined }),
      document({ ...one, Sid: "x".repeat(10_240) }),
      opened({}),
      opened({ AWS: [] }),
      opened({ AWS: "builder" }),
      opened({ AWS: userArn.replace("arn:aws:", "arn:aws-cn:") }),
      opened({ AWS: userArn.replace("/builds/", "/") }),
      opened({ AWS: roleArn.replace("/builds/", "/") }),
      opened({ AWS: `${userArn}-that-there-is-not` }),
      opened({ AWS: [userArn, `arn:aws:iam::${account}:role/that-there-is-not`] }),
      opened({ AWS: session("that-there-is-not") }),
    ]) {
      const message = /'Invalid repository policy provided'/;
      await assert.rejects(ofRepository(policyText), { name: "InvalidParameterException", message }, policyText);
    }
    for (const principal of [
      session(id),
      `arn:aws:sts::${account}:federated-user/someone`,
      account,
      userArn,
      roleArn,
    ]) {
      await ofRepository(opened({ AWS: principal }));
    }
    await ofRepository(undefined);
  });
});
