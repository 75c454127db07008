// Judges the whole run of the tests, which comes before: node's test runner takes files in the order of their names. No token,
// key or password that occurred may be in anything that was left behind: logs of helpers, pods and every part of the cloud,
// Events, metrics, pod specs, Deployments, what commands printed, states of stacks, layers of the helper's image. Alone, or
// after a few tests, it has too little to judge by and fails.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { before, describe, it } from "node:test";
import { cloudEnvironment } from "../local/cloud.ts";
import { docker } from "../local/docker.ts";
import { logs, pki, ports } from "../local/settings.ts";
import { credentialPatterns, LeakSearch } from "./leak-search.ts";
import { artifactFiles, issuedSecretValues, incompleteRun } from "./artifacts.ts";

/** What has to be among what is left behind, or it is not whole. */
const kinds = [
  // Events, pods and Deployments are in it as they were asked for.
  "audit/\\d+",
  ...["aws-requests", "commands", "helpers", "metrics", "pod-logs/.*ecr-helper.*"],
  ...["gateway", "eks", "emulator", "dockerd", "containerd", "etcd", "kubelet"],
  "kube-(apiserver|controller-manager|scheduler|proxy)",
].map((part) => new RegExp(`(^|/)${part}\\.log$`));
kinds.push(/(^|\/)states\/.*\.json$/);

describe("the secrets of the whole run", () => {
  let files: string[];
  let search: LeakSearch;
  const planted = randomBytes(40).toString("base64");
  const base64 = (text: string): string => Buffer.from(text).toString("base64");

  before(() => {
    files = artifactFiles();
    const issued = issuedSecretValues();
    const missing = kinds.filter((kind) => !files.some((file) => kind.test(relative(logs, file))));
    assert.ok(
      issued.length > 100 && missing.length === 0,
      `${incompleteRun} There is no ${missing.map(String).join(", ")}`,
    );
    const ofCluster = readFileSync(join(pki, "tokens.csv"), "utf8")
      .split("\n")
      .map((line) => line.split(",")[0] ?? "");
    // A finding must not be a leak, too: it is told by its number.
    const called = [...issued, ...ofCluster].map((secret, index) => [secret, `secret ${String(index)}`] as const);
    search = new LeakSearch([...called, [planted, "the planted one"], [base64(`AWS:${planted}`), "the planted one"]]);
  });

  const found = (text: string | Buffer): string[] => [
    ...new Set(search.find(Buffer.from(text)).map(({ called }) => called)),
  ];

  it("would be found, as a planted one shows: plain, in base64 wherever it begins, and in a docker config", () => {
    const config = JSON.stringify({ auths: { "https://host": { auth: base64(`AWS:${planted}`) } } });
    const texts = [planted, ...["", "a", "ab"].map((start) => base64(start + planted)), config, base64(config)];
    for (const text of texts) assert.deepEqual(found(`x ${text} x`), ["the planted one"]);
  });

  it("are in no file that the run left", (t) => {
    const leaks: string[] = [];
    let bytes = 0;
    for (const file of files) {
      const content = readFileSync(file);
      bytes += content.length;
      const name = relative(logs, file);
      leaks.push(...search.find(content).map(({ called, at }) => `${called} in ${name} at ${String(at)}`));
      const text = content.toString("latin1");
      for (const [what, pattern] of Object.entries(credentialPatterns)) {
        const at = text.search(pattern);
        if (at !== -1) leaks.push(`${what} in ${name} at ${String(at)}`);
      }
    }
    assert.deepEqual(leaks, []);
    t.diagnostic(
      `${String(search.size)} pieces looked for in ${String(files.length)} files, ${String(bytes >> 20)} MB`,
    );
  });

  it("are in no layer of the helper's images", async (t) => {
    Object.assign(process.env, cloudEnvironment());
    const { address, port } = ports.registry;
    const listed = await docker(["image", "ls", "--format", "{{.Repository}}:{{.Tag}}"]);
    const images = listed.split("\n").filter((image) => image.startsWith(`${address}:${String(port)}/`));
    assert.ok(images.length > 0, incompleteRun);
    const child = spawn("docker", ["save", ...images], { stdio: ["ignore", "pipe", "inherit"] });
    const ended = once(child, "exit");
    // What lies across two chunks is in what is kept of the first.
    let [rest, bytes] = [Buffer.alloc(0), 0];
    for await (const chunk of child.stdout) {
      const text = Buffer.concat([rest, chunk as Buffer]);
      assert.deepEqual(found(text), []);
      rest = text.subarray(-64);
      bytes += (chunk as Buffer).length;
    }
    assert.deepEqual(await ended, [0, null]);
    t.diagnostic(`${String(images.length)} images, ${String(bytes >> 20)} MB`);
  });
});
