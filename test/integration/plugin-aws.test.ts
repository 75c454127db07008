// Functions and configuration of the AWS stand-in, against the emulator.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { awsFunctions } from "../local/pulumi/aws/functions.ts";
import { awsProvider } from "../local/pulumi/aws/provider.ts";
import { awsSession } from "../local/pulumi/aws/session.ts";
import { isSecret, type Properties } from "../local/pulumi/values.ts";
import { account, cluster } from "../local/settings.ts";
import { name, session } from "./plugin-resources.ts";

describe("functions of the AWS stand-in", () => {
  const call = async (token: string, args: Properties = {}): Promise<Properties> =>
    (awsFunctions[token] ?? assert.fail(token))(args, session);

  it("return the caller's identity, the partition and the region", async () => {
    const identity = await call("aws:index/getCallerIdentity:getCallerIdentity");
    assert.deepEqual([identity["accountId"], identity["id"]], [account, account]);
    assert.deepEqual(await call("aws:index/getPartition:getPartition"), {
      partition: "aws",
      dnsSuffix: "amazonaws.com",
      reverseDnsPrefix: "com.amazonaws",
      id: "aws",
    });
    assert.equal((await call("aws:index/getRegion:getRegion"))["region"], "us-east-1");
    const china = await awsFunctions["aws:index/getPartition:getPartition"]?.({}, awsSession({ region: "cn-north-1" }));
    assert.equal(china?.["partition"], "aws-cn");
  });

  it("return a token whose password is marked as secret", async () => {
    const token = await call("aws:ecr/getAuthorizationToken:getAuthorizationToken");
    assert.equal(token["userName"], "AWS");
    assert.ok(isSecret(token["password"]) && isSecret(token["authorizationToken"]));
    assert.match(token["proxyEndpoint"] as string, /^https?:\/\//);
    assert.ok(new Date(token["expiresAt"] as string) > new Date());
  });

  it("describe a cluster, and name one that does not exist", async () => {
    const found = await call("aws:eks/getCluster:getCluster", { name: cluster });
    assert.equal(found["arn"], `arn:aws:eks:us-east-1:${account}:cluster/${cluster}`);
    const [authority] = found["certificateAuthorities"] as { data: string }[];
    assert.match(authority?.data ?? "", /^LS0tLS1/);
    assert.equal((found["identities"] as unknown[]).length, 1);
    const missing = call("aws:eks/getCluster:getCluster", { name: `${name}-none` });
    await assert.rejects(missing, /^Error: reading EKS Cluster \(.*-none\): .*ResourceNotFoundException/);
    await assert.rejects(call("aws:eks/getCluster:getCluster"), /name: Missing required argument/);
  });

  it("are not called if the provider has wrong credentials or none", async () => {
    const wrong = { region: "us-east-1", accessKey: "AKIAWRONG", secretKey: "wrong-s3cret" };
    await assert.rejects(
      awsProvider.configure(wrong, () => undefined),
      (error: unknown) => {
        assert.ok(error instanceof Error);
        assert.match(
          error.message,
          /^configuring Terraform AWS Provider: validating provider credentials: .*InvalidClientTokenId/,
        );
        assert.doesNotMatch(error.message, /wrong-s3cret/);
        return true;
      },
    );
    await awsProvider.configure({ ...wrong, skipCredentialsValidation: true }, () => undefined);
    await assert.rejects(
      awsProvider.configure({ region: "us-east-1", profile: `${name}-none` }, () => undefined),
      /^Error: unable to validate AWS credentials\.\nDetails: No valid credential sources found/,
    );
    const [own, other] = [[account], ["000000000000"]];
    await awsProvider.configure({ allowedAccountIds: own }, () => undefined);
    for (const rule of [{ allowedAccountIds: other }, { forbiddenAccountIds: own }]) {
      await assert.rejects(
        awsProvider.configure(rule, () => undefined),
        /AWS account ID not allowed: 123456789012/,
      );
    }
  });

  it("report that AWS is unreachable, with the failed call", async () => {
    const nowhere = awsSession({ region: "us-east-1", endpoints: [{ sts: "http://127.0.0.1:9" }], maxRetries: 0 });
    await assert.rejects(nowhere.identity(), /operation error STS: GetCallerIdentity, .*ECONNREFUSED/);
  });
});
