// The login to an EKS cluster: the same identity as the AWS provider's, by the AWS CLI.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as pulumi from "@pulumi/pulumi";
import { isSecret } from "../local/pulumi/values.ts";
import { printToken } from "../support/aws-cli.ts";
import { mistakesOf } from "../support/config-error.ts";
import { eks } from "../support/expected-identities.ts";
import { runProgram, type Registered } from "../support/program.ts";

const roleArn = "arn:aws:iam::123456789012:role/deployer";
const ofAws = (keys: Readonly<Record<string, unknown>>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(keys).map(([key, value]) => [
      `aws:${key}`,
      typeof value === "string" ? value : JSON.stringify(value),
    ]),
  );
const base = ["eks", "get-token", "--cluster-name", "main", "--region", "eu-central-1", "--output", "json"];
const exec = (args: readonly string[], env?: Readonly<Record<string, string>>): object => ({
  apiVersion: "client.authentication.k8s.io/v1beta1",
  command: "aws",
  args: [...base, ...args],
  ...(env && { env: Object.entries(env).map(([name, value]) => ({ name, value })) }),
  interactiveMode: "Never",
  installHint:
    "Install the AWS CLI, 2.7 or 1.24 or newer: https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html",
});
const keys = { accessKey: "AKIA", secretKey: "hunter2" };
const keyVariables = { AWS_ACCESS_KEY_ID: "AKIA", AWS_SECRET_ACCESS_KEY: "hunter2", AWS_SESSION_TOKEN: "" };

describe("the login to an EKS cluster", () => {
  const cases: [what: string, config: object, exec: object][] = [
    ["by the environment, if nothing is configured", {}, exec([])],
    ["by a profile, which keys in the environment do not precede", { profile: "team" }, exec(["--profile", "team"])],
    ["by keys", keys, exec([], keyVariables)],
    ["by temporary keys", { ...keys, token: "t0" }, exec([], { ...keyVariables, AWS_SESSION_TOKEN: "t0" })],
    ["by keys, which precede a profile", { ...keys, profile: "team" }, exec([], keyVariables)],
    ["by a role", { assumeRoles: [{ roleArn, duration: "1h" }] }, exec(["--role-arn", roleArn])],
    [
      "by a role that a profile assumes",
      { profile: "team", assumeRoles: [{ roleArn }] },
      exec(["--profile", "team", "--role-arn", roleArn]),
    ],
    [
      "by a role that keys assume",
      { ...keys, assumeRoles: [{ roleArn }] },
      exec(["--role-arn", roleArn], keyVariables),
    ],
    [
      "by files of its own",
      { sharedConfigFiles: ["c"], sharedCredentialsFiles: ["d"], profile: "team", assumeRoles: [] },
      exec(["--profile", "team"], { AWS_CONFIG_FILE: "c", AWS_SHARED_CREDENTIALS_FILE: "d" }),
    ],
    [
      "through a proxy",
      { httpsProxy: "http://u:p@proxy", httpProxy: "http://p", noProxy: "a,b", customCaBundle: "ca.pem" },
      exec([], { AWS_CA_BUNDLE: "ca.pem", HTTP_PROXY: "http://p", HTTPS_PROXY: "http://u:p@proxy", NO_PROXY: "a,b" }),
    ],
  ];
  for (const [what, config, expected] of cases) {
    it(`is ${what}`, async () => {
      const program = await runProgram({ ...eks, ...ofAws(config as Record<string, unknown>) });
      for (const name of ["cluster", "cluster-patches", "cluster-identity"]) {
        const { raw, inputs } = program.find("pulumi:providers:kubernetes", name);
        const cluster = { server: "https://eks.example", "certificate-authority-data": "Q0E=" };
        assert.deepEqual(JSON.parse(String(inputs["kubeconfig"])), {
          apiVersion: "v1",
          kind: "Config",
          clusters: [{ name: "main", cluster }],
          users: [{ name: "main", user: { exec: expected } }],
          contexts: [{ name: "main", context: { cluster: "main", user: "main" } }],
          "current-context": "main",
        });
        assert.equal(isSecret(raw["kubeconfig"]), Object.keys(config).length > 0, "secret if it may contain a secret");
      }
    });
  }

  it("is refused where the AWS CLI cannot do what the AWS provider does, for each such key", () => {
    const refused = (config: object): string[] => {
      const all = mistakesOf({ kubeconfig: "", ...eks, ...ofAws(config as Record<string, unknown>) });
      for (const one of all) {
        assert.match(one, /`aws eks get-token` cannot use it\. Put .*, or set kubeconfig instead of eksCluster$/);
        assert.ok(!one.includes("hunter2"));
      }
      return all.map((one) => one.split(", as ")[0] ?? "");
    };
    const options = { externalId: "hunter2", sessionName: "ci", policy: "{}", policyArns: [], sourceIdentity: "me" };
    const notSet = Object.keys(options).map(
      (one) => `aws:assumeRoles[0].${one}: expected not to be set with eksCluster`,
    );
    assert.deepEqual(refused({ assumeRoles: [{ roleArn, ...options }] }), notSet);
    const chain = [{ roleArn }, { roleArn, externalId: "hunter2" }];
    assert.deepEqual(refused({ assumeRoles: chain }), ["aws:assumeRoles: expected one role with eksCluster"]);
    for (const key of ["sharedConfigFiles", "sharedCredentialsFiles"]) {
      assert.deepEqual(refused({ [key]: ["a", "b"] }), [`aws:${key}: expected one file with eksCluster`]);
    }
    const assumeRoleWithWebIdentity = { roleArn, webIdentityToken: "hunter2" };
    const notSetEither = "aws:assumeRoleWithWebIdentity: expected not to be set with eksCluster";
    assert.deepEqual(refused({ assumeRoleWithWebIdentity }), [notSetEither]);
  });

  it("leaves a text that is no list to the provider, which refuses it", () => {
    for (const text of ["{", "true", "null"])
      assert.deepEqual(mistakesOf({ ...eks, kubeconfig: "", "aws:assumeRoles": text }), []);
  });

  it("has no limits for a cluster that is not named in EKS", () => {
    assert.deepEqual(mistakesOf(ofAws({ assumeRoles: [{ roleArn, externalId: "x" }, { roleArn }] })), []);
  });
});

