// The local cloud accepts connections from this machine and its pods only, whatever routes other hosts have.
import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { ctr } from "../local/containerd.ts";
import { adminKube } from "../local/control-plane.ts";
import { prepareHost } from "../local/host.ts";
import { readKubeconfig } from "../local/kubeconfig.ts";
import { bridge, home, kubeconfig, loopback, ports, url } from "../local/settings.ts";
import { run } from "../local/process.ts";
import { waitFor, waitForObject } from "../local/watch.ts";
import { helperPort } from "../../helper/shared/environment.ts";
import { reachableTargets, listen, namespaceOf, ExternalHost, type Target } from "../support/network-namespace.ts";

const id = randomBytes(3).toString("hex");
const namespace = `reach-${id}`;

interface Pod {
  status: { phase: string; podIP: string; containerStatuses: { containerID: string }[] };
}

interface Service {
  spec: { clusterIP: string; ports: { port: number; nodePort?: number }[] };
}

/** The processes of the local cloud and their descendants. */
function processes(): Set<number> {
  const records = join(home, "run");
  const all = new Set(
    readdirSync(records).map((part) => Number(readFileSync(join(records, part), "utf8").split(" ")[0])),
  );
  const parents = readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry))
    .flatMap((pid) => {
      const found = /^\d+ \(.*\) \S (\d+)/s.exec(statOf(pid));
      return found === null ? [] : [[Number(pid), Number(found[1])] as const];
    });
  for (let known = 0; known !== all.size;) {
    known = all.size;
    for (const [pid, parent] of parents) if (all.has(parent)) all.add(pid);
  }
  return all;
}

function statOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch (error) {
    // It exited after it was listed.
    if (["ENOENT", "ESRCH"].includes((error as NodeJS.ErrnoException).code ?? "")) return "";
    throw error;
  }
}

/** The addresses on which processes of the local cloud listen; `0.0.0.0` and `::` are every address. */
async function listeners(transport: "tcp" | "udp"): Promise<Target[]> {
  const own = processes();
  const sockets = (await run("ss", ["-Hlnp", `--${transport}`])).trim().split("\n");
  return sockets
    .filter((line) => [...line.matchAll(/pid=(\d+)/g)].some(([, pid]) => own.has(Number(pid))))
    .map((line) => {
      const [, address = "", port] =
        /^\S+ +\d+ +\d+ +(?:\[?([^\]\s]*?)\]?)(?:%\S+)?:(\d+) /.exec(line.replace(/^tcp +|^udp +/, "")) ?? [];
      return { address: address === "*" ? "::" : address, port: Number(port) };
    });
}

/** This machine's addresses, without link-local ones. */
const addresses = (): string[] => [
  loopback,
  ...Object.values(networkInterfaces())
    .flatMap((all) => all ?? [])
    .map(({ address }) => address)
    .filter((address) => !address.startsWith("fe80:")),
];

const isEverywhere = ({ address }: Target): boolean => address === "0.0.0.0" || address === "::";

