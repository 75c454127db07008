// A helper that finds the work of another one: of the last helper, of a foreign owner, of a second helper.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { recordOutput } from "../local/audit-log.ts";
import { waitForObject } from "../local/watch.ts";
import { freePort } from "../support/api-server.ts";
import { decode, pullPasswords, secretPath, type Secret } from "../support/kept-objects.ts";
import { makeParts, type Parts } from "../support/stack-parts.ts";

const id = randomBytes(3).toString("hex");
const timeout = 60_000;
const merge = "application/merge-patch+json";
const base64 = (text: string): string => Buffer.from(text).toString("base64");

describe("a helper that is restarted", () => {
  let parts: Parts;
  const names = [`a-${id}`, `b-${id}`];
  before(async () => (parts = await makeParts(names)));
  after(async () => parts.remove());

  const versions = async (): Promise<string[]> => {
    const all = names.flatMap((namespace) => [
      parts.secret(namespace),
      parts.secret(namespace, "ecr-creds-pull"),
      parts.account(namespace),
    ]);
    return (await Promise.all(all)).map(({ metadata }) => metadata.resourceVersion);
  };

  it("requests no token, writes nothing and is ready if everything is up to date", async () => {
    const first = parts.run();
    await first.line(/the secret will expire/);
    await first.stop();
    const before = await versions();
    const port = await freePort();
    const again = parts.run({ ECR_HELPER_PORT: String(port) });
    await again.line(/the secret will expire/);
    assert.deepEqual(await versions(), before);
    const ask = async (path: string): Promise<string> =>
      (await fetch(`http://127.0.0.1:${String(port)}${path}`)).text();
    assert.equal(await ask("/readyz"), "ok\n");
    assert.equal(await ask("/healthz"), "ok\n");
    const metrics = await ask("/metrics");
    recordOutput("metrics", metrics);
    assert.match(metrics, /^ecr_helper_token_requests_total\{region="us-east-1",login="pull",result="success"\} 0$/m);
    assert.match(metrics, /^ecr_helper_targets\{state="synced"\} 3$/m);
    assert.match(
      metrics,
      /^ecr_helper_token_expiry_timestamp_seconds\{registry="\d+\.dkr\.ecr\.us-east-1\.amazonaws\.com",region="us-east-1",login="pull"\} \d+/m,
    );
    assert.ok(!/ecr_helper_applies_total\{/.test(metrics));
    assert.match(metrics, /verb="list",resource="secrets",code="200"\} 5/);
    await again.stop();
  });

  it("requests and writes a new token if its identity in AWS has changed", async () => {
    const before = await versions();
    const helper = parts.run({ ECR_HELPER_PRINCIPAL: "arn:aws:iam::123456789012:role/other" });
    await helper.line(/secret\/ecr-creds configured in namespace a-.*/);
    await helper.line(/the secret will expire/);
    await helper.stop();
    const after = await versions();
    assert.equal(
      after.filter((version) => before.includes(version)).length,
      2,
      "the service accounts are as they were",
    );
  });
});

describe("the tokens of the last helper", () => {
  it("are not used if their secret was changed meanwhile", async () => {
    const parts = await makeParts([`left-${id}`]);
    try {
      const first = parts.run();
      await first.line(/the secret will expire/);
      await first.stop();
      const own = String(parts.env["ECR_HELPER_NAMESPACE"]);
      const before = await parts.secret(own, "ecr-creds-pull");
      const wrong = base64("AWS:wrong");
      const text = decode(before.data[".dockerconfigjson"]).replaceAll(/"auth":"[^"]*"/g, `"auth":"${wrong}"`);
      const body = { data: { ".dockerconfigjson": base64(text) } };
      await parts.admin({ method: "PATCH", path: secretPath(own, "ecr-creds-pull"), contentType: merge, body });
      const next = parts.run();
      await next.line(/was changed by someone else: its tokens are not used/);
      await next.line(/secret\/ecr-creds-pull configured in namespace it-/);
      await next.line(/the secret will expire/);
      const login = decode((await parts.secret(`left-${id}`)).data["password"]);
      const pulls = new Set(Object.values(pullPasswords(await parts.secret(own, "ecr-creds-pull"))));
      assert.deepEqual(pulls, new Set([login]), "every namespace has the new one");
    } finally {
      await parts.remove();
    }
  });
});

describe("a foreign secret in the helper's own namespace", () => {
  it("that has the name of its pull secret is left alone and reported in an Event, and the build namespaces are served", async () => {
    const parts = await makeParts([`own-${id}`]);
    try {
      const own = String(parts.env["ECR_HELPER_NAMESPACE"]);
      const body = { metadata: { name: "ecr-creds-pull" }, stringData: { theirs: "theirs" } };
      await parts.admin({ method: "POST", path: `/api/v1/namespaces/${own}/secrets`, body });
      const helper = parts.run();
      await helper.line(new RegExp(`secret/ecr-creds configured in namespace own-${id}`));
      const events = `/api/v1/namespaces/${own}/events?fieldSelector=reason%3DForeignObject`;
      await waitForObject(parts.options, events, () => true, timeout);
      assert.equal(decode((await parts.secret(own, "ecr-creds-pull")).data["theirs"]), "theirs");
      await helper.stop();
    } finally {
      await parts.remove();
    }
  });
});

describe("two helpers in one cluster", () => {
  it("do not disturb each other, not even if both want the same objects", async () => {
    const [one, other] = [await makeParts([`${id}-two-*`]), await makeParts([`*-${id}-two`, `${id}-two-shared`])];
    try {
      await one.namespace(`${id}-two-a`);
      await one.namespace(`b-${id}-two`);
      const first = one.run();
      await first.line(/the secret will expire/);
      const made = await one.secret(`${id}-two-shared`);
      const account = await one.account(`${id}-two-shared`);
      const second = other.run();
      await second.line(
        new RegExp(`secret/ecr-creds failed in namespace ${id}-two-shared: .*was not made by this helper`),
      );
      await second.line(new RegExp(`secret/ecr-creds configured in namespace b-${id}-two`));
      await second.line(/the secret will expire/);
      assert.deepEqual(await one.secret(`${id}-two-shared`), made);
      assert.deepEqual(await one.account(`${id}-two-shared`), account);
      const selector = encodeURIComponent(`app.kubernetes.io/instance=${other.owner}`);
      const { items } = await one.admin<{ items: Secret[] }>({
        method: "GET",
        path: `/api/v1/secrets?labelSelector=${selector}`,
      });
      assert.ok(
        items.every(({ metadata }) =>
          [`b-${id}-two`, String(other.env["ECR_HELPER_NAMESPACE"])].includes(metadata.namespace),
        ),
      );
      assert.deepEqual(
        first.lines.filter(({ level }) => level !== "info"),
        [],
      );
    } finally {
      await other.remove();
      await one.remove();
    }
  });
});