describe("the AWS CLI", () => {
  const failures: [what: string, awsCli: string, message: RegExp][] = [
    [
      "is missing",
      "",
      /expected the AWS CLI, 2\.7 or 1\.24 or newer, in PATH: https:.*\(there is no command aws in PATH\)$/,
    ],
    ["is too old", printToken("v1alpha1"), /\(this one answers in client\S+v1alpha1 instead of client\S+v1beta1\)$/],
    ["is another program", "echo hunter2", /\(this one answers in another format instead of \S+\)$/],
    [
      "cannot assume the role",
      "echo >&2; echo 'An error occurred (AccessDenied)' >&2; exit 254",
      /expected `aws eks get-token` to print a token.* \(An error occurred \(AccessDenied\)\)$/,
    ],
    [
      "does not know the command",
      "echo 'usage: aws' >&2; echo 'aws: error: argument operation' >&2; echo help >&2; exit 2",
      /\(aws: error: argument operation\)$/,
    ],
    ["fails without a word", "exit 1", /\(Command failed: aws eks get-token [^\n]+\)$/],
  ];
  for (const [what, awsCli, message] of failures) {
    it(`that ${what} is reported in one line, before any change`, async () => {
      const resources: Registered[] = [];
      await assert.rejects(runProgram(eks, { awsCli, resources }), (error: unknown) => {
        assert.ok(error instanceof pulumi.RunError, "an error that Pulumi shows without a stack trace");
        assert.match(
          error.message,
          /^ecr-helper:eksCluster = "main": to log in to that cluster, expected .* Nothing was changed\. \([^\n]+$/,
        );
        assert.match(error.message, message);
        return !error.message.includes("hunter2");
      });
      assert.deepEqual(
        resources.map(({ type }) => type),
        ["pulumi:pulumi:Stack"],
      );
    });
  }

  it("is called as Pulumi's Kubernetes provider calls it later", async () => {
    const args = [...base, "--role-arn", roleArn].join(" ");
    const isAsked = `[ "$*" = "${args}" ] && [ "$AWS_ACCESS_KEY_ID" = AKIA ] && [ -z "$AWS_SESSION_TOKEN" ]`;
    const info = `case "$KUBERNETES_EXEC_INFO" in *'"apiVersion":"client.authentication.k8s.io/v1beta1"'*) true;; *) false;; esac`;
    const awsCli = `${isAsked} && ${info} && ${printToken()}`;
    process.env["AWS_SESSION_TOKEN"] = "of another key";
    try {
      await runProgram({ ...eks, ...ofAws({ ...keys, assumeRoles: [{ roleArn }] }) }, { awsCli });
      await assert.rejects(runProgram({ ...eks, ...ofAws(keys) }, { awsCli }), pulumi.RunError);
    } finally {
      delete process.env["AWS_SESSION_TOKEN"];
    }
  });

  it("is not needed for a cluster that is not named in EKS", async () => {
    await runProgram({ kubeconfig: "Pulumi.yaml" }, { awsCli: "exit 1" });
  });
});
