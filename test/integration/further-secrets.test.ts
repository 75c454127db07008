// Further secrets, in the forms of other tools: kept, limited and taken away as the logins for builds and the pull secret are.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { readConfig } from "../../helper/config/helper-config.ts";
import type { KubeRequest } from "../../helper/kube/types.ts";
import { startGateway, type Gateway } from "../local/gateway/main.ts";
import { respondsOk } from "../local/process.ts";
import { loopback, ports, url } from "../local/settings.ts";
import { waitForObject } from "../local/watch.ts";
import { freePort } from "../support/api-server.ts";
import type { HelperProcess } from "../support/helper-process.ts";
import { decode, secretPath, type Secret } from "../support/kept-objects.ts";
import { denialMessage } from "../support/policy-enforcement.ts";
import { loginStatus } from "../support/registry-login.ts";
import { makeParts, type Parts } from "../support/stack-parts.ts";
import { apply, merge, secretNamed } from "./attacks.ts";

const id = randomBytes(3).toString("hex");
const [team, tools] = [`${id}-team`, `${id}-tools`];
const timeout = 20_000;

/** The names of the stack's secrets in a namespace. */
async function namesIn(parts: Parts, namespace: string): Promise<string[]> {
  const selector = encodeURIComponent(`app.kubernetes.io/instance=${parts.owner}`);
  const path = `/api/v1/namespaces/${namespace}/secrets?labelSelector=${selector}`;
  const { items } = await parts.admin<{ items: { metadata: { name: string } }[] }>({ method: "GET", path });
  return items.map(({ metadata }) => metadata.name).sort();
}

