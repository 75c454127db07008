import assert from "node:assert/strict";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createSecureServer, type Http2SecureServer } from "node:http2";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { after, before, describe, it } from "node:test";
import { setImmediate } from "node:timers/promises";
import { createKubeClient } from "../../helper/kube/client.ts";
import type { KubeClient } from "../../helper/kube/types.ts";
import { run } from "../local/process.ts";
import { makeCertificate } from "../support/certificate.ts";

/** Whether the kernel has a connection from a local port, if only to send what is left of it. */
function hasConnection(localPort = 0): boolean {
  const end = `:${localPort.toString(16).toUpperCase().padStart(4, "0")}`;
  const lines = readFileSync("/proc/net/tcp", "utf8").split("\n");
  return lines.some((line) => line.trim().split(/\s+/)[1]?.endsWith(end));
}

describe("a client that may write only while its helper holds the lease", () => {
  const bodies: string[] = [];
  const sockets: Socket[] = [];
  let [server, client]: [Http2SecureServer?, KubeClient?] = [];
  let isAllowed = true;
  let address = { server: "", ca: "" };
  before(async () => {
    const certificate = await makeCertificate("127.0.0.1");
    server = createSecureServer(certificate, (request, response) => {
      void text(request).then((body) => {
        bodies.push(body.length > 1_000 ? `${String(body.length)} characters` : body);
        response.setHeader("content-type", "application/json");
        response.end("{}");
      });
    });
    server.on("connection", (socket: Socket) => {
      // A client that may not write any more resets its connection.
      socket.on("error", () => undefined);
      sockets.push(socket);
    });
    server.on("sessionError", () => undefined).listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    address = { server: `https://127.0.0.1:${String(port)}`, ca: certificate.cert };
    client = createKubeClient({
      server: address.server,
      ca: () => address.ca,
      token: () => "t",
      mayWrite: () => isAllowed,
    });
  });
  after(() => {
    client?.reset();
    server?.close();
  });

  const write = async (body: string): Promise<unknown> => client?.({ method: "PATCH", path: "/p", body });

  it("sends what it is given, large or small", async () => {
    await Promise.all([write("a"), write("b"), write("x".repeat(300_000))]);
    assert.deepEqual(bodies.splice(0).sort(), ["300000 characters", "a", "b"]);
  });

  it("sends nothing of a request that was begun before the lease was lost", async () => {
    const begun = [write("c"), write("d")];
    isAllowed = false;
    const message = "this helper does not hold the lease, so it writes nothing";
    for (const result of await Promise.allSettled(begun))
      assert.equal(result.status === "rejected" ? (result.reason as Error).message : result.status, message);
    await Promise.all(sockets.map(async (socket) => socket.closed || once(socket, "close")));
    assert.deepEqual(bodies, []);
  });

  it("goes on with another connection once it may", async () => {
    isAllowed = true;
    await write("e");
    assert.deepEqual([bodies.splice(0), sockets.length], [["e"], 2]);
  });

  it("does not keep the process alive while nothing is sent", async () => {
    const script = `
      const { createKubeClient } = await import(${JSON.stringify(new URL("../../helper/kube/client.ts", import.meta.url).href)});
      const { server, ca } = JSON.parse(process.argv[1]);
      const client = createKubeClient({ server, ca: () => ca, token: () => "t", mayWrite: () => true });
      await client({ method: "PATCH", path: "/p", body: "g" });`;
    await run(process.execPath, ["--input-type=module", "--eval", script, JSON.stringify(address)], {
      timeout: 10_000,
    });
    assert.deepEqual(bodies.splice(0), ["g"]);
  });

  it("leaves nothing to the kernel of a connection that does not answer any more", async () => {
    // As through a cut network: what was written is not confirmed.
    const relay = createServer({ pauseOnConnect: true }).listen(0, "127.0.0.1");
    await once(relay, "listening");
    const { port } = relay.address() as AddressInfo;
    const behind = createKubeClient({
      ...{ server: `https://127.0.0.1:${String(port)}`, ca: () => address.ca, token: () => "t" },
      mayWrite: () => isAllowed,
    });
    const connected = once(relay, "connection") as Promise<[Socket]>;
    const first = behind({ method: "PATCH", path: "/p", body: "h" });
    const [client] = await connected;
    const upstream = connect(Number(new URL(address.server).port), "127.0.0.1").on("error", () => undefined);
    client.on("error", () => undefined).pipe(upstream);
    upstream.pipe(client);
    await first;
    assert.deepEqual(bodies.splice(0), ["h"]);
    client.unpipe().pause();
    const unanswered = behind({ method: "PATCH", path: "/p", body: "x".repeat(300_000) });
    await assert.rejects(unanswered, /does not answer any more/);
    const deadline = AbortSignal.timeout(5_000);
    while (hasConnection(client.remotePort) && !deadline.aborted) await setImmediate();
    const isLeft = hasConnection(client.remotePort);
    upstream.destroy();
    client.destroy();
    relay.close();
    assert.equal(isLeft, false);
  });

  it("closes its connection when it is reset, in the middle of a write too", async () => {
    const cut = write("f");
    client?.reset();
    await assert.rejects(cut);
    await Promise.all(sockets.map(async (socket) => socket.closed || once(socket, "close")));
  });
});
