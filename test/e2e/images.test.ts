// What the kept credentials open, by real pods and a real builder: what the configuration names, and nothing else; in the own
// account, in another one, and for the helper's own image.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { setTimeout as delay } from "node:timers/promises";
import { after, before, describe, it } from "node:test";
import {
  CreateRepositoryCommand,
  DeleteRepositoryCommand,
  ECRClient,
  SetRepositoryPolicyCommand,
} from "@aws-sdk/client-ecr";
import { connect } from "../../helper/kube.ts";
import { cloudEnvironment } from "../local/cloud.ts";
import { ctr } from "../local/containerd.ts";
import { push } from "../local/docker.ts";
import { startFront, type Front } from "../local/front.ts";
import { rootOf } from "../local/front/principals.ts";
import { readKubeconfig } from "../local/kubeconfig.ts";
import {
  account,
  aws,
  bridge,
  kubeconfig,
  loopback,
  otherAccount,
  ports,
  registryHost,
  url,
} from "../local/machine.ts";
import { waitForObject } from "../local/watch.ts";
import { passwordFor, RegistryClient } from "../registry-client.ts";
import { changesOf, makeCheckout, type Checkout } from "./commands.ts";
import { isRefused, isRunning, pushApp, runPod, waitingOf, withImage, type Pod } from "./pods.ts";
import { pullPassword } from "./pulls.ts";

const id = randomBytes(3).toString("hex");
const local = `${ports.registry.address}:${String(ports.registry.port)}`;
const options = readKubeconfig(kubeconfig);
const kube = connect(options);
const userArn = (name: string): string => `arn:aws:iam::${account}:user/${name}`;

/** Brings a stack of its own names up. */
async function bringUp({ command }: Checkout, name: string, ...more: string[]): Promise<void> {
  const names = ["namespace", "repositoryName", "policyName", "userName"].map((key) => `${key}=${name}`);
  const settings = [...names, `buildNamespaces=["build-${name}"]`, ...more];
  const { code, stderr } = await command("up", ...settings.flatMap((setting) => ["-c", setting]));
  assert.equal(code, 0, stderr);
}

const makeNamespace = async (name: string): Promise<unknown> =>
  kube({ method: "POST", path: "/api/v1/namespaces", body: { metadata: { name } } });
const removeNamespace = async (name: string): Promise<unknown> =>
  kube({ method: "DELETE", path: `/api/v1/namespaces/${name}` });

