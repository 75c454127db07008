// A stack of an image that somebody else built, where no Docker engine responds.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import {
  CreateRepositoryCommand,
  DeleteRepositoryCommand,
  ECRClient,
  SetRepositoryPolicyCommand,
} from "@aws-sdk/client-ecr";
import { createKubeClient } from "../../helper/kube/client.ts";
import { cloudEnvironment } from "../local/cloud.ts";
import { docker, push } from "../local/docker.ts";
import { readKubeconfig } from "../local/kubeconfig.ts";
import { rootCredentials } from "../local/root-key.ts";
import { account, aws, kubeconfig, otherAccount, ports, registryHost } from "../local/settings.ts";
import { defaultConfig, openStack, parseOverride, saveOverrides } from "../local/stack.ts";
import { makeBaseImage } from "../support/base-image.ts";
import { pullActions } from "../support/ecr-actions.ts";
import { changesOf, makeCheckout, noChanges, type CommandResult } from "../support/commands.ts";
import { passwordFor, RegistryClient } from "../support/registry-client.ts";
import { pullPassword } from "./pulls.ts";
import { isReady, podsWhen } from "./pods.ts";

const id = randomBytes(3).toString("hex");
const [stack, build, repository] = [`given-${id}`, `build-${id}`, `tools-${id}/ecr-helper`];
const local = `${ports.registry.address}:${String(ports.registry.port)}`;
const there = registryHost(otherAccount);
const { command, runShell, remove } = await makeCheckout(stack);
const baseImage = `ecr-helper-base:${stack}`;
const flags = "--yes --skip-preview --non-interactive";
/** No engine listens there. */
const nowhere = "export DOCKER_HOST=unix:///nowhere.sock";

