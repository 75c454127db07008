import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it, type TestContext } from "node:test";
import { inCluster } from "../../helper/kube/client.ts";

describe("the API server as a pod reaches it", () => {
  let folder: string;
  before(async () => (folder = await mkdtemp(join(tmpdir(), "ecr-helper-account-"))));
  after(async () => rm(folder, { recursive: true }));

  const write = async (content: string): Promise<void> => {
    for (const file of ["ca.crt", "token"]) await writeFile(join(folder, file), `${content}\n`);
  };
  /** A clock in place of performance.now. Returns a function that advances it by milliseconds. */
  const clockOf = (t: TestContext): ((by: number) => void) => {
    let now = 0;
    t.mock.method(performance, "now", () => now);
    return (by) => (now += by);
  };

  it("has the CA and the token of the files that the kubelet replaces, a second later at most", async (t) => {
    const advance = clockOf(t);
    await write("first");
    const { ca, token } = inCluster({}, folder);
    assert.deepEqual([ca(), token()], ["first", "first"]);
    await write("second");
    advance(999);
    assert.deepEqual([ca(), token()], ["first", "first"], "they are not read for every request");
    advance(1);
    assert.deepEqual([ca(), token()], ["second", "second"]);
  });

  it("reads a file again that could not be read", async (t) => {
    const advance = clockOf(t);
    await write("first");
    const { ca, token } = inCluster({}, folder);
    await rm(join(folder, "token"));
    assert.throws(token, /ENOENT/);
    await write("second");
    assert.equal(token(), "second");
    advance(1_000);
    assert.equal(ca(), "second");
  });

  it("is told by the pod's environment, or else by the name of its service", async () => {
    await write("first");
    const serverOf = (host: string): string =>
      inCluster({ KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: "6443" }, folder).server;
    assert.equal(serverOf("10.0.0.1"), "https://10.0.0.1:6443");
    assert.equal(serverOf("fd00::1"), "https://[fd00::1]:6443");
    assert.equal(inCluster({}, folder).server, "https://kubernetes.default.svc:443");
  });

  it("is refused at once outside of a pod", () => {
    assert.throws(() => inCluster({}, join(folder, "none")), /ENOENT.*ca\.crt/);
  });
});
