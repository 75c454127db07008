// Runs the commands of the pages as far as they can be run without AWS and a cluster: stand-ins for `pulumi`, `kubectl` and others note what
// they are called with, and the program takes the configuration that was set.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { after, describe, it } from "node:test";
import { parse } from "yaml";
import { placeholders } from "../../helper/shared/secret-template.ts";
import { formNames } from "../../infra/config/secret-forms.ts";
import { runProgram, type Program } from "../support/program.ts";
import { read, shellSnippet, snippets } from "../support/pages.ts";

const folder = mkdtempSync(join(tmpdir(), "ecr-helper-pages-"));
after(() => rmSync(folder, { recursive: true }));

const commands = join(folder, "bin");
mkdirSync(commands);
for (const name of ["pulumi", "kubectl", "npm", "aws", "docker", "podman", "git"]) {
  const file = join(commands, name);
  writeFileSync(file, `#!/bin/sh\necho "${name} $*" >> calls\n[ "$2" != output ] || cat outputs.json\n`);
  chmodSync(file, 0o755);
}

/** Runs a snippet, with this JSON as the answer of `pulumi stack output`, and gives the calls of the stand-ins, in order. */
function callsOf(snippet: string, outputs: unknown = {}): string[] {
  writeFileSync(join(folder, "outputs.json"), JSON.stringify(outputs));
  rmSync(join(folder, "calls"), { force: true });
  const env = { HOME: folder, PATH: `${commands}${delimiter}${process.env["PATH"] ?? ""}` };
  execFileSync("bash", ["--norc", "-euo", "pipefail", "-c", snippet], { cwd: folder, env });
  return readFileSync(join(folder, "calls"), "utf8").trim().split("\n");
}

const setting = /^pulumi config set (?:--path )?([\w:]+)(\[\d+\])?(?:\.(\w+)(\[0\])?)? (.*)$/;

/** The configuration that the calls set, by key. A field is one of the first entry of a list. */
function configOf(calls: readonly string[]): Record<string, string> {
  const values: Record<string, string> = {};
  const lists: Record<string, unknown[]> = {};
  const settings = calls.map((call) => setting.exec(call)).filter((found) => found !== null);
  for (const [, key = "", index, field, item, value = ""] of settings) {
    const list = (lists[key] ??= []);
    if (field !== undefined) list[0] = { ...(list[0] as object), [field]: item ? [value] : value };
    else if (index !== undefined) list.push(value);
    else values[key] = value;
  }
  for (const [key, list] of Object.entries(lists)) if (list.length > 0) values[key] = JSON.stringify(list);
  return values;
}

const cluster = { kubeconfig: "Pulumi.yaml" };
const run = async (calls: readonly string[], before: Record<string, string> = cluster): Promise<Program> =>
  runProgram({ ...before, ...configOf(calls) });

describe("the commands of README.md for a cluster", () => {
  const calls = callsOf(shellSnippet("README.md", "pulumi stack init"));

  it("set valid configuration", async () => {
    const { outputs } = await run(calls, {});
    assert.deepEqual(outputs["buildNamespaces"], ["team-a", "team-b"]);
  });

  it("deploy the stack, and show its outputs and the log of the helper", () => {
    const others = calls.filter((call) => !call.startsWith("pulumi config set"));
    assert.deepEqual(others, [
      "npm ci",
      "pulumi login",
      "pulumi stack init prod",
      "pulumi up",
      "pulumi stack output",
      "kubectl --namespace ecr-helper logs deployment/ecr-helper",
    ]);
  });
});