describe("an image that somebody else built", () => {
  const options = readKubeconfig(kubeconfig);
  const kube = createKubeClient(options);
  const ecr = new ECRClient({ endpoint: aws.AWS_ENDPOINT_URL, credentials: rootCredentials(account) });
  const theirs = new ECRClient({ endpoint: aws.AWS_ENDPOINT_URL, credentials: rootCredentials(otherAccount) });
  /** The image that is pushed to a repository which is not the stack's. */
  let image: string;

  const succeed = async (script: string): Promise<CommandResult> => {
    const result = await runShell(script);
    assert.equal(result.code, 0, result.stdout + result.stderr);
    return result;
  };
  /** Writes the stack's configuration, as `pulumi config set` does. */
  const configure = (settings: Readonly<Record<string, string>>): void => {
    const overrides = Object.entries(settings).map(([key, value]) => parseOverride(`${key}=${value}`));
    saveOverrides(openStack(stack, overrides));
  };
  const imageOfPod = async (): Promise<string | undefined> => {
    const [pod] = await podsWhen(
      options,
      stack,
      ([one, ...others]) => others.length === 0 && !!one && isReady(one),
      60_000,
    );
    return pod?.spec.containers[0]?.image;
  };
  /** Pulls with the kept credentials, from the stack's own registry by default. */
  const pullWith = async (name: string, reference: string, host?: string): Promise<Buffer[]> =>
    new RegistryClient(ports.registry, await pullPassword(options, build), host).pull(name, reference);
  /** Copies the image into a repository of the same name in the other account. */
  const copyToThem = async (password: string): Promise<void> => {
    await theirs.send(new CreateRepositoryCommand({ repositoryName: repository }));
    const from = new RegistryClient(ports.registry, password);
    const to = new RegistryClient(
      ports.registry,
      await passwordFor(rootCredentials(otherAccount), { api: ports.gateway }),
      there,
    );
    for (const blob of await from.pull(repository, "1")) await to.upload(repository, blob);
    const manifest = await from.request("GET", `/v2/${repository}/manifests/1`);
    const type = manifest.headers.get("content-type") ?? "";
    await to.request("PUT", `/v2/${repository}/manifests/1`, { body: Buffer.from(await manifest.arrayBuffer()), type });
  };
  const setTheirPolicy = async (policy: object): Promise<unknown> =>
    theirs.send(new SetRepositoryPolicyCommand({ repositoryName: repository, policyText: JSON.stringify(policy) }));
  /** The defaults of what is only for an image that the stack builds; the local cloud sets others. */
  const unset = Object.fromEntries(
    ["baseImage", "platform"].map((key) => [key, defaultConfig()[`ecr-helper:${key}`] ?? ""]),
  );

  before(async () => {
    Object.assign(process.env, cloudEnvironment());
    await kube({ method: "POST", path: "/api/v1/namespaces", body: { metadata: { name: build } } });
    await ecr.send(new CreateRepositoryCommand({ repositoryName: repository }));
    await makeBaseImage(baseImage);
    // As infra/README.md has it, for an engine without buildx.
    const built = `${local}/${repository}:1`;
    const args = `--build-arg "$(npm run -s bundle)" --build-arg BASE_IMAGE=${baseImage}`;
    await succeed(`DOCKER_BUILDKIT=0 docker build ${args} --file helper/Dockerfile --tag ${built} build/helper`);
    const password = await passwordFor(rootCredentials(account), { api: ports.gateway });
    await push(built, local, "AWS", password);
    const found = new RegistryClient(ports.registry, password).request("HEAD", `/v2/${repository}/manifests/1`);
    image = `${local}/${repository}@${(await found).headers.get("docker-content-digest") ?? ""}`;
    await copyToThem(password);
    await docker(["image", "rm", built]);
    const names = ["namespace", "repositoryName", "policyName", "userName"].map((key) => [key, stack]);
    configure({
      ...(Object.fromEntries(names) as Record<string, string>),
      ...unset,
      image,
      buildNamespaces: `["${build}"]`,
      pullRepositories: "[]",
    });
  });

  after(async () => {
    await command("down");
    for (const one of [ecr, theirs]) {
      await one.send(new DeleteRepositoryCommand({ repositoryName: repository, force: true }));
    }
    await kube({ method: "DELETE", path: `/api/v1/namespaces/${build}` });
    await docker(["image", "rm", baseImage]);
    await remove();
  });

  it("is deployed where no Docker engine responds, and its repository can be pulled from", async () => {
    const { stdout } = await succeed(`${nowhere}\npulumi stack init ${stack} --no-select\npulumi up ${flags}`);
    assert.ok(!changesOf({ stderr: stdout }).some((change) => change.includes("Image")), stdout);
    assert.equal(await imageOfPod(), image);
    assert.equal((await succeed("pulumi stack output imageRef")).stdout, `${image}\n`);
    const [, digest = ""] = image.split("@");
    assert.ok((await pullWith(repository, digest)).length > 1);
    await assert.rejects(pullWith(`refused-${id}/other`, "1"), /403 DENIED/);
  });

  it("changes nothing on refresh and on another up", async () => {
    const { stdout } = await succeed(`${nowhere}\npulumi up --refresh ${flags}`);
    assert.match(stdout, noChanges);
  });

  it("can be in another account, whose policy allows the first pull, and then the helper's own", async () => {
    const [, digest = ""] = image.split("@");
    configure({ image: `${there}/${repository}@${digest}`, registries: `["${there}"]` });
    const root = `arn:aws:iam::${account}:root`;
    const deployers = { Effect: "Allow", Principal: { AWS: root }, Action: pullActions };
    await setTheirPolicy({ Version: "2012-10-17", Statement: [deployers] });
    await succeed(`${nowhere}\npulumi up ${flags}`);
    assert.equal(await imageOfPod(), `${there}/${repository}@${digest}`);
    const { stdout } = await succeed("pulumi stack output crossAccountPolicy --json");
    await setTheirPolicy((JSON.parse(stdout) as Record<string, Record<string, object>>)[there]?.[repository] ?? {});
    assert.ok((await pullWith(repository, digest, there)).length > 1);
  });

  it("is replaced by one that the stack builds", async () => {
    const { code, stderr } = await command("up", "-c", "image=", "-c", `baseImage=${baseImage}`);
    assert.equal(code, 0, stderr);
    assert.ok(changesOf({ stderr }).includes("created Image ecr-helper"), stderr);
    assert.match((await imageOfPod()) ?? "", new RegExp(`^${local}/${stack}@sha256:`));
  });

  it("can be the one that the stack built, which takes Docker once more, or a command", async () => {
    const built = (await imageOfPod()) ?? "";
    configure({ ...unset, image: built });
    const { code, stdout, stderr } = await runShell(`${nowhere}\npulumi up ${flags}`);
    assert.notEqual(code, 0);
    assert.match(stdout + stderr, /failed to connect to any docker daemon/, stdout + stderr);
    assert.equal(await imageOfPod(), built);
    const urn = "pulumi stack --show-urns | grep -o 'urn:.*docker:index/image:Image::ecr-helper'";
    const next = await succeed(`${nowhere}\npulumi state delete --yes "$(${urn})"\npulumi up ${flags}`);
    assert.equal(await imageOfPod(), built, next.stdout);
    assert.match((await succeed(`${nowhere}\npulumi up --refresh ${flags}`)).stdout, noChanges);
  });

  it("needs no Docker engine for destroy, which leaves nothing", async () => {
    await succeed(`${nowhere}\npulumi destroy ${flags}`);
    const { code, stderr } = await command("down");
    assert.equal(code, 0, stderr);
  });
});
