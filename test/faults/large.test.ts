// What is larger than usual: many registries, a docker config that Kubernetes does not take, a service account with a thousand
// entries of others.
import assert from "node:assert/strict";
import { after, before, describe, it, type TestContext } from "node:test";
import { accountPath, decode, pullPasswords } from "../support/stack-parts.ts";
import { freePort } from "../support/api-server.ts";
import { account } from "../local/settings.ts";
import { waitForObject } from "../local/watch.ts";
import { startDisposableCluster, type DisposableCluster } from "../support/disposable-cluster.ts";
import { passCompleted, reportOutcome, FaultFixture, type FixtureOptions } from "./fault-fixture.ts";
import { hasNewerToken } from "../support/secret-monitor.ts";

let cluster: DisposableCluster;
before(async () => (cluster = await startDisposableCluster()));
after(async () => cluster.remove());

async function withScene(options: FixtureOptions, play: (scene: FaultFixture) => Promise<void>): Promise<void> {
  const scene = await FaultFixture.create(cluster, options);
  try {
    await scene.addNamespaces(3);
    await play(scene);
    assert.deepEqual(await scene.monitor.stop(), []);
  } finally {
    await scene.remove();
  }
}

const merge = "application/merge-patch+json";
const host = (region: string, of: number | string): string =>
  `${String(of).padStart(12, "0")}.dkr.ecr.${region}.amazonaws.com`;

describe("50 registries", () => {
  const regions = ["us-east-1", "us-east-2", "us-west-1", "us-west-2", "eu-west-1", "eu-west-2", "eu-central-1"];
  regions.push("ap-south-1", "ap-northeast-1", "sa-east-1");
  const hosts = regions.flatMap((region) => [account, 1, 2, 3, 4].map((of) => host(region, of)));

  it("of ten regions are asked for once a region, and every login opens its own region's", async (t) => {
    await withScene({ registries: hosts.slice(1) }, async ({ parts, run, front, namespaces, monitor }) => {
      const since = performance.now();
      await run().line(passCompleted);
      reportOutcome(t, "50 registries of 10 regions", "ECR asked once a region", since);
      assert.deepEqual(Object.fromEntries(front.asked), Object.fromEntries(regions.map((region) => [region, 1])));
      for (const namespace of namespaces) {
        const pulls = pullPasswords(await parts.secret(namespace, "ecr-creds-pull"));
        assert.deepEqual(Object.keys(pulls).sort(), hosts.flatMap((one) => [one, `https://${one}`]).sort());
        for (const region of regions) {
          const name = region === "us-east-1" ? "ecr-creds" : `ecr-creds-${region}`;
          const login = decode((await parts.secret(namespace, name)).data["password"]);
          assert.equal(pulls[host(region, 1)], login);
        }
        assert.equal((await parts.account(namespace)).secrets?.length, regions.length);
      }
      // The witness has asked the registry about each.
      assert.equal(monitor.passwords.size, regions.length);
    });
  });
});

