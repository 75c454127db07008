// Service accounts that a pattern or the selector includes: in namespaces that a pattern includes, and in one that is named.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { CreateRepositoryCommand, DeleteRepositoryCommand, ECRClient } from "@aws-sdk/client-ecr";
import { maxUnnamedAccounts } from "../../helper/cache/accounts.ts";
import { createKubeClient } from "../../helper/kube/client.ts";
import type { KubeRequest } from "../../helper/kube/types.ts";
import { inParallel } from "../../helper/runtime/parallel.ts";
import { isRunning, pushApp, runPod } from "../e2e/pods.ts";
import { rootCredentials } from "../local/root-key.ts";
import { account, aws, ports } from "../local/settings.ts";
import { waitForObject } from "../local/watch.ts";
import { bundleHelper } from "../support/helper-bundle.ts";
import type { HelperProcess } from "../support/helper-process.ts";
import type { ServiceAccount } from "../support/kept-objects.ts";
import { kubeOptionsOf } from "../support/kube-options.ts";
import { passwordFor } from "../support/registry-client.ts";
import { makeParts, type Parts } from "../support/stack-parts.ts";

const id = randomBytes(3).toString("hex");
const timeout = 60_000;
const rules = { serviceAccounts: '["builder-sa","ci-*"]', serviceAccountSelector: "pulls=yes" };
const both = [["ecr-creds"], ["ecr-creds-pull"]];
/** Kubernetes' limit for the size of an object's annotations, minus some room for those of other clients. */
const large = "x".repeat(240 * 1024);

const collection = (namespace: string): string => `/api/v1/namespaces/${namespace}/serviceaccounts`;
const lists = ({ secrets = [], imagePullSecrets = [] }: ServiceAccount): string[][] =>
  [secrets, imagePullSecrets].map((list) => list.map(({ name }) => name));
const isServed = (found: ServiceAccount): boolean =>
  both.every(([name = ""], index) => lists(found)[index]?.includes(name) === true);
const isNoted = ({ metadata }: ServiceAccount): boolean => JSON.stringify(metadata).includes('"ecr-helper/');

/** What a test does with the service accounts of a stack's namespaces. */
const accountsOf = (parts: Parts) => ({
  create: async (namespace: string, name: string, rest: { labels?: object; imagePullSecrets?: object[] } = {}) => {
    const { labels, ...more } = rest;
    await parts.admin({ method: "POST", path: collection(namespace), body: { metadata: { name, labels }, ...more } });
  },
  label: async (namespace: string, name: string, pulls: string | null) => {
    const [path, contentType] = [`${collection(namespace)}/${name}`, "application/merge-patch+json"];
    await parts.admin({ method: "PATCH", path, contentType, body: { metadata: { labels: { pulls } } } });
  },
  read: async (namespace: string, name: string): Promise<ServiceAccount> =>
    parts.admin({ method: "GET", path: `${collection(namespace)}/${name}` }),
  /** Resolves with a service account once it is as wanted. */
  when: async (
    namespace: string,
    name: string,
    isWanted: (found: ServiceAccount) => boolean,
  ): Promise<ServiceAccount> =>
    waitForObject(parts.options, `${collection(namespace)}?fieldSelector=metadata.name%3D${name}`, isWanted, timeout),
});

