import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { ECRClient, PutImageScanningConfigurationCommand, PutImageTagMutabilityCommand } from "@aws-sdk/client-ecr";
import { CreatePolicyVersionCommand, DeleteUserPermissionsBoundaryCommand } from "@aws-sdk/client-iam";
import { usedByProviderOnly } from "../whole-run/aws-rights.ts";
import { commands } from "./pulumi-commands.ts";
import { actionsOf, RestrictedDeployer } from "./restricted-deployer.ts";
import { policyArn, iam } from "./stack-resources.ts";

/** The registry denies these without naming them: to a HEAD request, whose answer has no message, and when a node pulls. */
const deniedSilently = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"];

/** Actions that the policy grants and whose denial no command of this test can report, by reason. */
const neverReported = {
  "denied without a message": deniedSilently,
  "AWS allows it to everybody": ["sts:GetCallerIdentity"],
  ...usedByProviderOnly,
};

describe("a deployer of identity accessKey that starts without any right", () => {
  const name = `fr-${randomBytes(3).toString("hex")}`;
  let deployer: RestrictedDeployer;

  before(async () => {
    deployer = await RestrictedDeployer.make(name, /(?!)/);
  });

  after(async () => deployer.end());

  it("gets the name of each missing right, and can continue once it is granted", async (t) => {
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
    await deployer.grant(deniedSilently);
    await deployer.grantUntilAllowed(t, "push", async () =>
      deployer.stack.try(...commands.up, "--target", "**ecr-helper:index:HelperImage**"),
    );
    await deployer.grantUntilAllowed(t, "down", async () => deployer.stack.destroy());
  });

  it("needs no further right to deploy the whole program and to destroy it without a trace", async () => {
    const { code, output } = await deployer.stack.up();
    assert.equal(code, 0, output);
    const down = await deployer.stack.destroy();
    assert.equal(down.code, 0, down.output);
    await deployer.stack.assertCleanedUp();
  });

  it("needs exactly the rights that infra/deployer-policy.json grants for it", async () => {
    const granted = await actionsOf(name, /^(LogIn|RepositoryAndImage|Policy|IdentityAccessKey\w*|(At|De)tach\w+)$/);
    const more = Object.values(neverReported).flat();
    const needed = granted.filter((action) => !more.includes(action) && !/RolePolicy$/.test(action));
    assert.deepEqual([...deployer.deniedActions].sort(), needed.sort());
  });
});
