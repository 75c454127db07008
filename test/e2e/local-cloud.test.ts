import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { adminKube } from "../local/control-plane.ts";
import { startCloud } from "../local/cloud.ts";
import { exclusively } from "../local/exclusive.ts";
import { home, ports, url } from "../local/machine.ts";
import { isRunning, stopBackground } from "../local/process.ts";
import { stackNames } from "../local/stack.ts";

const record = (part: string): string => readFileSync(join(home, "run", part), "utf8");
const aStackOfTheUser = stackNames().length > 0 ? "a stack of the user's is in the local cloud" : false;

describe("the local cloud", () => {
  it("is found by a second start", async () => {
    assert.equal(await startCloud(), false);
  });

  it("lets one command at a time change it", async () => {
    const other = spawn(process.execPath, ["--input-type=module", "--eval", holder], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    const lines = createInterface({ input: other.stdout });
    await once(lines, "line");
    let entered = false;
    const mine = exclusively(async () => Promise.resolve((entered = true)));
    assert.equal(await Promise.race([mine, delay(300, "waits")]), "waits");
    assert.equal(entered, false);
    other.stdin.end();
    assert.equal(await mine, true);
  });

  it("starts again what died, and nothing else", { skip: aStackOfTheUser }, async () => {
    const before = record("kube-apiserver");
    for (const part of ["kube-proxy", "kube-scheduler", "kubelet"]) await stopBackground(part, "SIGKILL");
    assert.equal(await startCloud(), true);
    for (const part of ["kube-proxy", "kube-scheduler", "kubelet"]) assert.ok(isRunning(part), part);
    assert.equal(record("kube-apiserver"), before);
  });

  it("starts from nothing where its AWS died with all it held", { skip: aStackOfTheUser }, async () => {
    await adminKube()({ method: "POST", path: "/api/v1/namespaces", body: { metadata: { name: "earlier" } } });
    await stopBackground("emulator", "SIGKILL");
    assert.equal(await startCloud(), true);
    assert.ok((await fetch(`${url(ports.front)}/_ministack/health`)).ok);
    const { items } = await adminKube()<{ items: { metadata: { name: string } }[] }>({
      method: "GET",
      path: "/api/v1/namespaces",
    });
    assert.ok(!items.some(({ metadata }) => metadata.name === "earlier"));
    assert.ok(existsSync(home));
  });
});

/** A process that holds the lock until its standard input ends. */
const holder = `
  import { once } from "node:events";
  import { exclusively } from ${JSON.stringify(join(import.meta.dirname, "../local/exclusive.ts"))};
  await exclusively(async () => { console.log("held"); process.stdin.resume(); await once(process.stdin, "end"); });
`;