describe("a docker config that is larger than Kubernetes takes", () => {
  const hosts = (count: number): string[] => Array.from({ length: count }, (_, of) => host("us-east-1", of + 1));

  it("is told with its size and the remedy, costs nothing else, and leaves the last good one", async (t) => {
    await withScene({ tokenLife: 16_000 }, async (scene) => {
      const { parts, monitor, namespaces } = scene;
      const [first = ""] = namespaces;
      const few = scene.run({ ECR_HELPER_REGISTRIES: hosts(500).join(",") });
      await few.line(passCompleted);
      await few.stop();
      const good = await parts.secret(first, "ecr-creds-pull");
      const size = Buffer.from(good.data[".dockerconfigjson"] ?? "", "base64").length;
      assert.ok(size > 900_000 && size <= 1 << 20, String(size));
      t.diagnostic(`500 registries: ${String(size)} bytes, taken`);

      const port = await freePort();
      const env = { ECR_HELPER_REGISTRIES: hosts(600).join(","), ECR_HELPER_PORT: String(port) };
      const since = performance.now();
      const many = scene.run(env);
      const { message } = await many.line(new RegExp(`^secret/ecr-creds-pull failed in namespace ${first}`));
      const said =
        /secret \S+\/ecr-creds-pull would hold (\d+) bytes .* Kubernetes takes 1048576, .*ecr-helper:registries/;
      assert.ok(Number(said.exec(message)?.[1]) > 1 << 20, message);
      reportOutcome(t, "a docker config of more than 1 MiB", "the last good one and all other secrets stay", since);
      await many.line(passCompleted);
      // Over a refresh: what others there are go on.
      const isRenewed = hasNewerToken(monitor);
      await monitor.waitForVersions(namespaces.length, (version) => version.name === "ecr-creds" && isRenewed(version));
      assert.equal(
        (await parts.secret(first, "ecr-creds-pull")).metadata.resourceVersion,
        good.metadata.resourceVersion,
      );
      const metrics = await (await fetch(`http://127.0.0.1:${String(port)}/metrics`)).text();
      const calls = [...metrics.matchAll(/requests_total\{verb="apply",resource="secrets",code="(\d+)"\} (\d+)/g)];
      assert.deepEqual(
        calls.map(([, code]) => code),
        ["200"],
        "none was tried that Kubernetes would refuse",
      );
      assert.ok(Number(calls[0]?.[2]) <= 3 * namespaces.length, String(calls));
      const errors = many.lines.filter(({ level }) => level === "error");
      assert.ok(errors.length <= 2 * (namespaces.length + 1), "once a namespace and refresh");
      assert.match(metrics, /apply_failures_total\{object="secret\/ecr-creds-pull",reason="TooLarge"\}/);
      const events = `/api/v1/namespaces/${first}/events?fieldSelector=reason%3DTooLarge`;
      await waitForObject(parts.options, events, () => true, 30_000);
      // It would end with its token: nobody looks after it here.
      await many.stop();
      const since2 = performance.now();
      await scene.run().line(passCompleted);
      await scene.waitUntilConverged();
      reportOutcome(t, "fewer registries again", "every secret accepted", since2);
    });
  });
});

describe("a service account with a thousand entries of others", () => {
  const names = (kind: string): { name: string }[] =>
    Array.from({ length: 1_000 }, (_, index) => ({ name: `${kind}-${String(index)}` }));
  const [secrets, imagePullSecrets] = [names("build"), names("pull")];

  it("keeps them all, in their order, gets the helper's at the end, and loses only those again", async (t: TestContext) => {
    await withScene({}, async ({ parts, run, namespaces: [first = ""] }) => {
      const body = { metadata: { name: "builder-sa" }, secrets, imagePullSecrets };
      await parts.admin({ method: "POST", path: `/api/v1/namespaces/${first}/serviceaccounts`, body });
      const helper = run();
      const { time } = await helper.line(/^Deployment/);
      const added = await helper.line(new RegExp(`serviceaccount/builder-sa configured in namespace ${first}`));
      await helper.line(passCompleted);
      t.diagnostic(
        `entries added ${String(Date.parse(added["time"] ?? "") - Date.parse(time ?? ""))} ms after the start`,
      );
      const found = await parts.account(first);
      assert.deepEqual(found.secrets, [...secrets, { name: "ecr-creds" }]);
      assert.deepEqual(found.imagePullSecrets, [...imagePullSecrets, { name: "ecr-creds-pull" }]);
      const since = performance.now();
      await parts.admin({ method: "PATCH", path: accountPath(first), contentType: merge, body: { imagePullSecrets } });
      const path = `/api/v1/namespaces/${first}/serviceaccounts?fieldSelector=metadata.name%3Dbuilder-sa`;
      const isWhole = (one: typeof found): boolean => one.imagePullSecrets?.length === 1_001;
      await waitForObject(parts.options, path, isWhole, 30_000);
      reportOutcome(t, "a service account with 2,000 entries", "all kept, in their order", since);
      await parts.endStack();
      assert.equal((await helper.stop()).code, 0);
      const left = await parts.account(first);
      assert.deepEqual([left.secrets, left.imagePullSecrets], [secrets, imagePullSecrets]);
    });
  });
});