describe("further secrets", () => {
  const secretType = "argocd.argoproj.io/secret-type";
  const secrets = [
    { name: "argocd", form: "argocd-repo-creds", namespaces: ["*-tools"], labels: { team: "a" } },
    { name: "own", data: { "login.txt": "${username}:${password}" }, annotations: { "example.com/at": "${url}" } },
  ];
  let parts: Parts;
  let helper: HelperProcess;
  let gateway: Gateway;

  before(async () => {
    parts = await makeParts([`${id}-*`], { config: { secrets: JSON.stringify(secrets) } });
    for (const namespace of [team, tools]) await parts.namespace(namespace);
    const body = { metadata: { name: "own" }, stringData: { theirs: "" } };
    await parts.admin({ method: "POST", path: `/api/v1/namespaces/${team}/secrets`, body });
    // Its tokens live so briefly that the test sees a refresh.
    const any = { address: loopback, port: 0 };
    gateway = await startGateway({ emulator: ports.emulator, api: any, registry: any, tokenLife: 60_000 });
    helper = parts.run({ AWS_ENDPOINT_URL: url(gateway.api) });
    await helper.line(/the secret will expire/);
  });

  after(async () => {
    await parts.remove();
    await gateway.close();
  });

  const one = (name: string): string => `/api/v1/namespaces/${tools}/secrets?fieldSelector=metadata.name%3D${name}`;

  it("are in their namespaces, with a login that the registry accepts, and in no others", async () => {
    assert.deepEqual(await namesIn(parts, tools), ["argocd", "ecr-creds", "ecr-creds-pull", "own"]);
    assert.deepEqual(await namesIn(parts, team), ["ecr-creds", "ecr-creds-pull"], "own is theirs");
    assert.deepEqual(await namesIn(parts, String(parts.env["ECR_HELPER_NAMESPACE"])), ["ecr-creds-pull"]);
    const { data, metadata } = await parts.secret(tools, "argocd");
    const { labels } = metadata as unknown as { labels: Record<string, string> };
    assert.deepEqual([labels[secretType], labels["team"]], ["repo-creds", "a"]);
    const { password = "", ...rest } = Object.fromEntries(
      Object.entries(data).map(([key, value]) => [key, decode(value)]),
    );
    const host = String(parts.env["ECR_HELPER_REGISTRIES"]);
    assert.deepEqual(rest, { url: host, type: "helm", enableOCI: "true", username: "AWS" });
    assert.equal(await loginStatus(gateway.registry, password), 200);
    const own = await parts.secret(tools, "own");
    assert.equal(own.metadata.annotations["example.com/at"], `https://${host}`);
  });

  it("leave one of somebody else's alone, which an Event reports once", async () => {
    const path = `/api/v1/namespaces/${team}/events?fieldSelector=reason%3DForeignObject`;
    const { message } = await waitForObject<{ message: string }>(parts.options, path, () => true, timeout);
    assert.match(message, /secret \S+\/own exists .*ecr-helper:secrets/);
    assert.deepEqual((await parts.secret(team, "own")).data, { theirs: "" });
    const reports = helper.lines.filter(({ message: line }) => line.includes("was not made by this helper"));
    assert.equal(reports.length, 1);
  });

  it("are restored when somebody deletes or changes them, or takes a label away", async () => {
    const deeds: ((path: string) => KubeRequest)[] = [
      (path) => ({ method: "DELETE", path }),
      (path) => change(path, { data: { url: "eA==" } }),
      (path) => change(path, { metadata: { labels: { [secretType]: "cluster", team: null } } }),
    ];
    for (const deed of deeds) {
      const before = await parts.secret(tools, "argocd");
      const changed = await parts.admin<Partial<Secret>>(deed(secretPath(tools, "argocd")));
      const since = Number(changed.metadata?.resourceVersion ?? before.metadata.resourceVersion);
      const isBack = ({ metadata }: Secret): boolean => Number(metadata.resourceVersion) > since;
      const restored = await waitForObject(parts.options, one("argocd"), isBack, timeout);
      const labels = ({ metadata }: Secret): unknown => (metadata as unknown as { labels: unknown }).labels;
      assert.deepEqual([Object.keys(restored.data), labels(restored)], [Object.keys(before.data), labels(before)]);
    }
  });

  it("have the next token as soon as the others", async () => {
    const { data, metadata } = await parts.secret(tools, "own");
    const isNext = (next: Secret): boolean => next.data["login.txt"] !== data["login.txt"];
    const next = await waitForObject(parts.options, one("own"), isNext, 90_000);
    assert.equal(next.metadata.uid, metadata.uid, "it was never deleted");
    assert.equal(await loginStatus(gateway.registry, decode(next.data["login.txt"]).slice("AWS:".length)), 200);
  });

  it("are written again by nobody where they are right", async () => {
    await helper.stop();
    const versions = async (): Promise<string[]> =>
      Promise.all(["argocd", "own"].map(async (name) => (await parts.secret(tools, name)).metadata.resourceVersion));
    const before = await versions();
    const next = parts.run();
    await next.line(/the secret will expire/);
    const written = next.lines.filter(({ message }) => /(argocd|own) configured in namespace/.test(message));
    assert.deepEqual(written, []);
    assert.deepEqual(await versions(), before);
    await next.stop();
  });

  it("are limited by the admission policies to their types, keys, labels and namespaces", async () => {
    const config = readConfig(parts.env);
    const argocd = secretNamed(config, "argocd");
    const denialOf = async (call: KubeRequest): Promise<string> => denialMessage(parts.cluster, call);
    const over = (metadata: object): object => ({ ...argocd, metadata: { ...argocd.metadata, ...metadata } });
    const path = secretPath(tools, "argocd");
    assert.equal(await denialOf(apply(path, argocd)), "");
    const shapes: object[] = [
      { ...argocd, data: { ...argocd.data, server: "" } },
      { ...secretNamed(config, "ecr-creds"), metadata: argocd.metadata },
    ];
    await parts.admin({ method: "DELETE", path });
    for (const body of [...shapes, { ...argocd, type: "example.com/x" }])
      assert.match(await denialOf(apply(path, body)), /as their names say/);
    const labels = argocd.metadata.labels ?? {};
    const strange = [{ labels: { ...labels, [secretType]: "cluster" } }, { labels: { ...labels, more: "" } }];
    for (const metadata of [...strange, { annotations: { "replicator/from": "x" } }])
      assert.match(await denialOf(apply(path, over(metadata))), /only write its own annotations and labels/);
    assert.match(await denialOf(apply(secretPath(team, "argocd"), argocd)), /in build namespaces of its stack/);
    assert.equal(await denialOf(apply(path, argocd)), "");
    await parts.admin(change(secretPath(tools, "own"), { metadata: { labels: { theirs: "yes" } } }));
    const unlabelled = merge(secretPath(tools, "own"), { metadata: { labels: { theirs: null } } });
    assert.match(await denialOf(unlabelled), /only write its own annotations and labels/);
    const relabelled = merge(secretPath(tools, "own"), { metadata: { annotations: { "example.com/at": null } } });
    assert.equal(await denialOf(relabelled), "", "what the helper has written it may take away");
    // The helper of a definition that had this namespace made it.
    const { ownerReferences } = (await parts.secret(tools, "own")).metadata;
    const body = { ...argocd, metadata: { ...argocd.metadata, ownerReferences } };
    await parts.admin({ method: "POST", path: `/api/v1/namespaces/${team}/secrets`, body });
    assert.equal(await denialOf(merge(secretPath(team, "argocd"), { data: argocd.data })), "");
  });
});

