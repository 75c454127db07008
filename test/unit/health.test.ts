import assert from "node:assert/strict";
import { once } from "node:events";
import { request, type IncomingMessage } from "node:http";
import { connect, type AddressInfo, type Socket } from "node:net";
import { describe, it } from "node:test";
import { handle, serveHealth } from "../../helper/observability/http-server.ts";
import { handOverRest, Status, stuckAfter, type NamespaceState } from "../../helper/observability/status.ts";
import { readConfig } from "../../helper/config/helper-config.ts";
import type { AuthorizationToken } from "../../helper/ecr/token.ts";
import { helperEnvironment } from "../support/helper-environment.ts";

const registries = ["eu-west-1", "us-east-1"].map((region) => `111122223333.dkr.ecr.${region}.amazonaws.com`).join(",");

describe("health", () => {
  const hour = 3_600_000;
  const token = { username: "AWS", password: "x", issuedAt: 1, expiresAt: 12 * hour };

  /** A helper with the namespaces `own` and `a`, whose state the test sets. */
  function helper() {
    const is = {
      tokens: new Map<string, AuthorizationToken>(),
      states: new Map<string, NamespaceState>(),
      stalled: 0,
      isLeading: true,
      holder: { holder: "another", template: "old", cleaner: "" },
      unlisted: 0,
      sinceHandOver: Infinity,
      now: 0,
    };
    const { allTokenRequests } = readConfig({ ...helperEnvironment, ECR_HELPER_REGISTRIES: registries });
    const status = new Status(
      { namespace: "own", template: "new", allTokenRequests },
      {
        tokens: () => is.tokens,
        targets: () => ["own", "a"],
        states: () => is.states,
        stalled: () => is.stalled,
        isLeading: () => is.isLeading,
        holder: () => is.holder,
        unlisted: () => is.unlisted,
        sinceHandOver: () => is.sinceHandOver,
        now: () => is.now,
      },
    );
    const ask = async (path: string): Promise<string> => {
      const { status: code, body } = await handle(status, async () => Promise.resolve({ type: "t", body: "m" }), path);
      return `${String(code)} ${body.trim()}`;
    };
    return { is, status, ask };
  }

  it("is ready once every namespace was reconciled with a token of every region, and stays so", async () => {
    const { is, status, ask } = helper();
    is.tokens.set("eu-west-1", token);
    assert.equal(await ask("/readyz"), "503 there is no authorization token for us-east-1 yet");
    is.tokens.set("us-east-1", { ...token, issuedAt: 0 });
    const another = "503 there is no authorization token for us-east-1 yet";
    assert.equal(await ask("/readyz"), another, "a token of another identity does not count");
    is.tokens.set("us-east-1", token);
    is.states.set("own", "synced");
    assert.equal(await ask("/readyz"), "503 namespaces not reconciled yet: 1");
    is.states.set("a", "failing").set("own", "failing");
    assert.equal(await ask("/readyz"), "503 the helper's own namespace is not synced yet");
    assert.ok(!status.hasWritten());
    is.states.set("own", "synced");
    assert.ok(status.hasWritten(), "another namespace may fail");
    is.holder = { holder: "own", template: "new", cleaner: "last" };
    assert.equal(await ask("/readyz"), "503 last, of another pod template, has not cleaned up yet");
    is.holder = { ...is.holder, cleaner: "" };
    assert.equal(await ask("/readyz"), "200 ok");
    is.tokens.clear();
    assert.equal(await ask("/readyz"), "200 ok");
  });

  it("stands by ready once it could work at once, and a helper of its own template works", async () => {
    const { is, status, ask } = helper();
    Object.assign(is, { isLeading: false, unlisted: 2, holder: undefined });
    assert.equal(await ask("/readyz"), "503 no helper holds the lease yet");
    is.holder = { holder: "last", template: "old", cleaner: "" };
    assert.equal(await ask("/readyz"), "503 there is no authorization token for eu-west-1 yet");
    is.tokens.set("eu-west-1", token).set("us-east-1", token);
    assert.equal(await ask("/readyz"), "503 collections not listed yet: 2");
    assert.ok(!status.asksForLease(), "it could not work");
    is.unlisted = 0;
    assert.equal(await ask("/readyz"), "503 last, of another pod template, still holds the lease");
    assert.ok(status.asksForLease());
    is.sinceHandOver = 0;
    assert.ok(!status.asksForLease(), "it has just handed it over");
    is.sinceHandOver = handOverRest;
    assert.ok(status.asksForLease());
    is.holder = { holder: "next", template: "new", cleaner: "last" };
    assert.ok(!status.asksForLease(), "one of its own template works");
    assert.equal(await ask("/readyz"), "503 last, of another pod template, has not cleaned up yet");
    is.holder = { ...is.holder, cleaner: "" };
    assert.equal(await ask("/readyz"), "200 ok");
    is.holder = { holder: "last", template: "old", cleaner: "" };
    assert.ok(!status.asksForLease(), "its rollout was over");
    assert.ok(!status.isFullySynced(), "it knows nothing about that");
  });

  it("is alive unless work is due and none is done for minutes", async () => {
    const { is, ask } = helper();
    assert.equal(await ask("/healthz"), "200 ok");
    is.stalled = stuckAfter + 1_000;
    assert.equal(await ask("/healthz"), "503 no progress for 301 s");
  });

  it("is all right only while every namespace is in sync and every token is valid", () => {
    const { is, status } = helper();
    assert.equal(status.isFullySynced(), false);
    is.tokens.set("eu-west-1", token).set("us-east-1", { ...token, expiresAt: Number.NaN });
    is.states.set("own", "synced").set("a", "synced");
    assert.equal(status.isFullySynced(), true);
    is.now = 12 * hour;
    assert.equal(status.isFullySynced(), false);
    is.now = 0;
    is.states.set("a", "failing");
    assert.equal(status.isFullySynced(), false);
  });

  it("is served while other clients never finish their requests, or send too much", async (t) => {
    const { status } = helper();
    const server = await serveHealth(status, async () => Promise.resolve({ type: "t", body: "m" }), 0);
    const { port } = server.address() as AddressInfo;
    const ask = async (localAddress: string, headers = {}): Promise<number | undefined> => {
      const sent = request({ host: "127.0.0.1", port, path: "/healthz", localAddress, headers, agent: false }).end();
      const [{ statusCode }] = (await once(sent, "response")) as [IncomingMessage];
      return statusCode;
    };
    const closed = async (socket: Socket): Promise<unknown> =>
      socket.closed || new Promise((resolve) => socket.once("close", resolve));
    const sockets = Array.from({ length: 500 }, () => {
      const socket = connect({ host: "127.0.0.1", port, localAddress: "127.0.0.2" });
      socket.on("error", () => undefined).resume();
      socket.write("GET /healthz HTTP/1.1\r\nX: ");
      return socket;
    });
    t.after(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
      server.closeAllConnections();
    });
    // All but sixteen are closed at once.
    await Promise.all(sockets.slice(16).map(closed));
    assert.equal(await ask("127.0.0.1"), 200);
    assert.equal(await ask("127.0.0.1", { large: "x".repeat(5_000) }), 431);
    // The others are closed after a timeout.
    await Promise.all(sockets.map(closed));
  });

  it("is served with the metrics, and nothing else is", async () => {
    const { ask } = helper();
    assert.equal(await ask("/metrics"), "200 m");
    assert.equal(await ask("/secrets"), "404 only /healthz, /readyz and /metrics are served");
  });
});
