import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { ECRClient, PutImageScanningConfigurationCommand, PutImageTagMutabilityCommand } from "@aws-sdk/client-ecr";
import { CreatePolicyVersionCommand, DeleteUserPermissionsBoundaryCommand } from "@aws-sdk/client-iam";
import { ofTheProviderAlone } from "../whole-run/aws-rights.ts";
import { commands } from "./proxied-stack.ts";
import { actionsOf, RestrictedDeployer } from "./restricted-deployer.ts";
import { policyArn, iam } from "./stack-resources.ts";

/** What the registry asks for where nobody is told: by a HEAD request, whose answer has no message, and when a node pulls. */
const unseen = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"];

/** What the policy gives, and AWS does not ask for in so many words. */
const unasked = {
  "asked for in silence": unseen,
  "everybody may ask who he is": ["sts:GetCallerIdentity"],
  ...ofTheProviderAlone,
};

describe("a deployer of identity accessKey who begins without any right", () => {
  const name = `fr-${randomBytes(3).toString("hex")}`;
  let deployer: RestrictedDeployer;

  before(async () => {
    deployer = await RestrictedDeployer.make(name, /(?!)/);
  });

  after(async () => deployer.end());

  it("is told of each that he lacks, by its name, and goes on when he has it", async (t) => {
    await deployer.up(t, "up");
    await deployer.up(t, "up with tags", ['tags=["team=builds"]']);
    await deployer.up(t, "up without them again");
    const Statement = [{ Effect: "Allow", Action: "ecr:GetAuthorizationToken", Resource: "arn:aws:ecr:*:*:*" }];
    const PolicyDocument = JSON.stringify({ Version: "2012-10-17", Statement });
    await iam.send(new DeleteUserPermissionsBoundaryCommand({ UserName: name }));
    await iam.send(new CreatePolicyVersionCommand({ PolicyArn: policyArn(name), PolicyDocument, SetAsDefault: true }));
    const imageScanningConfiguration = { scanOnPush: false };
    await new ECRClient().send(
      new PutImageScanningConfigurationCommand({ repositoryName: name, imageScanningConfiguration }),
    );
    const imageTagMutability = "IMMUTABLE";
    await new ECRClient().send(new PutImageTagMutabilityCommand({ repositoryName: name, imageTagMutability }));
    await deployer.up(t, "up where somebody changed user, policy and repository");
    await deployer.grant(unseen);
    await deployer.grantUntilAllowed(t, "push", async () =>
      deployer.stack.try(...commands.up, "--target", "**ecr-helper:index:HelperImage**"),
    );
    await deployer.grantUntilAllowed(t, "down", async () => deployer.stack.destroy());
  });

  it("needs no other for the whole program, which leaves nothing when it is taken down", async () => {
    const { code, output } = await deployer.stack.up();
    assert.equal(code, 0, output);
    const down = await deployer.stack.destroy();
    assert.equal(down.code, 0, down.output);
    await deployer.stack.proveNothingIsLeft();
  });

  it("needs all that infra/deployer-policy.json gives him for it, and nothing else", async () => {
    const given = await actionsOf(name, /^(LogIn|RepositoryAndImage|Policy|IdentityAccessKey\w*|(At|De)tach\w+)$/);
    const more = Object.values(unasked).flat();
    const needed = given.filter((action) => !more.includes(action) && !/RolePolicy$/.test(action));
    assert.deepEqual([...deployer.deniedActions].sort(), needed.sort());
  });
});