describe("service accounts that a pattern or the selector includes", () => {
  const repositoryName = `app-${id}`;
  const registryHost = `${ports.registry.address}:${String(ports.registry.port)}`;
  const image = `${registryHost}/${repositoryName}:1`;
  const ecr = new ECRClient({ endpoint: aws.AWS_ENDPOINT_URL, credentials: rootCredentials(account) });
  const [team, hostile, late, outside] = [`${id}-team`, `${id}-hostile`, `${id}-late`, `other-${id}`];
  let [parts, helper]: [Parts, HelperProcess] = [undefined as never, undefined as never];
  let accounts: ReturnType<typeof accountsOf>;
  let folder: string;

  before(async () => {
    await ecr.send(new CreateRepositoryCommand({ repositoryName }));
    await pushApp(image, await passwordFor(rootCredentials(account), { api: ports.gateway }));
    folder = await mkdtemp(join(tmpdir(), "ecr-helper-accounts-"));
    parts = await makeParts([`${id}-*`], { config: { ...rules, registryHost }, command: bundleHelper(folder) });
    accounts = accountsOf(parts);
    for (const namespace of [team, outside]) await parts.namespace(namespace);
    await accounts.create(team, "ci-early", { imagePullSecrets: [{ name: "theirs" }] });
    for (const namespace of [team, outside]) await accounts.create(namespace, "plain", { labels: { pulls: "no" } });
    helper = parts.run();
    await helper.line(/the secret will expire/);
  });

  after(async () => {
    await parts.remove();
    await rm(folder, { recursive: true });
    await ecr.send(new DeleteRepositoryCommand({ repositoryName, force: true }));
  });

  it("refer to both secrets, those that exist already and those that appear, beside what others wrote", async () => {
    await accounts.create(team, "ci-late");
    await accounts.create(team, "labelled", { labels: { pulls: "yes" } });
    assert.deepEqual(lists(await accounts.when(team, "ci-early", isServed)), [
      ["ecr-creds"],
      ["theirs", "ecr-creds-pull"],
    ]);
    for (const name of ["ci-late", "labelled", "builder-sa"])
      assert.deepEqual(lists(await accounts.when(team, name, isServed)), both);
    const { metadata } = await accounts.read(team, "ci-late");
    assert.deepEqual([metadata.labels, metadata.ownerReferences], [undefined, undefined], "no part of the stack");
  });

  it("let a pod pull", async () => {
    const pod = await runPod(parts.options, team, { name: "app", image, serviceAccountName: "ci-late" }, isRunning);
    assert.equal(pod.status.phase, "Running");
  });

  it("follow their labels: what comes with one goes with it, and nothing else", async () => {
    for (const namespace of [team, outside]) await accounts.label(namespace, "plain", "yes");
    await accounts.when(team, "plain", isServed);
    await accounts.label(team, "plain", null);
    const released = await accounts.when(team, "plain", (found) => !isNoted(found));
    assert.deepEqual(lists(released), [[], []]);
    assert.deepEqual(lists(await accounts.read(outside, "plain")), [[], []], "in no other namespace");
  });

  it("are not made again when they are deleted", async () => {
    await parts.admin({ method: "DELETE", path: `${collection(team)}/ci-late` });
    await accounts.create(team, "ci-next");
    await accounts.when(team, "ci-next", isServed);
    await assert.rejects(accounts.read(team, "ci-late"), /NotFound|not found/);
  });

  it("are neither made, deleted, nor changed otherwise by whoever has the helper's token", async () => {
    const kube = createKubeClient(kubeOptionsOf(parts.cluster));
    const dryRun = "dryRun=All&fieldManager=ecr-helper";
    const path = (namespace: string, name: string): string => `${collection(namespace)}/${name}?${dryRun}`;
    const patch = (namespace: string, body: object): KubeRequest => {
      const contentType = "application/merge-patch+json";
      return { method: "PATCH", path: path(namespace, "plain"), contentType, body };
    };
    const apply = "application/apply-patch+yaml";
    const made = { apiVersion: "v1", kind: "ServiceAccount", metadata: { name: "ci-made" } };
    const entry = { imagePullSecrets: [{ name: "ecr-creds-pull" }] };
    for (const [request, refused] of [
      [patch(team, entry), undefined],
      [patch(outside, entry), /-serviceaccounts'/],
      [patch(team, { imagePullSecrets: [{ name: "another" }] }), /-serviceaccounts'/],
      [patch(team, { metadata: { annotations: { "eks.amazonaws.com/role-arn": "arn" } } }), /-serviceaccounts'/],
      [{ method: "DELETE", path: path(team, "plain"), body: {} }, /cannot delete resource/],
      [{ method: "PATCH", path: path(team, "ci-made"), contentType: apply, body: made }, /cannot create resource/],
    ] as const satisfies [KubeRequest, RegExp | undefined][]) {
      const answer = kube(request);
      await (refused === undefined ? answer : assert.rejects(answer, refused));
    }
  });

  it("cost a helper that starts no write where they are as they should be", async () => {
    await helper.stop();
    helper = parts.run();
    await helper.line(/the secret will expire/);
    assert.deepEqual(
      helper.lines.filter(({ message }) => message.includes(" configured ")),
      [],
    );
  });

  it("of a tenant who makes too many, and large ones, hold up nobody else", async (t) => {
    const memory = (): number =>
      Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${String(helper.pid)}/status`, "utf8"))?.[1]);
    await parts.namespace(hostile);
    const names = Array.from({ length: maxUnnamedAccounts + 200 }, (_, index) => `ci-${String(index)}`);
    await inParallel(names, 16, async (name) => accounts.create(hostile, name));
    const forged = Array.from({ length: 80 }, (_, index) => `forged-${String(index)}`);
    await inParallel(forged, 8, async (name) => {
      const annotations = { [`ecr-helper/${parts.owner}`]: large };
      await parts.admin({ method: "POST", path: collection(hostile), body: { metadata: { name, annotations } } });
    });
    await helper.line(/namespace \w+-hostile is left alone: service account \S+ is one too many/);
    await parts.namespace(late);
    await accounts.create(late, "ci-1");
    await accounts.when(late, "ci-1", isServed);
    await helper.stop();
    helper = parts.run();
    await helper.line(/the secret will expire/);
    await accounts.create(late, "ci-2");
    await accounts.when(late, "ci-2", isServed);
    t.diagnostic(`${String(memory())} kB`);
    assert.ok(memory() < 155_000, `${String(memory())} kB, of 160Mi`);
  });

  it("lose the helper's entries, and no others, when the stack is destroyed", async () => {
    await parts.endStack();
    assert.equal((await helper.stop()).code, 0);
    assert.deepEqual(lists(await accounts.read(team, "ci-early")), [[], ["theirs"]]);
    for (const [namespace, name] of [
      [team, "labelled"],
      [team, "ci-next"],
      [late, "ci-2"],
    ] as const) {
      const found = await accounts.read(namespace, name);
      assert.deepEqual([lists(found), isNoted(found)], [[[], []], false], name);
    }
    await assert.rejects(accounts.read(team, "builder-sa"), /NotFound|not found/, "the helper made it");
  });
});

describe("service accounts in a namespace that is named", () => {
  const namespace = `named-${id}`;
  let parts: Parts;

  before(async () => {
    parts = await makeParts([namespace], { config: rules });
  });
  after(async () => parts.remove());

  it("are read and extended by the rights there, and there only", async () => {
    const accounts = accountsOf(parts);
    await accounts.create(namespace, "ci-1");
    const helper = parts.run();
    await accounts.when(namespace, "ci-1", isServed);
    await accounts.create(namespace, "ci-2", { labels: { pulls: "yes" } });
    await accounts.when(namespace, "ci-2", isServed);
    await helper.line(/the secret will expire/);
    await parts.endStack();
    assert.equal((await helper.stop()).code, 0);
    for (const name of ["ci-1", "ci-2"]) assert.deepEqual(lists(await accounts.read(namespace, name)), [[], []]);
  });
});
