// Faults in the helper's standard output, which is a pipe in a container: it is full, or it has no reader.
import assert from "node:assert/strict";
import { closeSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { freePort } from "../support/api-server.ts";
import { startDisposableCluster, type DisposableCluster } from "../support/disposable-cluster.ts";
import { NamedPipe } from "./named-pipe.ts";
import { passCompleted, reportOutcome, FaultFixture } from "./fault-fixture.ts";
import { hasNewerToken } from "../support/secret-monitor.ts";

let cluster: DisposableCluster;
before(async () => (cluster = await startDisposableCluster()));
after(async () => cluster.remove());

const withFixture = async (
  name: string,
  run: (fixture: FaultFixture, pipe: NamedPipe) => Promise<void>,
): Promise<void> => {
  const fixture = await FaultFixture.create(cluster, { tokenLife: 16_000 });
  try {
    await fixture.addNamespaces(5);
    await run(fixture, new NamedPipe(join(cluster.folder, name)));
    assert.deepEqual(await fixture.monitor.stop(), []);
  } finally {
    await fixture.remove();
  }
};

describe("the helper's standard output", { concurrency: true }, () => {
  it("may be full: every credential is refreshed, and the helper ends on SIGTERM", async (t) => {
    await withFixture("full", async (fixture, pipe) => {
      pipe.fill();
      const port = await freePort();
      const [stdout, since] = [pipe.openWriter(), performance.now()];
      const helper = fixture.runWith({ stdout }, { ECR_HELPER_PORT: String(port) });
      await fixture.waitUntilConverged();
      reportOutcome(t, "a full standard output", "first pass as ever", since);
      await fixture.monitor.waitForVersions(2 * 5 + 1, hasNewerToken(fixture.monitor));
      await fixture.waitUntilConverged();
      assert.equal((await fetch(`http://127.0.0.1:${String(port)}/healthz`)).status, 200);
      const { code, took } = await helper.stop();
      assert.equal(code, 0);
      assert.ok(took < 2_000, `it took ${String(took)} ms`);
      closeSync(stdout);
      pipe.closeReader();
    });
  });

  it("may have no reader: every credential is refreshed, and the next reader gets the lines from then on", async (t) => {
    await withFixture("closed", async (fixture, pipe) => {
      const stdout = pipe.openWriter();
      const helper = fixture.runWith({ stdout });
      closeSync(stdout);
      pipe.closeReader();
      await fixture.waitUntilConverged();
      await fixture.monitor.waitForVersions(2 * 5 + 1, hasNewerToken(fixture.monitor));
      pipe.reopenReader();
      const since = performance.now();
      await pipe.linesUpTo(passCompleted);
      reportOutcome(t, "a standard output that nobody reads", "every secret accepted at all times", since);
      assert.equal((await helper.stop()).code, 0);
    });
  });
});
