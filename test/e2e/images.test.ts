// Real pods and a real builder use the credentials, which must allow what the configuration names and nothing else: in the stack's
// own account, in another account, and for the helper's own image.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, before, describe, it } from "node:test";
import {
  CreateRepositoryCommand,
  DeleteRepositoryCommand,
  ECRClient,
  SetRepositoryPolicyCommand,
} from "@aws-sdk/client-ecr";
import { createKubeClient } from "../../helper/kube/client.ts";
import { firstPullName } from "../../infra/first-pull.ts";
import { cloudEnvironment } from "../local/cloud.ts";
import { ctr } from "../local/containerd.ts";
import { docker, dockerHost, push } from "../local/docker.ts";
import { readKubeconfig } from "../local/kubeconfig.ts";
import { account, aws, kubeconfig, otherAccount, ports, registryHost } from "../local/settings.ts";
import { run as runCommand } from "../local/process.ts";
import { rootCredentials } from "../local/root-key.ts";
import { waitForObject } from "../local/watch.ts";
import { makeBaseImage } from "../support/base-image.ts";
import { passwordFor, RegistryClient } from "../support/registry-client.ts";
import { requestsToAws } from "../whole-run/artifacts.ts";
import { changesOf, makeCheckout, type Checkout } from "../support/commands.ts";
import { isRefused, isRunning, pushApp, runPod, waitingOf, withImage, type Pod } from "./pods.ts";
import { PullRole } from "./pull-role.ts";
import { pullPassword } from "./pulls.ts";

const id = randomBytes(3).toString("hex");
const local = `${ports.registry.address}:${String(ports.registry.port)}`;
const options = readKubeconfig(kubeconfig);
const kube = createKubeClient(options);
const userArn = (name: string): string => `arn:aws:iam::${account}:user/${name}`;

/** Deploys a stack with unique names. */
async function bringUp({ command }: Checkout, name: string, ...more: string[]): Promise<void> {
  const names = ["namespace", "repositoryName", "policyName", "userName", "roleName"].map((key) => `${key}=${name}`);
  const settings = [...names, `buildNamespaces=["build-${name}"]`, ...more];
  const { code, stderr } = await command("up", ...settings.flatMap((setting) => ["-c", setting]));
  assert.equal(code, 0, stderr);
}

const makeNamespace = async (name: string): Promise<unknown> =>
  kube({ method: "POST", path: "/api/v1/namespaces", body: { metadata: { name } } });
const removeNamespace = async (name: string): Promise<unknown> =>
  kube({ method: "DELETE", path: `/api/v1/namespaces/${name}` });

