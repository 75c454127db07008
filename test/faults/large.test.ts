// Unusual sizes: many registries, a docker config that is too large for Kubernetes, a service account with a thousand foreign
// entries.
import assert from "node:assert/strict";
import { after, before, describe, it, type TestContext } from "node:test";
import { accountPath, decode, pullPasswords } from "../support/kept-objects.ts";
import { freePort } from "../support/api-server.ts";
import { account } from "../local/settings.ts";
import { waitForObject } from "../local/watch.ts";
import { startDisposableCluster, type DisposableCluster } from "../support/disposable-cluster.ts";
import { passCompleted, reportOutcome, FaultFixture, type FixtureOptions } from "./fault-fixture.ts";
import { hasNewerToken } from "../support/secret-monitor.ts";

let cluster: DisposableCluster;
before(async () => (cluster = await startDisposableCluster()));
after(async () => cluster.remove());

async function withFixture(options: FixtureOptions, run: (fixture: FaultFixture) => Promise<void>): Promise<void> {
  const fixture = await FaultFixture.create(cluster, options);
  try {
    await fixture.addNamespaces(3);
    await run(fixture);
    assert.deepEqual(await fixture.monitor.stop(), []);
  } finally {
    await fixture.remove();
  }
}

const merge = "application/merge-patch+json";
const host = (region: string, of: number | string): string =>
  `${String(of).padStart(12, "0")}.dkr.ecr.${region}.amazonaws.com`;

describe("50 registries", () => {
  const regions = ["us-east-1", "us-east-2", "us-west-1", "us-west-2", "eu-west-1", "eu-west-2", "eu-central-1"];
  regions.push("ap-south-1", "ap-northeast-1", "sa-east-1");
  const hosts = regions.flatMap((region) => [account, 1, 2, 3, 4].map((of) => host(region, of)));

  it("of ten regions take one token per region, and every login is its own region's", async (t) => {
    await withFixture({ registries: hosts.slice(1) }, async ({ parts, run, gateway, namespaces, monitor }) => {
      const since = performance.now();
      await run().line(passCompleted);
      reportOutcome(t, "50 registries of 10 regions", "ECR asked once a region", since);
      assert.deepEqual(
        Object.fromEntries(gateway.tokenRequests),
        Object.fromEntries(regions.map((region) => [region, 1])),
      );
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
      // The monitor has tried each of them at the registry.
      assert.equal(monitor.passwords.size, regions.length);
    });
  });
});

describe("a docker config that is too large for Kubernetes", () => {
  const hosts = (count: number): string[] => Array.from({ length: count }, (_, of) => host("us-east-1", of + 1));

  it("is logged with its size and the remedy, affects no other secret, and leaves the last good one in place", async (t) => {
    await withFixture({ tokenLife: 16_000 }, async (fixture) => {
      const { parts, monitor, namespaces } = fixture;
      const [first = ""] = namespaces;
      const few = fixture.run({ ECR_HELPER_REGISTRIES: hosts(500).join(",") });
      await few.line(passCompleted);
      await few.stop();
      const good = await parts.secret(first, "ecr-creds-pull");
      const size = Buffer.from(good.data[".dockerconfigjson"] ?? "", "base64").length;
      assert.ok(size > 900_000 && size <= 1 << 20, String(size));
      t.diagnostic(`500 registries: ${String(size)} bytes, accepted`);

      const port = await freePort();
      const env = { ECR_HELPER_REGISTRIES: hosts(600).join(","), ECR_HELPER_PORT: String(port) };
      const since = performance.now();
      const many = fixture.run(env);
      const { message } = await many.line(new RegExp(`^secret/ecr-creds-pull failed in namespace ${first}`));
      const tooLarge =
        /secret \S+\/ecr-creds-pull would hold (\d+) bytes .* Kubernetes takes 1048576, .*ecr-helper:registries/;
      assert.ok(Number(tooLarge.exec(message)?.[1]) > 1 << 20, message);
      reportOutcome(t, "a docker config of more than 1 MiB", "the last good one and all other secrets stay", since);
      await many.line(passCompleted);
      // One refresh long: the other secrets get the new token.
      const isRenewed = hasNewerToken(monitor);
      await monitor.waitForVersions(namespaces.length, (version) => version.name === "ecr-creds" && isRenewed(version));
      assert.equal(
        (await parts.secret(first, "ecr-creds-pull")).metadata.resourceVersion,
        good.metadata.resourceVersion,
      );
      const metrics = await (await fetch(`http://127.0.0.1:${String(port)}/metrics`)).text();
      const calls = [...metrics.matchAll(/requests_total\{verb="update",resource="secrets",code="(\d+)"\} (\d+)/g)];
      assert.deepEqual(
        calls.map(([, code]) => code),
        ["200"],
        "the helper sends nothing that Kubernetes would refuse",
      );
      assert.ok(Number(calls[0]?.[2]) <= 3 * namespaces.length, String(calls));
      const errors = many.lines.filter(({ level }) => level === "error");
      assert.ok(errors.length <= 2 * (namespaces.length + 1), "once a namespace and refresh");
      assert.match(metrics, /apply_failures_total\{object="secret\/ecr-creds-pull",reason="TooLarge"\}/);
      const events = `/api/v1/namespaces/${first}/events?fieldSelector=reason%3DTooLarge`;
      await waitForObject(parts.options, events, () => true, 30_000);
      // Its token would expire: nothing else here refreshes it.
      await many.stop();
      const since2 = performance.now();
      await fixture.run().line(passCompleted);
      await fixture.waitUntilConverged();
      reportOutcome(t, "fewer registries again", "every secret accepted", since2);
    });
  });
});

describe("a service account with a thousand foreign entries", () => {
  const names = (kind: string): { name: string }[] =>
    Array.from({ length: 1_000 }, (_, index) => ({ name: `${kind}-${String(index)}` }));
  const [secrets, imagePullSecrets] = [names("build"), names("pull")];

  it("keeps them all in order, gets the helper's entries at the end, and loses only those when the stack ends", async (t: TestContext) => {
    await withFixture({}, async ({ parts, run, namespaces: [first = ""] }) => {
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
      const account = await parts.account(first);
      assert.deepEqual([account.secrets, account.imagePullSecrets], [secrets, imagePullSecrets]);
    });
  });
});
