import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { pullActions } from "../support/ecr-actions.ts";
import { cluster, policyOf } from "../support/example-stack.ts";
import { account, runProgram } from "../support/program.ts";

const { find } = await runProgram(cluster);

describe("the repository", () => {
  it("scans images on push, and does not delete images on destroy, by default", () => {
    const { inputs } = find("aws:ecr/repository:Repository");
    assert.deepEqual(inputs, {
      name: "ecr-helper",
      forceDelete: false,
      imageTagMutability: "MUTABLE",
      imageScanningConfiguration: { scanOnPush: true },
      encryptionConfigurations: [{ encryptionType: "AES256" }],
      tags: {},
    });
  });

  it("can have immutable tags, a KMS key, and no scan on push, as organizations may require", async () => {
    const kmsKey = `arn:aws:kms:eu-central-1:${account}:key/mrk-1234abcd12ab34cd56ef1234567890ab`;
    const encryptions = {
      AES256: { encryptionType: "AES256" },
      KMS: { encryptionType: "KMS" },
      [kmsKey]: { encryptionType: "KMS", kmsKey },
    };
    for (const [encryption, expected] of Object.entries(encryptions)) {
      const program = await runProgram({ ...cluster, encryption, tagMutability: "IMMUTABLE", scanOnPush: "false" });
      const { inputs } = program.find("aws:ecr/repository:Repository");
      assert.deepEqual(inputs["encryptionConfigurations"], [expected]);
      assert.equal(inputs["imageTagMutability"], "IMMUTABLE");
      assert.deepEqual(inputs["imageScanningConfiguration"], { scanOnPush: false });
    }
  });

  it("lets only its own account pull, and nothing else", () => {
    const { Version, Statement } = policyOf(find("aws:ecr/repositoryPolicy:RepositoryPolicy").inputs);
    assert.equal(Version, "2008-10-17");
    const Principal = { AWS: [`arn:aws:iam::${account}:root`] };
    assert.deepEqual(Statement, [{ Sid: "new policy", Effect: "Allow", Principal, Action: pullActions }]);
  });

  it("keeps the last 10 images", () => {
    const { rules } = JSON.parse(String(find("aws:ecr/lifecyclePolicy:LifecyclePolicy").inputs["policy"])) as {
      rules: object[];
    };
    const selection = { tagStatus: "any", countType: "imageCountMoreThan", countNumber: 10 };
    assert.deepEqual(rules, [
      { rulePriority: 1, description: "keep the last 10 images", selection, action: { type: "expire" } },
    ]);
  });

  it("lets the configured principals pull, or everyone, as in the origin script", async () => {
    const named = await runProgram({ ...cluster, repositoryPrincipals: '["444455556666"]' });
    const all = await runProgram({ ...cluster, repositoryPrincipals: '["*"]' });
    const principal = (program: typeof named): unknown =>
      policyOf(program.find("aws:ecr/repositoryPolicy:RepositoryPolicy").inputs).Statement[0]?.Principal;
    assert.deepEqual(principal(named), { AWS: ["444455556666"] });
    assert.equal(principal(all), "*");
  });
});
