// Checks everything that all other tests have written, and therefore runs after them: Node's test runner sorts files by path. No
// token, key or password may be in it: logs of helpers, pods and every part of the local cloud, Events, metrics, pod specs,
// Deployments, the output of commands, states of stacks, layers of the helper's image. If it runs alone or after a few tests only,
// there is too little to check, and it fails.
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

/** The kinds of files that a complete run has written. */
const kinds = [
  // The requests in it contain Events, pods and Deployments.
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
    const clusterTokens = readFileSync(join(pki, "tokens.csv"), "utf8")
      .split("\n")
      .map((line) => line.split(",")[0] ?? "");
    // A finding must not leak the secret itself, and names its number only.
    const labelled = [...issued, ...clusterTokens].map((secret, index) => [secret, `secret ${String(index)}`] as const);
    search = new LeakSearch([...labelled, [planted, "the planted one"], [base64(`AWS:${planted}`), "the planted one"]]);
  });

  const found = (text: string | Buffer): string[] => [
    ...new Set(search.find(Buffer.from(text)).map(({ label }) => label)),
  ];

  it("would be found, as a planted one shows: plain, in base64 at any offset, and in a docker config", () => {
    const config = JSON.stringify({ auths: { "https://host": { auth: base64(`AWS:${planted}`) } } });
    const texts = [planted, ...["", "a", "ab"].map((start) => base64(start + planted)), config, base64(config)];
    for (const text of texts) assert.deepEqual(found(`x ${text} x`), ["the planted one"]);
  });

  it("are in no file that the run has written", (t) => {
    const leaks: string[] = [];
    let bytes = 0;
    for (const file of files) {
      const content = readFileSync(file);
      bytes += content.length;
      const name = relative(logs, file);
      leaks.push(...search.find(content).map(({ label, at }) => `${label} in ${name} at ${String(at)}`));
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
    // Keeps the end of each chunk, because a secret may lie across two chunks.
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
