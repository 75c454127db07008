// Other names for what is kept: the last helper removes what has the old ones before the next one is ready. As soon as it is, Pulumi
// takes the rights away.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { leaseTimes } from "../../helper/election/lease.ts";
import { respondsOk } from "../local/process.ts";
import { freePort } from "../support/api-server.ts";
import type { HelperProcess } from "../support/helper-process.ts";
import { makeParts, type Parts } from "../support/stack-parts.ts";

const id = randomBytes(3).toString("hex");
const namespaces = Array.from({ length: 100 }, (_, index) => `${id}-${String(index)}`);
const rbac = "/apis/rbac.authorization.k8s.io/v1";

/** What the secrets are called. */
interface Names {
  readonly login: string;
  readonly pull: string;
}
const [first, second, third] = ["ecr-creds", `logins-${id}`, `other-${id}`].map((login) => ({
  login,
  pull: `${login}-pull`,
})) as [Names, Names, Names];

interface RoleObject {
  metadata: { name: string };
  rules: { resources: string[]; resourceNames?: string[] }[];
}

describe("a stack that has other names for its secrets", () => {
  let parts: Parts;
  let own: string;
  /** The roles for the names that the helpers have now. */
  let granted: string[];

  before(async () => {
    parts = await makeParts([`${id}-*`], { config: { admissionPolicy: "false" } });
    own = String(parts.env["ECR_HELPER_NAMESPACE"]);
    await Promise.all(namespaces.map(async (name) => parts.namespace(name)));
    granted = [`${rbac}/clusterroles`, `${rbac}/namespaces/${own}/roles`];
    for (const [index, path] of granted.entries()) {
      const { items } = await parts.admin<{ items: RoleObject[] }>({ method: "GET", path });
      const isTheirs = ({ metadata: { name }, rules }: RoleObject): boolean =>
        (path.includes(own) || name.startsWith(`${parts.owner}-`)) &&
        JSON.stringify(rules).includes('"ecr-creds-pull"');
      granted[index] = `${path}/${items.find(isTheirs)?.metadata.name ?? assert.fail(path)}`;
    }
  });
  after(async () => {
    await revoke(granted);
    await parts.remove();
  });

  const revoke = async (roles: readonly string[]): Promise<void> => {
    for (const path of roles) await parts.admin({ method: "DELETE", path });
  };

  /** Creates roles for other names beside those that are there, as Pulumi does before a rollout. */
  const grant = async (from: Names, to: Names): Promise<string[]> =>
    Promise.all(
      granted.map(async (path) => {
        const { rules } = await parts.admin<RoleObject>({ method: "GET", path });
        const renamed = JSON.parse(JSON.stringify(rules).replaceAll(`"${from.login}`, `"${to.login}`)) as object;
        const [collection, kind] = [path.replace(/\/[^/]*$/, ""), path.includes("cluster") ? "ClusterRole" : "Role"];
        const metadata = { name: `${own}-${to.login}` };
        await parts.admin({ method: "POST", path: collection, body: { metadata, rules: renamed } });
        const roleRef = { apiGroup: "rbac.authorization.k8s.io", kind, name: metadata.name };
        const subjects = [{ kind: "ServiceAccount", name: "ecr-helper", namespace: own }];
        const bindings = collection.replace(/roles$/, "rolebindings");
        await parts.admin({ method: "POST", path: bindings, body: { metadata, roleRef, subjects } });
        return `${collection}/${metadata.name}`;
      }),
    );

  /** Has the Deployment make helpers with these names, and starts one. */
  const startNext = async ({ login, pull }: Names): Promise<{ next: HelperProcess; isReady: () => Promise<void> }> => {
    const env = { ECR_HELPER_BASIC_AUTH_SECRET: login, ECR_HELPER_PULL_SECRET: pull };
    const path = `/apis/apps/v1/namespaces/${own}/deployments/ecr-helper`;
    const { spec } = await parts.admin<{
      spec: { template: { spec: { containers: { env: { name: string; value?: string }[] }[] } } };
    }>({ method: "GET", path });
    for (const variable of spec.template.spec.containers.flatMap((container) => container.env))
      Object.assign(variable, variable.name in env && { value: env[variable.name as keyof typeof env] });
    await parts.admin({ method: "PATCH", path, contentType: "application/merge-patch+json", body: { spec } });
    const port = String(await freePort());
    const pod = { ECR_HELPER_POD: `${id}-${login}`, ECR_HELPER_TEMPLATE: login, ECR_HELPER_PORT: port };
    const next = parts.run({ ...env, ...pod });
    const isReady = async (): Promise<void> => {
      // As the kubelet does: nothing else tells that a helper is ready.
      while (!(await respondsOk(`http://127.0.0.1:${port}/readyz`))) {
        assert.ok(!next.hasEnded);
        await delay(20);
      }
    };
    return { next, isReady };
  };

  /** How many secrets of these names there are. */
  const countOf = async (names: Names): Promise<number> => {
    const selector = encodeURIComponent("app.kubernetes.io/managed-by=ecr-helper");
    const path = `/api/v1/secrets?labelSelector=${selector}`;
    const { items } = await parts.admin<{ items: { metadata: { name: string; namespace: string } }[] }>({
      method: "GET",
      path,
    });
    const isOurs = ({ metadata: { name, namespace } }: (typeof items)[number]): boolean =>
      [names.login, names.pull].includes(name) && [own, ...namespaces].includes(namespace);
    return items.filter(isOurs).length;
  };
  /** The pull secret is in the helper's own namespace, too. */
  const all = 2 * namespaces.length + 1;
  let last: HelperProcess;

  it("has none of the old names left when the next helper is ready, whatever rights are taken away then", async (t) => {
    last = parts.run();
    await last.line(/the secret will expire/);
    assert.equal(await countOf(first), all);
    const [old, since] = [granted, performance.now()];
    granted = await grant(first, second);
    const { next, isReady } = await startNext(second);
    await isReady();
    await revoke(old);
    assert.deepEqual([await countOf(first), await countOf(second)], [0, all]);
    t.diagnostic(`ready after ${String(Math.round(performance.now() - since))} ms`);
    assert.equal((await last.stop()).code, 0);
    const failed = last.lines.filter(({ message }) => message.includes("could not be removed"));
    assert.deepEqual(failed, []);
    const terms = next.lines.filter(({ message }) => message.startsWith("holds the lease"));
    assert.equal(terms.length, 2, "it had lent it once");
    last = next;
  });

  it("does not wait for a last helper that is killed for longer than its Lease is valid", async (t) => {
    const from = last.lines.length;
    granted = [...granted, ...(await grant(second, third))];
    const { next, isReady } = await startNext(third);
    await last.line(/handed the lease over/, from);
    await last.stop("SIGKILL");
    const since = performance.now();
    await isReady();
    const took = performance.now() - since;
    t.diagnostic(`ready ${String(Math.round(took))} ms after the last helper was killed`);
    assert.ok(took < leaseTimes.duration + 2 * leaseTimes.retryPeriod + 5_000, String(took));
    assert.deepEqual([await countOf(second), await countOf(third)], [all, all]);
    assert.equal((await next.stop()).code, 0);
  });
});
