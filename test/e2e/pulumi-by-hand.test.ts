// Pulumi's own commands on a stack of the local cloud, in a shell of `eval "$(npm run -s env)"`, and what they say where
// something is amiss.
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
  /** A copy of all states, to be spoilt. */
  let copy: string;

  const done = async (script: string): Promise<CommandResult> => {
    const ended = await runShell(script);
    assert.equal(ended.code, 0, ended.stdout + ended.stderr);
    return ended;
  };
  /** Fails, and gives what was said. */
  const refused = async (script: string): Promise<string> => {
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

  it("has nothing to do: preview, refresh, preview again, up; and gives the outputs", async () => {
    const script = [
      "pulumi preview --diff --expect-no-changes --non-interactive",
      `pulumi refresh ${flags} --expect-no-changes`,
      "pulumi preview --diff --expect-no-changes --non-interactive",
      `pulumi up ${flags}`,
    ];
    const { stdout } = await done(script.join("\n"));
    assert.match(stdout, noChanges);
    assert.equal((await done("pulumi stack output namespace")).stdout, `${stack}\n`);
  });

  it("imports an existing resource, and deletes it again because the program does not declare it", async () => {
    const UserName = `${stack}-theirs`;
    await iam.send(new CreateUserCommand({ UserName }));
    const imported = await done(`pulumi import aws:iam/user:User theirs ${UserName} --protect=false ${flags}`);
    assert.match(imported.stdout, /1 imported/);
    assert.deepEqual(changesOf({ stderr: (await done(`pulumi up ${flags}`)).stdout }), ["deleted User theirs"]);
    await assert.rejects(iam.send(new DeleteUserCommand({ UserName })), { name: "NoSuchEntityException" });
  });

  it("removes nothing when somebody replaces the Deployment, and runs on in the new one", async () => {
    const before = await kept();
    const get = `kubectl -n ${stack} get deployment ecr-helper -o json`;
    await done(`${get} | kubectl replace --force -f - && kubectl -n ${stack} rollout status deployment ecr-helper`);
    assert.deepEqual(await kept(), before);
    await done(`pulumi up --refresh ${flags}`);
    assert.deepEqual(await kept(), before);
  });

  it("creates a deleted Deployment again, and the helper that ended has removed nothing", async () => {
    const before = await kept();
    await kube({ method: "DELETE", path: `/apis/apps/v1/namespaces/${stack}/deployments/ecr-helper` });
    const { stdout } = await done(`pulumi up --refresh ${flags}`);
    assert.ok(changesOf({ stderr: stdout }).includes("created Deployment ecr-helper"), stdout);
    assert.deepEqual(await kept(), before);
  });

  it("reports its version and the program with pulumi about", async () => {
    const about = JSON.parse((await done("pulumi about --json")).stdout) as {
      runtime: { executable: string };
      dependencies: { name: string }[];
      plugins: { name: string }[];
    };
    assert.match(about.runtime.executable, /node$/);
    assert.deepEqual(about.dependencies.map(({ name }) => name).sort(), [...dependencies].sort());
    assert.deepEqual(about.plugins.map(({ name }) => name).sort(), ["aws", "docker", "kubernetes", "nodejs"]);
  });

  it("keeps a secret of the configuration secret, where it is wrong, too", async () => {
    const said = await refused("pulumi config set --secret logLevel very-loud && pulumi preview");
    assert.match(said, /ecr-helper:logLevel = \[secret\]: expected debug, info, warn, error/);
    assert.ok(!said.includes("very-loud"));
    await done("pulumi config rm logLevel");
  });

  it("reports a wrong passphrase", async () => {
    assert.match(await refused("PULUMI_CONFIG_PASSPHRASE=another pulumi preview"), /incorrect passphrase/);
  });

  it("says that no Docker engine answers, at up and at destroy, and loses nothing", async () => {
    const nowhere = "DOCKER_HOST=unix:///nowhere.sock";
    const expected = /failed to connect to any docker daemon/;
    assert.match(await refused(`${nowhere} pulumi up ${flags}`), expected);
    assert.match(await refused(`${nowhere} pulumi destroy ${flags}`), expected);
    const { code, stderr } = await command("up");
    assert.equal(code, 0, stderr);
  });

  it("says that a state is a newer command's", async () => {
    await cp(backend, copy, { recursive: true });
    const file = join(copy, ".pulumi/stacks/ecr-helper", `${stack}.json`);
    const state = await readFile(file, "utf8");
    await writeFile(file, state.replace(/"version":\s*\d+/, '"version":99'));
    const said = await refused(`PULUMI_BACKEND_URL=file://${copy} pulumi preview`);
    assert.match(said, /unsupported checkpoint version 99/);
  });

  it("says at destroy that the cluster does not answer, and what to do where it is gone", async () => {
    await rm(copy, { recursive: true });
    await cp(backend, copy, { recursive: true });
    const [file, gone] = [join(copy, ".pulumi/stacks/ecr-helper", `${stack}.json`), join(copy, "kubeconfig")];
    const config = (await readFile(kubeconfig, "utf8")).replace(/https:[^"]+/, "https://127.0.0.1:1");
    await writeFile(gone, config, { mode: 0o600 });
    await writeFile(file, (await readFile(file, "utf8")).replaceAll(`"${kubeconfig}"`, `"${gone}"`));
    const said = await refused(`PULUMI_BACKEND_URL=file://${copy} pulumi destroy ${flags}`);
    assert.match(said, /configured Kubernetes cluster is unreachable/);
    assert.match(said, /PULUMI_K8S_DELETE_UNREACHABLE/);
    // What was deleted in AWS by that is made again.
    const { code, stderr } = await command("up");
    assert.equal(code, 0, stderr);
  });
});