const change = (path: string, body: object): KubeRequest => ({
  method: "PATCH",
  path: `${path}?fieldManager=somebody`,
  contentType: "application/merge-patch+json",
  body,
});

describe("a stack that has other definitions for its further secrets", () => {
  const data = { username: "${username}", password: "${password}" };
  const first = [
    { name: "dropped", data },
    { name: "retyped", data },
    { name: "moved", data, namespaces: ["*-team"] },
  ];
  const [team, tools] = [`next-${id}-team`, `next-${id}-tools`];
  let parts: Parts;

  before(async () => {
    // The next helper has other definitions than the stack, and its admission policies would deny its writes.
    parts = await makeParts([`next-${id}-*`], { config: { secrets: JSON.stringify(first), admissionPolicy: "false" } });
    for (const namespace of [team, tools]) await parts.namespace(namespace);
  });
  after(async () => parts.remove());

  it("has none of the old ones left when the next helper is ready, and all of the new ones", async () => {
    const last = parts.run();
    await last.line(/the secret will expire/);
    assert.deepEqual(await namesIn(parts, team), ["dropped", "ecr-creds", "ecr-creds-pull", "moved", "retyped"]);
    assert.deepEqual(await namesIn(parts, tools), ["dropped", "ecr-creds", "ecr-creds-pull", "retyped"]);
    // It is not replaced by a PUT then.
    await parts.admin(change(secretPath(team, "retyped"), { metadata: { labels: { theirs: "yes" } } }));
    const [, retyped, moved] = readConfig(parts.env).furtherSecrets;
    const next = [
      { ...retyped, type: "kubernetes.io/basic-auth" },
      { ...moved, namespaces: ["*-tools"] },
    ];
    const { helper, isReady } = await startNext({ ECR_HELPER_SECRETS: JSON.stringify(next) });
    await isReady();
    assert.deepEqual(await namesIn(parts, team), ["ecr-creds", "ecr-creds-pull", "retyped"]);
    assert.deepEqual(await namesIn(parts, tools), ["ecr-creds", "ecr-creds-pull", "moved", "retyped"]);
    for (const namespace of [team, tools])
      assert.equal((await parts.secret(namespace, "retyped")).type, "kubernetes.io/basic-auth");
    for (const one of [last, helper]) assert.equal((await one.stop()).code, 0);
  });

  /** Has the Deployment make helpers with these variables, and starts one. */
  const startNext = async (
    env: Record<string, string>,
  ): Promise<{ helper: HelperProcess; isReady: () => Promise<void> }> => {
    const path = `/apis/apps/v1/namespaces/${String(parts.env["ECR_HELPER_NAMESPACE"])}/deployments/ecr-helper`;
    const { spec } = await parts.admin<{
      spec: { template: { spec: { containers: { env: { name: string; value?: string }[] }[] } } };
    }>({ method: "GET", path });
    for (const variable of spec.template.spec.containers.flatMap((container) => container.env))
      if (env[variable.name] !== undefined) variable.value = String(env[variable.name]);
    await parts.admin({ method: "PATCH", path, contentType: "application/merge-patch+json", body: { spec } });
    const port = String(await freePort());
    const helper = parts.run({ ...env, ECR_HELPER_POD: `${id}-n`, ECR_HELPER_TEMPLATE: "next", ECR_HELPER_PORT: port });
    const isReady = async (): Promise<void> => {
      while (!(await respondsOk(`http://127.0.0.1:${port}/readyz`))) {
        assert.ok(!helper.hasEnded);
        await delay(20);
      }
    };
    return { helper, isReady };
  };
});
