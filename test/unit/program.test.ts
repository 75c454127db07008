import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as pulumi from "@pulumi/pulumi";
import { isSecret } from "../local/pulumi/values.ts";
import { pullActions } from "../support/ecr-actions.ts";
import { cluster, exampleConfig, ownHost, policyOf } from "../support/example-stack.ts";
import { account, digest, failedCall, runProgram, type Program, type Registered } from "../support/program.ts";

const { find, resources, outputs, secretOutputs } = await runProgram(exampleConfig);

interface ClusterInputs {
  readonly kubeconfig?: string;
  readonly clusterIdentifier?: string;
  readonly enableSecretMutable?: string;
}

const clusterOf = (program: Pick<Program, "find">): ClusterInputs =>
  program.find("pulumi:providers:kubernetes", "cluster").inputs;

describe("the stack", () => {
  it("gives every Kubernetes resource the provider of the configured cluster", () => {
    const inCluster = resources.filter(({ type }) => type.startsWith("kubernetes:"));
    assert.ok(inCluster.length > 8);
    for (const { provider, name, type } of inCluster) {
      const own = type.endsWith("Patch") ? "cluster-patches" : "cluster";
      assert.ok(provider.includes(`pulumi:providers:kubernetes::${own}::`), name);
    }
    assert.equal(clusterOf({ find }).kubeconfig, "Pulumi.yaml");
  });

  it("keeps the content of a kubeconfig secret, even if it is set without --secret, but not its path", async () => {
    const content = '{"apiVersion":"v1","clusters":[],"users":[{"user":{"token":"hunter2"}}]}';
    for (const [kubeconfig, isContent] of [
      [content, true],
      ["Pulumi.yaml", false],
    ] as const) {
      const program = await runProgram({ kubeconfig });
      for (const name of ["cluster", "cluster-patches", "cluster-identity"]) {
        const { raw } = program.find("pulumi:providers:kubernetes", name);
        assert.equal(isSecret(raw["kubeconfig"]), isContent);
      }
      assert.equal(program.secretOutputs.length, 0);
    }
  });

  it("identifies the cluster by its uid, however it is configured, and updates secrets in place", async () => {
    for (const way of [cluster, { context: "main" }, { eksCluster: "main" }]) {
      const { clusterIdentifier, enableSecretMutable } = clusterOf(await runProgram(way));
      assert.deepEqual([clusterIdentifier, enableSecretMutable], ["the-uid", "true"]);
      const patches = (await runProgram(way)).find("pulumi:providers:kubernetes", "cluster-patches").inputs;
      assert.deepEqual([patches["clusterIdentifier"], patches["enableServerSideApply"]], ["the-uid", "true"]);
      const reading = (await runProgram(way)).find("pulumi:providers:kubernetes", "cluster-identity").inputs;
      assert.equal(reading["clusterIdentifier"], "read", "it is the same for every cluster, so nothing replaces it");
    }
  });

  it("looks up an EKS cluster by name, and gets a new token on every use", async () => {
    const program = await runProgram({ eksCluster: "main" });
    const kubeconfig = JSON.parse(String(clusterOf(program).kubeconfig)) as {
      clusters: { cluster: object }[];
      users: { user: { exec: { command: string; args: string[] } } }[];
    };
    assert.deepEqual(kubeconfig.clusters[0]?.cluster, {
      server: "https://eks.example",
      "certificate-authority-data": "Q0E=",
    });
    const args = ["eks", "get-token", "--cluster-name", "main", "--region", "eu-central-1", "--output", "json"];
    assert.deepEqual(kubeconfig.users[0]?.user.exec.args, args);
  });

  it("uses the ARNs and hosts of its partition, for example in China", async () => {
    const program = await runProgram(cluster, { partition: "aws-cn", region: "cn-north-1" });
    const [statement] = policyOf(program.find("aws:ecr/repositoryPolicy:RepositoryPolicy").inputs).Statement;
    assert.deepEqual(statement?.Principal, { AWS: [`arn:aws-cn:iam::${account}:root`] });
    assert.match(
      String(program.outputs["imageRef"]),
      new RegExp(`^${account}\\.dkr\\.ecr\\.cn-north-1\\.amazonaws\\.com\\.cn/`),
    );
  });

  it("has the outputs that infra/README.md names, and none of them is secret", () => {
    assert.deepEqual(outputs, {
      repositoryUrl: `${ownHost}/ecr-helper`,
      imageRef: `${ownHost}/ecr-helper@${digest}`,
      namespace: "ecr-helper",
      deployment: "ecr-helper",
      identity: "accessKey",
      policyArn: `arn:aws:iam::${account}:policy/ecr-helper-policy`,
      userName: "ecr-helper",
      credentialsSecretName: "ecr-helper",
      basicAuthSecretName: "ecr-creds",
      pullSecretName: "ecr-creds-pull",
      buildServiceAccountNames: ["builder-sa"],
      buildNamespaces: ["team-a", "team-b"],
      crossAccountPolicy: {
        "444455556666.dkr.ecr.us-east-1.amazonaws.com": {
          "*": {
            Version: "2012-10-17",
            Statement: [
              {
                Sid: "EcrHelperPull",
                Effect: "Allow",
                Principal: { AWS: `arn:aws:iam::${account}:root` },
                Action: pullActions,
                Condition: { ArnEquals: { "aws:PrincipalArn": [`arn:aws:iam::${account}:user/ecr-helper`] } },
              },
            ],
          },
        },
      },
    });
    assert.deepEqual(secretOutputs, []);
  });

  it("has no crossAccountPolicy if all registries are in its own account", async () => {
    for (const registries of ["[]", `["${account}.dkr.ecr.us-east-1.amazonaws.com"]`]) {
      assert.ok(!("crossAccountPolicy" in (await runProgram({ ...cluster, registries })).outputs));
    }
  });

  it("looks up its account and region before any change, and reports in one error what is missing", async () => {
    for (const name of ["getCallerIdentity", "getPartition", "getRegion"]) {
      const created: Registered[] = [];
      const fail = (): never => {
        throw failedCall("no EC2 IMDS role found");
      };
      const options = { answers: { [`aws:index/${name}:${name}`]: fail }, resources: created };
      await assert.rejects(runProgram(cluster, options), (error: unknown) => {
        assert.ok(pulumi.RunError.isInstance(error), "an error that Pulumi shows without a stack trace");
        assert.match(
          error.message,
          /^The stack's AWS account and region are not known: expected .*Nothing was changed/,
        );
        return error.message.includes("no EC2 IMDS role found");
      });
      assert.deepEqual(
        created.map(({ type }) => type),
        ["pulumi:pulumi:Stack"],
      );
    }
  });
});