describe("the kept credentials", async () => {
  const stack = `img-${id}`;
  const build = `build-${stack}`;
  const checkout = await makeCheckout(stack);
  const { command } = checkout;
  const ecr = new ECRClient({ endpoint: aws.AWS_ENDPOINT_URL, credentials: rootOf(account) });
  const theirs = new ECRClient({ endpoint: aws.AWS_ENDPOINT_URL, credentials: rootOf(otherAccount) });
  const there = registryHost(otherAccount);
  const [app, pulledOnly, refused] = [`${stack}/app`, `shared-${id}/base`, `refused-${id}/app`];
  const own = [app, pulledOnly, refused];

  before(async () => {
    Object.assign(process.env, cloudEnvironment());
    await makeNamespace(build);
    const password = await passwordFor(rootOf(account), { api: ports.front });
    for (const repositoryName of own) {
      await ecr.send(new CreateRepositoryCommand({ repositoryName }));
      await pushApp(`${local}/${repositoryName}:1`, password);
    }
    await theirs.send(new CreateRepositoryCommand({ repositoryName: app }));
    await copyImage(app, password);
    await bringUp(
      checkout,
      stack,
      `pullRepositories=["${stack}/*","shared-${id}/*"]`,
      `pushRepositories=["${stack}/*"]`,
      `registries=["${there}"]`,
    );
  });

  /** Copies an image into the other account's registry, as its root. */
  const copyImage = async (repository: string, password: string): Promise<void> => {
    const from = new RegistryClient(ports.registry, password);
    const theirPassword = await passwordFor(rootOf(otherAccount), { api: ports.front });
    const to = new RegistryClient(ports.registry, theirPassword, there);
    for (const blob of await from.pull(repository, "1")) await to.upload(repository, blob);
    const manifest = await from.get("GET", `/v2/${repository}/manifests/1`);
    const type = manifest.headers.get("content-type") ?? "";
    await to.get("PUT", `/v2/${repository}/manifests/1`, { body: Buffer.from(await manifest.arrayBuffer()), type });
  };

  after(async () => {
    await command("down");
    for (const repositoryName of own) await ecr.send(new DeleteRepositoryCommand({ repositoryName, force: true }));
    await theirs.send(new DeleteRepositoryCommand({ repositoryName: app, force: true }));
    await removeNamespace(build);
    await checkout.remove();
  });

  const run = async (name: string, image: string, wanted: (pod: Pod) => boolean): Promise<Pod> =>
    runPod(options, build, { name, image, serviceAccountName: "builder-sa" }, wanted);
  /** The login that builds have. */
  const login = async (): Promise<string> => {
    const path = `/api/v1/namespaces/${build}/secrets/ecr-creds`;
    const { data } = await kube<{ data: { password: string } }>({ method: "GET", path });
    return Buffer.from(data.password, "base64").toString();
  };

  it("let a pod pull from a repository that the configuration names", async () => {
    await run("allowed", `${local}/${pulledOnly}:1`, isRunning);
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

  it("let a build push where the configuration says so, and not where it may pull only, nor elsewhere", async () => {
    const password = await login();
    const pushTo = async (repository: string): Promise<void> => {
      const image = `${local}/${repository}:2`;
      await withImage(image, async () => push(image, local, "AWS", password));
    };
    await pushTo(app);
    await run("pushed", `${local}/${app}:2`, isRunning);
    await assert.rejects(pushTo(refused), /denied: User: \S+ is not authorized to perform: ecr:\w+ on resource/);
    // As builders do that ask first whether there is anything to upload: what may be pulled may be looked at.
    const client = new RegistryClient(ports.registry, password);
    await assert.rejects(client.upload(refused, "a layer"), { message: "403 HEAD of a blob" });
    assert.equal((await client.ask("HEAD", `/v2/${pulledOnly}/blobs/sha256:${"0".repeat(64)}`)).status, 404);
  });

  it("open a repository of another account once that account has set the policy of the output", async () => {
    const image = `${there}/${app}:1`;
    const before = await run("theirs-refused", image, isRefused);
    assert.match(waitingOf(before).message ?? "", /403 Forbidden/);
    const { code, stdout, stderr } = await command("output", "crossAccountPolicy", "--json");
    assert.equal(code, 0, stderr);
    const policies = JSON.parse(stdout) as Record<string, Record<string, object>>;
    const policyText = JSON.stringify(policies[there]?.[`${stack}/*`]);
    await theirs.send(new SetRepositoryPolicyCommand({ repositoryName: app, policyText }));
    await run("theirs-allowed", image, isRunning);
    const client = new RegistryClient(ports.registry, await login(), there);
    await client.push(app, "pushed", "by a build");
  });

  it("are refused in a word where the configuration asks for what cannot be", async () => {
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

describe("the helper's own image, when the login that pushed it has ended", async () => {
  const stack = `own-${id}`;
  const build = `build-${stack}`;
  const checkout = await makeCheckout(stack);
  /** Long enough for the stack to come up. */
  const tokenLife = 40_000;
  let front: Front;

  before(async () => {
    Object.assign(process.env, cloudEnvironment());
    await makeNamespace(build);
    const any = { port: 0 };
    const registry = { address: loopback, ...any };
    front = await startFront({
      emulator: ports.emulator,
      api: { address: bridge.address, ...any },
      registry,
      tokenLife,
    });
    await bringUp(
      checkout,
      stack,
      `aws:endpoints=${JSON.stringify([{ ecr: url(front.api) }])}`,
      `awsEndpointUrl=${url(front.api)}`,
      `registryHost=${front.registry.address}:${String(front.registry.port)}`,
      // Nothing but its own.
      "pullRepositories=[]",
    );
  });

  after(async () => {
    await checkout.command("down");
    await front.close();
    await removeNamespace(build);
    await checkout.remove();
  });

  it("is pulled by what the helper keeps, on a node that does not have it", async () => {
    const first = new RegistryClient(front.registry, await pullPassword(options, stack, "ecr-helper-image"));
    while ((await first.ask("GET", "/v2/")).status !== 403) await delay(500);

    const pods = `/api/v1/namespaces/${stack}/pods`;
    const { items } = await kube<{ items: Pod[] }>({ method: "GET", path: pods });
    const [pod] = items;
    const names = (await ctr("images", "list", "--quiet")).split("\n");
    for (const name of names.filter((one) => one.includes(`/${stack}@`) || one.includes(`/${stack}:`))) {
      await ctr("images", "rm", "--sync", name);
    }
    await kube({ method: "DELETE", path: `${pods}/${pod?.metadata.name ?? ""}` });
    const isNext = ({ metadata, status }: Pod): boolean =>
      metadata.name !== pod?.metadata.name && status.containerStatuses?.[0]?.ready === true;
    const next = await waitForObject<Pod>(options, pods, isNext, 60_000);
    const about = `involvedObject.name%3D${next.metadata.name}%2Creason%3DPulled`;
    const events = `/api/v1/namespaces/${stack}/events?fieldSelector=${about}`;
    const pulled = await waitForObject<{ message: string }>(options, events, () => true, 10_000);
    assert.match(pulled.message, /^Successfully pulled image/);
  });
});
