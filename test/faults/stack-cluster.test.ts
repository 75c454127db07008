// The way from Pulumi to the cluster changes, which replaces nothing; or the cluster is gone, and the stack is destroyed.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { GetUserCommand } from "@aws-sdk/client-iam";
import { parse, stringify } from "yaml";
import { kubeconfig } from "../local/settings.ts";
import { changesOf } from "../support/commands.ts";
import { Tunnel } from "../support/tunnel.ts";
import type { ProxiedStack } from "./proxied-stack.ts";
import type { PulumiResult } from "./pulumi-commands.ts";
import { createStackAndNamespace, iam, kube, rbac, removeStackAndNamespace } from "./stack-resources.ts";

interface Kubeconfig {
  readonly clusters: readonly { readonly name: string; readonly cluster: object }[];
  readonly users: readonly { readonly name: string; readonly user: { readonly token?: string } }[];
}

describe("the way to the cluster", () => {
  const name = `fc-${randomBytes(3).toString("hex")}`;
  const build = `build-${name}`;
  const local = parse(readFileSync(kubeconfig, "utf8")) as Kubeconfig;
  let stack: ProxiedStack;
  let tunnel: Tunnel;
  let folder: string;

  const succeed = async (run: Promise<PulumiResult>): Promise<string> => {
    const { code, output } = await run;
    assert.equal(code, 0, output);
    return output;
  };
  const fail = async (run: Promise<PulumiResult>): Promise<string> => {
    const { code, output } = await run;
    assert.notEqual(code, 0, output);
    return output;
  };
  /** The ids of objects, which a replacement would change. */
  const uids = async (): Promise<string[]> => {
    const paths = [
      `/api/v1/namespaces/${name}`,
      `/apis/apps/v1/namespaces/${name}/deployments/ecr-helper`,
      ...["", "-owner", "-stack"].map((suffix) => `${rbac}/clusterroles/ecr-helper-${name}${suffix}`),
    ];
    const all = paths.map(async (path) => kube<{ metadata: { uid: string } }>({ method: "GET", path }));
    return (await Promise.all(all)).map(({ metadata }) => metadata.uid);
  };
  const providers = ["cluster", "cluster-identity", "cluster-patches"];
  const throughTunnel = (): object => {
    const clusters = local.clusters.map((one) => ({ ...one, cluster: { ...one.cluster, "proxy-url": tunnel.url } }));
    return { ...local, clusters };
  };
  /** Asserts that another kubeconfig changes the providers alone, in place, as a preview says. */
  const changeTo = async (to: object): Promise<void> => {
    const before = await uids();
    stack.configure(`kubeconfig=${stringify(to)}`);
    const planned = [...(await succeed(stack.try("preview"))).matchAll(/^ *[+~-]+ +(\S+:\S+) (\S+) (\w+)/gm)];
    const plan = planned.filter(([, type]) => type !== "pulumi:pulumi:Stack").map(([, , ...what]) => what.join(" "));
    assert.deepEqual(plan.sort(), providers.map((one) => `${one} update`).sort());
    const changes = changesOf({ stderr: await succeed(stack.up()) });
    assert.deepEqual(changes.sort(), providers.map((one) => `updated kubernetes ${one}`).sort());
    assert.deepEqual(await uids(), before);
  };

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "ecr-helper-cluster-"));
    tunnel = await Tunnel.start();
    stack = await createStackAndNamespace(name, build);
    await succeed(stack.up());
  });
  after(async () => {
    await removeStackAndNamespace(stack, build);
    await tunnel.close();
    await rm(folder, { recursive: true });
  });

  it("leads through a proxy, by proxy-url", async () => {
    await changeTo(throughTunnel());
    assert.ok(tunnel.targets.length > 0);
  });

  it("is by a command with one argument, then with another", async () => {
    const token = local.users[0]?.user.token;
    for (const file of ["one", "other"].map((one) => join(folder, one))) {
      const apiVersion = "client.authentication.k8s.io/v1beta1";
      await writeFile(file, JSON.stringify({ kind: "ExecCredential", apiVersion, status: { token } }), { mode: 0o600 });
      const exec = { apiVersion, command: "cat", args: [file], interactiveMode: "Never" };
      await changeTo({ ...local, users: local.users.map((one) => ({ ...one, user: { exec } })) });
    }
  });

  it("no longer exists: destroy says what to do, and that forgets what was in the cluster", async (t) => {
    await changeTo(throughTunnel());
    const state = join(folder, "state.json");
    await writeFile(state, await stack.pulumi("stack", "export"), { mode: 0o600 });
    const { port } = tunnel;
    await tunnel.close();
    assert.match(await fail(stack.destroy()), /cluster is unreachable[^]*PULUMI_K8S_DELETE_UNREACHABLE/);
    stack.environment = { PULUMI_K8S_DELETE_UNREACHABLE: "true" };
    const { code, output, milliseconds } = await stack.destroy();
    stack.environment = {};
    tunnel = await Tunnel.start(port);
    assert.equal(code, 0, output);
    await assert.rejects(iam.send(new GetUserCommand({ UserName: name })), { name: /^NoSuchEntity/ });
    const left = JSON.parse(await stack.pulumi("stack", "export")) as { deployment: { resources?: object[] } };
    assert.deepEqual(left.deployment.resources ?? [], []);
    t.diagnostic(`outcome: the cluster is gone | destroy names the remedy | ${String(milliseconds)} ms with it`);
    // The cluster does exist here: with the former state its part is destroyed, too.
    await stack.pulumi("stack", "import", "--file", state);
    await succeed(stack.destroy());
    await stack.assertCleanedUp();
  });
});