describe("the credentials in a build namespace", async () => {
  const stack = `img-${id}`;
  const build = `build-${stack}`;
  const checkout = await makeCheckout(stack);
  const { command } = checkout;
  const ecr = new ECRClient({ endpoint: aws.AWS_ENDPOINT_URL, credentials: rootCredentials(account) });
  const theirs = new ECRClient({ endpoint: aws.AWS_ENDPOINT_URL, credentials: rootCredentials(otherAccount) });
  const there = registryHost(otherAccount);
  const [app, pulledOnly, refused] = [`${stack}/app`, `shared-${id}/base`, `refused-${id}/app`];
  /** A repository that builds may push to and pods may not. */
  const refusedToPulls = `refused-${id}/pushed`;
  const own = [app, pulledOnly, refused, refusedToPulls];
  /** A repository that the configuration names, but whose policy in the other account does not allow it. */
  const closed = `refused-${id}/theirs`;

  /** A repository that a role of the other account opens, by another host of that registry. */
  const ofRole = `role-${id}/app`;
  const role = new PullRole(`role-${id}`, userArn(stack));

  before(async () => {
    Object.assign(process.env, cloudEnvironment());
    await makeNamespace(build);
    const password = await passwordFor(rootCredentials(account), { api: ports.gateway });
    for (const repositoryName of own) {
      await ecr.send(new CreateRepositoryCommand({ repositoryName }));
      await pushApp(`${local}/${repositoryName}:1`, password);
    }
    for (const repositoryName of [app, closed, ofRole]) {
      await theirs.send(new CreateRepositoryCommand({ repositoryName }));
      await copyImage(app, repositoryName, password);
    }
    await role.create();
    await bringUp(
      checkout,
      stack,
      `pullRepositories=["${stack}/*","shared-${id}/*","${closed}"]`,
      `pushRepositories=["${stack}/*","${refusedToPulls}"]`,
      `registries=${JSON.stringify([there, role.entry])}`,
      "podAdmission=v1beta1",
    );
  });

  /** Copies a test image into the other account's registry, as that account's root. */
  const copyImage = async (own: string, their: string, password: string): Promise<void> => {
    const from = new RegistryClient(ports.registry, password);
    const theirPassword = await passwordFor(rootCredentials(otherAccount), { api: ports.gateway });
    const to = new RegistryClient(ports.registry, theirPassword, there);
    for (const blob of await from.pull(own, "1")) await to.upload(their, blob);
    const manifest = await from.request("GET", `/v2/${own}/manifests/1`);
    const type = manifest.headers.get("content-type") ?? "";
    await to.request("PUT", `/v2/${their}/manifests/1`, { body: Buffer.from(await manifest.arrayBuffer()), type });
  };

  after(async () => {
    await command("down");
    for (const repositoryName of own) await ecr.send(new DeleteRepositoryCommand({ repositoryName, force: true }));
    for (const repositoryName of [app, closed, ofRole]) {
      await theirs.send(new DeleteRepositoryCommand({ repositoryName, force: true }));
    }
    await role.remove();
    await removeNamespace(build);
    await checkout.remove();
  });

  const run = async (name: string, image: string, wanted: (pod: Pod) => boolean): Promise<Pod> =>
    runPod(options, build, { name, image, serviceAccountName: "builder-sa" }, wanted);
  /** The login of builds. */
  const login = async (): Promise<string> => {
    const path = `/api/v1/namespaces/${build}/secrets/ecr-creds`;
    const { data } = await kube<{ data: { password: string } }>({ method: "GET", path });
    return Buffer.from(data.password, "base64").toString();
  };

  it("let a pod pull from a repository that the configuration names", async () => {
    await run("allowed", `${local}/${pulledOnly}:1`, isRunning);
  });

  it("let a pod pull whose service account the helper does not know, by the policy for pods", async () => {
    const pod = { name: "unknown", image: `${local}/${pulledOnly}:1`, serviceAccountName: "unknown" };
    const path = `/api/v1/namespaces/${build}/serviceaccounts`;
    await kube({ method: "POST", path, body: { metadata: { name: pod.serviceAccountName } } });
    assert.equal((await runPod(options, build, pod, isRunning)).status.phase, "Running");
  });

  it("let no pod pull from another one", async () => {
    const pod = await run("refused", `${local}/${refused}:1`, isRefused);
    assert.match(waitingOf(pod).message ?? "", /403 Forbidden/);
    const pull = new RegistryClient(ports.registry, await pullPassword(options, build)).pull(refused, "1");
    const where = `arn:aws:ecr:us-east-1:${account}:repository/${refused}`;
    const what = `ecr:BatchGetImage on resource: ${where}`;
    const why = "because no identity-based policy allows the ecr:BatchGetImage action";
    const message = `403 DENIED User: ${userArn(stack)} is not authorized to perform: ${what} ${why}`;
    await assert.rejects(pull, { message });
  });

  it("let a build push to the configured repositories only, and not to those that it may pull from", async () => {
    const password = await login();
    const pushTo = async (repository: string): Promise<void> => {
      const image = `${local}/${repository}:2`;
      await withImage(image, async () => push(image, local, "AWS", password));
    };
    await pushTo(app);
    await run("pushed", `${local}/${app}:2`, isRunning);
    const pulls = new RegistryClient(ports.registry, await pullPassword(options, build));
    const pushed = pulls.request("POST", `/v2/${refusedToPulls}/blobs/uploads/`);
    await assert.rejects(pushed, /403 DENIED User: .* ecr:InitiateLayerUpload/);
    await assert.rejects(pushTo(refused), /denied: User: \S+ is not authorized to perform: ecr:\w+ on resource/);
    // Builders first check whether a blob exists: the right to pull allows that.
    const client = new RegistryClient(ports.registry, password);
    await assert.rejects(client.upload(refused, "a layer"), { message: "403 HEAD of a blob" });
    assert.equal((await client.send("HEAD", `/v2/${pulledOnly}/blobs/sha256:${"0".repeat(64)}`)).status, 404);
  });

  it("pull the base image that the update command pins, to which the tag currently refers", async () => {
    const folder = await mkdtemp(join(tmpdir(), "ecr-helper-renew-"));
    const image = `${local}/${app}:1`;
    const pulumi = join(folder, "Pulumi.yaml");
    const project = await readFile("Pulumi.yaml", "utf8");
    await writeFile(
      pulumi,
      project.replace(/(baseImage:\n.*\n.*\n {4}default: )\S+/, `$1${image}@sha256:${"0".repeat(64)}`),
    );
    const auth = Buffer.from(`AWS:${await login()}`).toString("base64");
    await writeFile(join(folder, "config.json"), JSON.stringify({ auths: { [local]: { auth } } }));
    const renew = async (): Promise<string> =>
      runCommand(process.execPath, [resolve("infra/renew-base-image.ts")], {
        cwd: folder,
        env: { ...process.env, DOCKER_CONFIG: folder, DOCKER_HOST: dockerHost() },
      });
    assert.match(await renew(), /`pulumi up` builds on it/);
    const { headers } = await new RegistryClient(ports.registry, await login()).request(
      "HEAD",
      `/v2/${app}/manifests/1`,
    );
    assert.ok(
      (await readFile(pulumi, "utf8")).includes(`default: ${image}@${headers.get("docker-content-digest") ?? ""}\n`),
    );
    assert.match(await renew(), /is still the one/);
    await rm(folder, { recursive: true });
  });

  it("allow pulls from a repository of another account only if it has the policy of the output", async () => {
    const pod = await run("theirs-refused", `${there}/${closed}:1`, isRefused);
    assert.match(waitingOf(pod).message ?? "", /403 Forbidden/);
    const { code, stdout, stderr } = await command("output", "crossAccountPolicy", "--json");
    assert.equal(code, 0, stderr);
    const policies = JSON.parse(stdout) as Record<string, Record<string, object>>;
    const policyText = JSON.stringify(policies[there]?.[`${stack}/*`]);
    await theirs.send(new SetRepositoryPolicyCommand({ repositoryName: app, policyText }));
    await run("theirs-allowed", `${there}/${app}:1`, isRunning);
    const client = new RegistryClient(ports.registry, await login(), there);
    await client.push(app, "pushed", "by a build");
  });

  it("allow pulls by a role of another account, which has the trust policy of the output", async () => {
    const { code, stdout, stderr } = await command("output", "registryTrustPolicies", "--json");
    assert.equal(code, 0, stderr);
    assert.deepEqual(JSON.parse(stdout), { [role.entry.roleArn]: role.trust });
    await run("by-role", `${role.entry.host}/${ofRole}:1`, isRunning);
  });

  it("fail with a clear error if the configuration is impossible", async () => {
    const settings = [
      `pushRepositories=["arn:aws:ecr:us-east-1:444455556666:repository/x"]`,
      `pullRepositories=["Upper"]`,
    ];
    const { code, stderr } = await command("up", ...settings.flatMap((setting) => ["-c", setting]));
    assert.equal(code, 1);
    assert.match(stderr, /ecr-helper:pushRepositories = "arn:aws:ecr:us-east-1:444455556666:repository\/x": expected /);
    assert.match(stderr, /ecr-helper:pullRepositories = "Upper": expected /);
    assert.deepEqual(changesOf({ stderr }), []);
  });
});

