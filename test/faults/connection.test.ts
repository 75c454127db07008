import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { createKubeClient } from "../../helper/kube/client.ts";
import { readKubeconfig } from "../local/kubeconfig.ts";
import { kubeconfig } from "../local/settings.ts";
import { reset } from "../support/fault.ts";
import { Proxy } from "../support/proxy.ts";

describe("a connection to the API server that is reset in the middle of many writes", () => {
  const options = readKubeconfig(kubeconfig);
  let proxy: Proxy;
  before(async () => {
    proxy = await Proxy.start({ upstream: options.server, ca: options.ca() });
    proxy.inject(({ path }) => path.endsWith("/reset"), reset);
  });
  after(async () => proxy.close());

  /** How long a write to a path that does not exist takes to succeed or fail, in milliseconds. */
  const write = async (kube: ReturnType<typeof createKubeClient>, name: string): Promise<number> => {
    const [since, body] = [performance.now(), { data: "x".repeat(4_000) }];
    const path = `/api/v1/namespaces/default/nothing/${name}`;
    await kube({ method: "PATCH", path, body, contentType: "application/merge-patch+json" }).catch(() => undefined);
    return performance.now() - since;
  };
  const burst = async (kube: ReturnType<typeof createKubeClient>, round: number): Promise<number> => {
    const names = Array.from({ length: 80 }, (_, index) => (index === 10 + (round % 30) ? "reset" : String(index)));
    const first = Promise.all(names.map(async (name) => write(kube, name)));
    // Once more while the connection closes.
    const second = Promise.all(
      names.map(async (name) => new Promise<number>((done) => setImmediate(() => void write(kube, name).then(done)))),
    );
    return Math.max(...(await first), ...(await second));
  };

  it("fails all of them in time, although Node does not always notice the reset", async (t) => {
    // Node takes about every other of these connections for alive.
    const bursts = Array.from({ length: 6 }, async (_, index) =>
      burst(createKubeClient({ ...options, server: proxy.url, ca: () => proxy.ca }), index),
    );
    const longest = Math.max(...(await Promise.all(bursts)));
    assert.ok(longest < 20_000, `${String(longest)} ms`);
    t.diagnostic(
      `outcome: Kubernetes: resets in a burst of writes | every write ends | recovered after ${longest.toFixed(0)} ms`,
    );
  });
});