describe("the local cloud's network", () => {
  const options = readKubeconfig(kubeconfig);
  const admin = adminKube();
  let external: ExternalHost;
  let server: ChildProcess;
  let podAddress: string;
  /** The command that enters a pod other than the one that listens. */
  let podEnter: readonly string[];
  let service: Service;

  const startPod = async (name: string): Promise<{ pid: number; address: string }> => {
    const spec = {
      terminationGracePeriodSeconds: 0,
      containers: [{ name: "pause", image: "ecr-helper-pause:1", imagePullPolicy: "Never" }],
    };
    const path = `/api/v1/namespaces/${namespace}/pods`;
    await admin({ method: "POST", path, body: { metadata: { name, labels: { app: name } }, spec } });
    const isUp = ({ status }: Pod): boolean => status.phase === "Running";
    const pod = await waitForObject<Pod>(options, `${path}?fieldSelector=metadata.name%3D${name}`, isUp, 60_000);
    const container = pod.status.containerStatuses[0]?.containerID.replace("containerd://", "") ?? "";
    const [, pid] = new RegExp(`^${container} +(\\d+) `, "m").exec(await ctr("tasks", "list")) ?? [];
    return { pid: Number(pid), address: pod.status.podIP };
  };

  before(async () => {
    await admin({ method: "POST", path: "/api/v1/namespaces", body: { metadata: { name: namespace } } });
    const account = `/api/v1/namespaces/${namespace}/serviceaccounts?fieldSelector=metadata.name%3Ddefault`;
    await waitFor(options, account, ({ type }) => type === "ADDED", 20_000);
    const [serving, other] = [await startPod("serving"), await startPod("other")];
    podAddress = serving.address;
    podEnter = namespaceOf(other.pid);
    server = await listen(helperPort, namespaceOf(serving.pid));
    const spec = { type: "NodePort", selector: { app: "serving" }, ports: [{ port: 80, targetPort: helperPort }] };
    const path = `/api/v1/namespaces/${namespace}/services`;
    service = await admin<Service>({ method: "POST", path, body: { metadata: { name: "serving" }, spec } });
    external = await ExternalHost.connect(`eh-${id}`);
  });

  after(async () => {
    await external.remove();
    server.kill();
    await admin({ method: "DELETE", path: `/api/v1/namespaces/${namespace}` });
  });

  it("lets this machine and pods reach its parts, and an external host none of them at any address", async (t) => {
    const parts = await listeners("tcp");
    assert.ok(parts.length > 8, JSON.stringify(parts));
    assert.deepEqual(await listeners("udp"), []);
    assert.deepEqual(parts.filter(isEverywhere), [], "none listens on every address");
    assert.deepEqual(await reachableTargets(parts), parts);
    assert.deepEqual(
      await reachableTargets(parts, podEnter),
      parts.filter(({ address }) => address === bridge.address),
    );
    const tried = parts.flatMap(({ port }) => addresses().map((address) => ({ address, port })));
    t.diagnostic(`${String(parts.length)} ports at ${String(addresses().length)} addresses`);
    assert.deepEqual(await reachableTargets(tried, external.enter), []);
  });

  it("lets this machine and pods use pods and services, and an external host none of them", async () => {
    const [{ nodePort = 0 } = {}] = service.spec.ports;
    const nodePorts = addresses().map((address) => ({ address, port: nodePort }));
    const reached = [
      { address: podAddress, port: helperPort },
      { address: service.spec.clusterIP, port: 80 },
      { address: bridge.address, port: nodePort },
    ];
    // kube-proxy does not report when it has set up a service.
    const deadline = Date.now() + 20_000;
    while ((await reachableTargets(reached)).length < reached.length && Date.now() < deadline) await delay(100);
    assert.deepEqual(await reachableTargets(reached), reached);
    assert.deepEqual(await reachableTargets(reached, podEnter), reached);
    const services = await admin<{ items: Service[] }>({ method: "GET", path: "/api/v1/services" });
    const clusterAddresses = services.items.flatMap(({ spec }) =>
      spec.ports.map(({ port }) => ({ address: spec.clusterIP, port })),
    );
    assert.ok(clusterAddresses.length > 1);
    assert.deepEqual(await reachableTargets([...reached, ...nodePorts, ...clusterAddresses], external.enter), []);
  });

  it("does not serve the emulator's registry and controls at the endpoint of AWS", async () => {
    for (const path of ["/v2/", "/_ministack/config", "/_ministack/reset"]) {
      for (const method of ["GET", "POST"]) {
        assert.equal((await fetch(`${url(ports.gateway)}${path}`, { method })).status, 404, path);
      }
    }
    assert.equal((await fetch(`${url(ports.gateway)}/_ministack/health`)).status, 200);
  });

  it("has its firewall rules once, however often it is started", async () => {
    const rules = async (): Promise<string[]> =>
      (await run("iptables-save", ["-t", "mangle"])).split("\n").filter((line) => line.startsWith("-A"));
    const before = await rules();
    await prepareHost();
    assert.deepEqual(await rules(), before);
    assert.ok(before.length > 0);
    assert.equal(new Set(before).size, before.length);
  });
});