describe("the helper's own image", async () => {
  const stack = `own-${id}`;
  const build = `build-${stack}`;
  const checkout = await makeCheckout(stack);

  /** A unique base image, so that no other image on the node has all its layers. */
  const baseImage = `ecr-helper-base:${stack}`;

  before(async () => {
    Object.assign(process.env, cloudEnvironment());
    await makeNamespace(build);
    await makeBaseImage(baseImage);
    // The stack may pull from no repository but its own.
    await bringUp(checkout, stack, `baseImage=${baseImage}`, "pullRepositories=[]");
  });

  after(async () => {
    await checkout.command("down");
    await docker(["image", "rm", baseImage]);
    await removeNamespace(build);
    await checkout.remove();
  });

  it("is pulled with the helper's pull secret, on a node that does not have it", async () => {
    // The login of the user who deployed the stack was only used for the first pull.
    const first = await kube<{ data: Record<string, string> }>({
      method: "GET",
      path: `/api/v1/namespaces/${stack}/secrets/${firstPullName(local, "ecr-creds-pull")}`,
    });
    assert.equal(Buffer.from(first.data[".dockerconfigjson"] ?? "", "base64").toString(), '{"auths":{}}');

    const pods = `/api/v1/namespaces/${stack}/pods`;
    const { items } = await kube<{ items: Pod[] }>({ method: "GET", path: pods });
    const [pod] = items;
    // The node also keeps it under the digest of its config, which identifies its content.
    const [, digest = ""] = pod?.spec.containers[0]?.image.split("@") ?? [];
    const lines = (await ctr("images", "list")).split("\n").map((line) => line.split(/ +/));
    const names = lines.filter(([, , of]) => of === digest).map(([name = ""]) => name);
    assert.ok(names.length > 0, "the node has it");
    for (const name of names) await ctr("images", "rm", "--sync", name);
    const since = new Date().toISOString();
    await kube({ method: "DELETE", path: `${pods}/${pod?.metadata.name ?? ""}` });
    const isNext = ({ metadata, status }: Pod): boolean =>
      metadata.name !== pod?.metadata.name && status.containerStatuses?.[0]?.ready === true;
    const next = await waitForObject<Pod>(options, pods, isNext, 60_000);
    const about = `involvedObject.name%3D${next.metadata.name}%2Creason%3DPulled`;
    const events = `/api/v1/namespaces/${stack}/events?fieldSelector=${about}`;
    const pulled = await waitForObject<{ message: string }>(options, events, () => true, 10_000);
    assert.match(pulled.message, /^Successfully pulled image/);

    // It was pulled with the helper's own key, and not found on the node.
    const key = await kube<{ data: Record<string, string> }>({
      method: "GET",
      path: `/api/v1/namespaces/${stack}/secrets/ecr-helper`,
    });
    const id = Buffer.from(key.data["aws_access_key_id"] ?? "", "base64").toString();
    const requests = requestsToAws().ever.filter(
      (one) => one.key === id && one.time >= since && one.repository !== undefined,
    );
    const actions = new Set(requests.filter(({ status }) => status === 200).map(({ action }) => action));
    assert.deepEqual([...actions].sort(), ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]);
  });
});