describe("the commands of infra/README.md", () => {
  it("choose an identity on EKS", async () => {
    const { outputs } = await run(callsOf(shellSnippet("infra/README.md", "identity podIdentity")), {});
    assert.equal(outputs["identity"], "podIdentity");
  });

  it("choose an identity on a cluster whose issuer is public", async () => {
    mkdirSync(join(folder, ".kube"), { recursive: true });
    writeFileSync(join(folder, ".kube/config"), "clusters: []\n");
    const { outputs, find } = await run(callsOf(shellSnippet("infra/README.md", "identity irsa")), {});
    assert.equal(outputs["identity"], "irsa");
    const provider = find("aws:iam/openIdConnectProvider:OpenIdConnectProvider");
    assert.equal(provider.inputs["url"], "https://oidc.example.com/my-cluster");
  });

  it("name the deployer's boundary, and allow to push a tag again", async () => {
    const { find } = await run(callsOf(shellSnippet("infra/README.md", "config set permissionsBoundary")));
    const { inputs } = find("aws:iam/user:User");
    assert.equal(inputs["permissionsBoundary"], "arn:aws:iam::123456789012:policy/ecr-helper-boundary");
    const tags = callsOf(shellSnippet("infra/README.md", "tagMutability MUTABLE"));
    const [mutable, immutable] = [configOf(tags.slice(0, 2)), configOf(tags.slice(2))];
    assert.deepEqual([mutable["tagMutability"], immutable["tagMutability"]], ["MUTABLE", "IMMUTABLE"]);
    for (const config of [mutable, immutable]) await runProgram({ ...cluster, ...config });
  });

  it("narrow what may be pulled, allow to push, and give another account its policy", async () => {
    const rights = configOf(callsOf(shellSnippet("infra/README.md", "'pushRepositories[0]'")));
    assert.deepEqual(rights, { pullRepositories: '["base/*"]', pushRepositories: '["team-a/*"]' });
    const snippet = shellSnippet("infra/README.md", "crossAccountPolicy --json");
    const [registries = ""] = /^pulumi config set .*$/m.exec(snippet) ?? [];
    const { outputs } = await run(callsOf(registries), { ...cluster, ...rights });
    const calls = callsOf(snippet, outputs["crossAccountPolicy"]);
    const policy = JSON.parse(readFileSync(join(folder, "policy.json"), "utf8")) as { Statement: { Sid: string }[] };
    assert.deepEqual(
      policy.Statement.map(({ Sid }) => Sid),
      ["EcrHelperPull"],
    );
    assert.match(calls.at(-1) ?? "", /^aws ecr set-repository-policy .* --policy-text file:\/\/policy\.json$/);
  });

  it("give a group of namespaces logins of its own", async () => {
    const config = configOf(callsOf(shellSnippet("infra/README.md", "groups[0].name")));
    const narrow = configOf(callsOf(shellSnippet("infra/README.md", "# for namespaces in no group")));
    assert.deepEqual(narrow, { pullRepositories: '["base/*"]' });
    // Of README.md.
    const { buildNamespaces = "" } = configOf(callsOf(shellSnippet("README.md", "pulumi stack init")));
    const { outputs } = await runProgram({ ...cluster, ...config, ...narrow, buildNamespaces });
    assert.deepEqual(outputs["groupRoleArns"], { a: "arn:aws:iam::123456789012:role/ecr-helper-a" });
  });

  it("define a further secret in each of the forms, and one of another", async () => {
    const [snippet, ...others] = snippets("yaml").filter(({ text }) => text.includes("ecr-helper:secrets"));
    assert.ok(snippet !== undefined && others.length === 0);
    const { config } = parse(snippet.text) as { config: Record<string, { name: string; form?: string }[]> };
    const values = Object.entries(config).map(([key, value]) => [key, JSON.stringify(value)] as const);
    const { outputs } = await runProgram({ ...cluster, ...Object.fromEntries(values) });
    const secrets = config["ecr-helper:secrets"] ?? [];
    assert.deepEqual(
      outputs["secretNames"],
      secrets.map(({ name }) => name),
    );
    assert.deepEqual(
      secrets.map(({ form }) => form),
      [...formNames, undefined],
    );
    const page = read(snippet.page);
    for (const form of formNames) assert.match(page, new RegExp(`^\\| \`${form}\` +\\| `, "m"));
    for (const name of placeholders) assert.ok(page.includes(`\`\${${name}}\``), name);
  });

  it("have a role ask for the token of a registry, and keep a login to ECR Public", async () => {
    const { outputs } = await run(callsOf(shellSnippet("infra/README.md", "registries[0].roleArn")));
    const trust = outputs["registryTrustPolicies"] as Record<string, { Statement: { Condition: object }[] }>;
    const { Statement: [assume, tag] = [] } = trust["arn:aws:iam::111122223333:role/ecr-pull"] ?? {};
    const only = { ArnEquals: { "aws:PrincipalArn": "arn:aws:iam::123456789012:user/ecr-helper" } };
    assert.deepEqual(assume?.Condition, { ...only, StringEquals: { "sts:ExternalId": "EXAMPLE" } });
    assert.deepEqual(tag?.Condition, { ...only, StringEquals: { "aws:RequestTag/team": "a" } });
    await run(callsOf(shellSnippet("infra/README.md", "registries[0]' public.ecr.aws")));
  });

  it("build the helper's image without Pulumi, and name it by its digest", async () => {
    const digest = `sha256:${"0a".repeat(32)}`;
    mkdirSync(join(folder, "build"));
    writeFileSync(join(folder, "build/image.json"), JSON.stringify({ "containerd.image.digest": digest }));
    const calls = callsOf(shellSnippet("infra/README.md", "docker buildx build"));
    assert.ok(calls.includes("npm run -s bundle"));
    const { outputs } = await run(calls);
    assert.equal(outputs["imageRef"], `123456789012.dkr.ecr.eu-central-1.amazonaws.com/tools/ecr-helper@${digest}`);
    writeFileSync(join(folder, "build/digest"), digest);
    const byPodman = `registry=localhost:5000 name=a\n${shellSnippet("infra/README.md", "podman build")}`;
    assert.equal((await run(callsOf(byPodman))).outputs["imageRef"], `localhost:5000/a@${digest}`);
  });

  it("clear the entries of a helper that did not run, and no others", () => {
    const note = "ecr-helper/ecr-helper-STACK";
    const own = JSON.stringify({ secrets: ["ecr-creds"], imagePullSecrets: ["ecr-creds-pull"] });
    const account = (annotations: object, lists: object): object => ({ metadata: { annotations }, ...lists });
    const items = [
      account({ [note]: own, other: "x" }, { secrets: [{ name: "mine" }, { name: "ecr-creds" }] }),
      account({ other: "x" }, { secrets: [{ name: "ecr-creds" }] }),
      ...["no JSON", "[]", '{"secrets":1}'].map((text) => account({ [note]: text }, { secrets: [{ name: "theirs" }] })),
    ];
    const [, program = ""] = /'([^]*)'/.exec(shellSnippet("infra/README.md", "get serviceaccounts")) ?? [];
    const answer = execFileSync("jq", ["--arg", "n", note, program], { input: JSON.stringify({ items }) });
    const cleared = account({ other: "x" }, { secrets: [{ name: "mine" }], imagePullSecrets: [] });
    const malformed = account({}, { secrets: [{ name: "theirs" }], imagePullSecrets: [] });
    assert.deepEqual(JSON.parse(answer.toString()), { items: [cleared, malformed, malformed, malformed] });
  });
});
