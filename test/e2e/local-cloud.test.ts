import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { connect, createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";
import { adminKube } from "../local/control-plane.ts";
import { startCloud, stopCloud } from "../local/cloud.ts";
import { readKubeconfig } from "../local/kubeconfig.ts";
import { waitFor } from "../local/watch.ts";
import { docker } from "../local/docker.ts";
import { preservingLogs } from "../local/audit-log.ts";
import { withCloudLock } from "../local/exclusive.ts";
import { chain } from "../local/firewall.ts";
import { account, aws, awsCredentials, bridge, home, kubeconfig } from "../local/settings.ts";
import { isRunning, run, stopBackground } from "../local/process.ts";
import { rootCredentials, type RootKey } from "../local/root-key.ts";
import { stackNames } from "../local/stack.ts";
import { setCut } from "../support/cut.ts";

interface Pod {
  status: { phase: string };
}

/** The record of a part's process: its id and start time. */
const record = (part: string): string => readFileSync(join(home, "run", part), "utf8");
/** Whether AWS accepts a key: GetCallerIdentity needs a valid key and no right. */
const isAccepted = async (credentials: RootKey): Promise<boolean> => {
  const sts = new STSClient({ credentials, endpoint: aws.AWS_ENDPOINT_URL, region: aws.AWS_REGION });
  return sts.send(new GetCallerIdentityCommand()).then(
    () => true,
    (error: unknown) => {
      assert.match(String(error), /SignatureDoesNotMatch|InvalidClientTokenId/);
      return false;
    },
  );
};

/** Why tests that restart the local cloud are skipped; false if they are not. */
const hasUserStack = stackNames().length > 0 ? "the local cloud has a stack of the user" : false;

const interfaces = (): string[] => readdirSync("/sys/class/net").sort();

/** The command lines of all processes; a zombie has none. */
const commandLines = (): string[] =>
  readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry) && existsSync(`/proc/${entry}/cmdline`))
    .map((pid) => readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " "));

describe("the local cloud", () => {
  it("is found by a second start", async () => {
    assert.equal(await startCloud(), false);
  });

  it("can be changed by one command at a time", async () => {
    const other = spawn(process.execPath, ["--input-type=module", "--eval", holder], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    const lines = createInterface({ input: other.stdout });
    const ended = once(other, "exit").then(async () => Promise.reject(new Error("the other process ended")));
    await Promise.race([once(lines, "line"), ended]);
    ended.catch(() => undefined);
    let entered = false;
    const mine = withCloudLock(async () => Promise.resolve((entered = true)));
    assert.equal(await Promise.race([mine, delay(300, "waits")]), "waits");
    assert.equal(entered, false);
    other.stdin.end();
    assert.equal(await mine, true);
  });

  it(
    "restarts the parts that have crashed, and no others, and ends the cuts of tests that were killed",
    { skip: hasUserStack },
    async () => {
      const before = record("kube-apiserver");
      // As after a crash, the records of the processes remain.
      const killed = ["kube-proxy", "kube-scheduler", "kubelet", "dockerd"].filter(isRunning);
      for (const part of killed) process.kill(Number(record(part).split(" ")[0]), "SIGKILL");
      for (const part of killed) while (isRunning(part)) await delay(10);
      // A test that was killed leaves its cuts, and the port becomes that of another program.
      const server = createServer().listen(0, "127.0.0.1");
      await once(server, "listening");
      const { port } = server.address() as AddressInfo;
      await setCut([`http://127.0.0.1:${String(port)}`], true);
      assert.equal(await startCloud(), true);
      const socket = connect(port, "127.0.0.1");
      await once(socket, "connect", { signal: AbortSignal.timeout(10_000) });
      socket.destroy();
      server.close();
      for (const part of killed) assert.ok(isRunning(part), part);
      await docker(["version"]);
      assert.equal(record("kube-apiserver"), before);
    },
  );

  it(
    "leaves no trace when it is stopped, even if its engines have crashed under running pods",
    { skip: hasUserStack },
    async () => {
      const options = readKubeconfig(kubeconfig);
      const before = interfaces();
      const spec = { containers: [{ name: "pause", image: "ecr-helper-pause:1", imagePullPolicy: "Never" }] };
      const path = "/api/v1/namespaces/default/pods";
      // Kubernetes creates it a moment after the namespace, and would reject a pod without its service account.
      const account = "/api/v1/namespaces/default/serviceaccounts?fieldSelector=metadata.name%3Ddefault";
      await waitFor(options, account, ({ type }) => type === "ADDED", 20_000);
      await adminKube()({ method: "POST", path, body: { metadata: { name: "left-over" }, spec } });
      await waitFor<Pod>(options, path, ({ object }) => object?.status.phase === "Running", 60_000);
      assert.equal(interfaces().length, before.length + 1, "the pod's");
      await preservingLogs(async () => {
        for (const part of ["kubelet", "containerd", "kube-proxy", "kube-apiserver"])
          await stopBackground(part, "SIGKILL");
        await stopCloud();
        assert.equal(existsSync(home), false);
        assert.ok(!readFileSync("/proc/self/mounts", "utf8").includes(home));
        assert.deepEqual(
          interfaces(),
          before.filter((name) => name !== bridge.name),
        );
        for (const family of ["iptables", "ip6tables"])
          assert.doesNotMatch(await run(`${family}-save`, []), new RegExp(`KUBE-|${chain}|${bridge.name}`));
        const ours = commandLines().filter((line) =>
          /\/var\/lib\/ecr-helper|\/kubernetes-v|ministack|local\/gateway|\/pause/.test(line),
        );
        assert.deepEqual(ours, []);
        assert.equal(await startCloud(), true);
      });
    },
  );

  it("starts anew, with another key, if its AWS has crashed and lost its data", { skip: hasUserStack }, async () => {
    const key = await rootCredentials(account)();
    await adminKube()({ method: "POST", path: "/api/v1/namespaces", body: { metadata: { name: "earlier" } } });
    await preservingLogs(async () => {
      await stopBackground("emulator", "SIGKILL");
      assert.equal(await startCloud(), true);
    });
    const next = await rootCredentials(account)();
    assert.notEqual(next.secretAccessKey, key.secretAccessKey);
    assert.equal(statSync(awsCredentials).mode & 0o777, 0o600);
    assert.equal(await isAccepted(next), true);
    for (const wrong of [key, { accessKeyId: "test", secretAccessKey: "test" }])
      assert.equal(await isAccepted(wrong), false);
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
import { withCloudLock } from ${JSON.stringify(join(import.meta.dirname, "../local/exclusive.ts"))};
  await withCloudLock(async () => { console.log("held"); process.stdin.resume(); await once(process.stdin, "end"); });
`;
