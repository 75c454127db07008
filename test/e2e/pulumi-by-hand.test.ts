// Pulumi's own commands on a stack of the local cloud, in a shell after `eval "$(npm run -s env)"`, and their messages when
// something is wrong.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { CreateUserCommand, DeleteUserCommand, IAMClient } from "@aws-sdk/client-iam";
import { createKubeClient } from "../../helper/kube/client.ts";
import { cloudEnvironment } from "../local/cloud.ts";
import { readKubeconfig } from "../local/kubeconfig.ts";
import { aws, backend, kubeconfig } from "../local/settings.ts";
import { changesOf, makeCheckout, noChanges, type CommandResult } from "../support/commands.ts";

const id = randomBytes(3).toString("hex");
const stack = `bh-${id}`;
const build = `build-${id}`;
const { command, runShell, remove } = await makeCheckout(stack);
const { dependencies: needed } = JSON.parse(await readFile("package.json", "utf8")) as { dependencies: object };
const dependencies = Object.keys(needed);
const flags = "--yes --skip-preview --non-interactive";

interface Kept {
  metadata: { uid: string };
  secrets?: object[];
  imagePullSecrets?: object[];
}

describe("pulumi by hand", () => {
  const kube = createKubeClient(readKubeconfig(kubeconfig));
  const iam = new IAMClient({ endpoint: aws.AWS_ENDPOINT_URL });
  /** A copy of all states, which tests damage. */
  let copy: string;

  /** Runs commands that must succeed. */
  const succeed = async (script: string): Promise<CommandResult> => {
    const result = await runShell(script);
    assert.equal(result.code, 0, result.stdout + result.stderr);
    return result;
  };
  /** Runs commands that must fail, and resolves with their output. */
  const fail = async (script: string): Promise<string> => {
    const { code, stdout, stderr } = await runShell(script);
    assert.notEqual(code, 0, stdout + stderr);
    return stdout + stderr;
  };
  const namespaced = (resource: string): string => `/api/v1/namespaces/${build}/${resource}`;
  const kept = async (): Promise<unknown[]> => {
    const paths = ["secrets/ecr-creds", "secrets/ecr-creds-pull", "serviceaccounts/builder-sa"].map(namespaced);
    const all = await Promise.all(paths.map(async (path) => kube<Kept>({ method: "GET", path })));
    return all.map(({ metadata, secrets, imagePullSecrets }) => [metadata.uid, secrets, imagePullSecrets]);
  };

  before(async () => {
    Object.assign(process.env, cloudEnvironment());
    await kube({ method: "POST", path: "/api/v1/namespaces", body: { metadata: { name: build } } });
    const names = ["namespace", "repositoryName", "policyName", "userName"].map((key) => `${key}=${stack}`);
    const settings = [...names, `buildNamespaces=["${build}"]`].flatMap((setting) => ["-c", setting]);
    const { code, stderr } = await command("up", ...settings);
    assert.equal(code, 0, stderr);
    copy = await mkdtemp(join(tmpdir(), "ecr-helper-states-"));
  });

  after(async () => {
    await command("down");
    await kube({ method: "DELETE", path: `/api/v1/namespaces/${build}` });
    await rm(copy, { recursive: true });
    await remove();
  });

  it("changes nothing on preview, refresh, another preview and up, and prints the outputs", async () => {
    const script = [
      "pulumi preview --diff --expect-no-changes --non-interactive",
      `pulumi refresh ${flags} --expect-no-changes`,
      "pulumi preview --diff --expect-no-changes --non-interactive",
      `pulumi up ${flags}`,
    ];
    const { stdout } = await succeed(script.join("\n"));
    assert.match(stdout, noChanges);
    assert.equal((await succeed("pulumi stack output namespace")).stdout, `${stack}\n`);
  });

  it("imports an existing resource, and deletes it again because the program does not declare it", async () => {
    const UserName = `${stack}-theirs`;
    await iam.send(new CreateUserCommand({ UserName }));
    const imported = await succeed(`pulumi import aws:iam/user:User theirs ${UserName} --protect=false ${flags}`);
    assert.match(imported.stdout, /1 imported/);
    assert.deepEqual(changesOf({ stderr: (await succeed(`pulumi up ${flags}`)).stdout }), ["deleted User theirs"]);
    await assert.rejects(iam.send(new DeleteUserCommand({ UserName })), { name: "NoSuchEntityException" });
  });

  it("removes no objects when another client replaces the Deployment, whose new pod keeps them", async () => {
    const before = await kept();
    const get = `kubectl -n ${stack} get deployment ecr-helper -o json`;
    await succeed(`${get} | kubectl replace --force -f - && kubectl -n ${stack} rollout status deployment ecr-helper`);
    assert.deepEqual(await kept(), before);
    await succeed(`pulumi up --refresh ${flags}`);
    assert.deepEqual(await kept(), before);
  });

  it("creates a deleted Deployment again, whose old helper has removed no objects", async () => {
    const before = await kept();
    await kube({ method: "DELETE", path: `/apis/apps/v1/namespaces/${stack}/deployments/ecr-helper` });
    const { stdout } = await succeed(`pulumi up --refresh ${flags}`);
    assert.ok(changesOf({ stderr: stdout }).includes("created Deployment ecr-helper"), stdout);
    assert.deepEqual(await kept(), before);
  });

  it("reports its version and the program with pulumi about", async () => {
    const about = JSON.parse((await succeed("pulumi about --json")).stdout) as {
      runtime: { executable: string };
      dependencies: { name: string }[];
      plugins: { name: string }[];
    };
    assert.match(about.runtime.executable, /node$/);
    assert.deepEqual(about.dependencies.map(({ name }) => name).sort(), [...dependencies].sort());
    assert.deepEqual(about.plugins.map(({ name }) => name).sort(), ["aws", "docker", "kubernetes", "nodejs"]);
  });

  it("does not print an invalid value of the configuration that is secret", async () => {
    const output = await fail("pulumi config set --secret logLevel very-loud && pulumi preview");
    assert.match(output, /ecr-helper:logLevel = \[secret\]: expected debug, info, warn, error/);
    assert.ok(!output.includes("very-loud"));
    await succeed("pulumi config rm logLevel");
  });

  it("reports a wrong passphrase", async () => {
    assert.match(await fail("PULUMI_CONFIG_PASSPHRASE=another pulumi preview"), /incorrect passphrase/);
  });

  it("reports on up and on destroy that no Docker engine responds, and keeps the stack", async () => {
    const nowhere = "DOCKER_HOST=unix:///nowhere.sock";
    const expected = /failed to connect to any docker daemon/;
    assert.match(await fail(`${nowhere} pulumi up ${flags}`), expected);
    assert.match(await fail(`${nowhere} pulumi destroy ${flags}`), expected);
    const { code, stderr } = await command("up");
    assert.equal(code, 0, stderr);
  });

  it("reports a state that a newer version of Pulumi has written", async () => {
    await cp(backend, copy, { recursive: true });
    const file = join(copy, ".pulumi/stacks/ecr-helper", `${stack}.json`);
    const state = await readFile(file, "utf8");
    await writeFile(file, state.replace(/"version":\s*\d+/, '"version":99'));
    const output = await fail(`PULUMI_BACKEND_URL=file://${copy} pulumi preview`);
    assert.match(output, /unsupported checkpoint version 99/);
  });

  it("loads a state whose sidecar file a killed command left empty once that file is deleted", async () => {
    const sidecar = join(copy, ".pulumi/stacks/ecr-helper", `${stack}.json.attrs`);
    await cp(join(backend, ".pulumi/stacks/ecr-helper", `${stack}.json`), sidecar.replace(/\.attrs$/, ""));
    await writeFile(sidecar, "");
    const preview = `PULUMI_BACKEND_URL=file://${copy} pulumi preview`;
    assert.match(await fail(preview), /failed to load checkpoint: EOF/);
    await rm(sidecar);
    await succeed(preview);
  });

  it("reports on destroy that the cluster is unreachable, and what to do if it no longer exists", async () => {
    await rm(copy, { recursive: true });
    await cp(backend, copy, { recursive: true });
    const [file, gone] = [join(copy, ".pulumi/stacks/ecr-helper", `${stack}.json`), join(copy, "kubeconfig")];
    const config = (await readFile(kubeconfig, "utf8")).replace(/https:[^"]+/, "https://127.0.0.1:1");
    await writeFile(gone, config, { mode: 0o600 });
    await writeFile(file, (await readFile(file, "utf8")).replaceAll(`"${kubeconfig}"`, `"${gone}"`));
    const output = await fail(`PULUMI_BACKEND_URL=file://${copy} pulumi destroy ${flags}`);
    assert.match(output, /configured Kubernetes cluster is unreachable/);
    assert.match(output, /PULUMI_K8S_DELETE_UNREACHABLE/);
    // That has deleted resources in AWS, which this creates again.
    const { code, stderr } = await command("up");
    assert.equal(code, 0, stderr);
  });
});
