import assert from "node:assert/strict";
import { createDecipheriv, pbkdf2Sync } from "node:crypto";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join, resolve } from "node:path";
import { after, before, describe, it } from "node:test";
import { parse } from "yaml";
import { pulumiCommand, pulumiVersion } from "../local/engine/pulumi.ts";
import type { Stack } from "../local/stack.ts";

/** Stands in for the pulumi command: notes how it was called, and fails when the test tells it to. */
const standIn = `#!/bin/sh
printf '%s\\n' "$*" >> "$CALLS"
env | grep -E '^(PULUMI_|AWS_|KUBECONFIG|DOCKER_HOST)' | sort > "$CALLS.env"
pwd > "$CALLS.cwd"
case "$1" in
  version) echo v3.999.0 ;;
  stack)
    [ "$2" = select ] && mkdir -p "\${PULUMI_BACKEND_URL#file://}/.pulumi"
    [ "$2" = output ] && echo '{"namespace":"ecr-helper"}'
    ;;
  up) exit \${UP_EXIT:-0} ;;
esac
exit 0
`;

describe("the pulumi engine", () => {
  let folder: string;
  let stack: Stack;
  const path = process.env["PATH"];

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "ecr-helper-pulumi-"));
    await writeFile(join(folder, "pulumi"), standIn);
    await chmod(join(folder, "pulumi"), 0o755);
    Object.assign(process.env, { PATH: `${folder}${delimiter}${String(path)}`, CALLS: join(folder, "calls") });
    const project = resolve(import.meta.dirname, "../..");
    stack = { name: "dev", project, folder, configFile: join(folder, "Pulumi.dev.yaml"), config: {}, overrides: {} };
  });

  after(async () => {
    Object.assign(process.env, { PATH: path });
    await rm(folder, { recursive: true });
  });

  const calls = async (): Promise<string[]> => {
    const lines = (await readFile(join(folder, "calls"), "utf8")).trim().split("\n");
    await rm(join(folder, "calls"));
    return lines;
  };

  it("is chosen where a pulumi command works", async () => {
    assert.equal(await pulumiVersion(), "v3.999.0");
    await calls();
  });

  it("has nothing to destroy before it made anything", async () => {
    await pulumiCommand.destroy(stack);
    await assert.rejects(calls());
  });

  it("makes the stack where it is not there, then runs up with the stack's configuration", async () => {
    await pulumiCommand.up(stack);
    assert.deepEqual(await calls(), [
      "stack select --create --stack dev --non-interactive",
      `up --stack dev --yes --config-file ${stack.configFile} --non-interactive`,
    ]);
    assert.equal((await readFile(join(folder, "calls.cwd"), "utf8")).trim(), stack.project);
  });

  it("gives it the local cloud's addresses and keys, and a state of its own", async () => {
    const env = (await readFile(join(folder, "calls.env"), "utf8")).trim().split("\n");
    for (const line of [
      "AWS_ACCESS_KEY_ID=test",
      "AWS_ENDPOINT_URL=http://10.214.0.1:4566",
      "AWS_REGION=us-east-1",
      "AWS_SECRET_ACCESS_KEY=test",
      "KUBECONFIG=/var/lib/ecr-helper/kubeconfig",
      `PULUMI_BACKEND_URL=file://${join(folder, "pulumi-state")}`,
      "PULUMI_CONFIG_PASSPHRASE=",
    ]) {
      assert.ok(env.includes(line), `${line} in ${env.join(", ")}`);
    }
    assert.ok(env.some((line) => line.startsWith("DOCKER_HOST=")));
  });

  it("destroys, and reads the outputs", async () => {
    await pulumiCommand.destroy(stack);
    assert.deepEqual(await pulumiCommand.outputs(stack), { namespace: "ecr-helper" });
    assert.deepEqual(await calls(), [
      `destroy --stack dev --yes --config-file ${stack.configFile} --non-interactive`,
      "stack output --stack dev --json --non-interactive",
    ]);
  });

  it("fails with what to do when pulumi does", async () => {
    process.env["UP_EXIT"] = "255";
    await assert.rejects(
      pulumiCommand.up(stack),
      /pulumi up .* ended with exit code 255; it says above why\. Remedy: /,
    );
  });

  it("finds a salt in Pulumi.dev.yaml that is the empty passphrase's", async () => {
    // As pulumi checks it: sdk/go/common/resource/config/crypt.go. A wrong one would end every up with "incorrect passphrase".
    const { encryptionsalt } = parse(await readFile(join(stack.project, "Pulumi.dev.yaml"), "utf8")) as {
      encryptionsalt: string;
    };
    const [version, salt = "", inner, nonce = "", sealed = ""] = encryptionsalt.split(":");
    const key = pbkdf2Sync("", Buffer.from(salt, "base64"), 1_000_000, 32, "sha256");
    const box = Buffer.from(sealed, "base64");
    const decipher = createDecipheriv("aes-256-gcm", key, Buffer.from(nonce, "base64")).setAuthTag(box.subarray(-16));
    assert.deepEqual([version, inner], ["v1", "v1"]);
    assert.equal(decipher.update(box.subarray(0, -16)).toString() + decipher.final().toString(), "pulumi");
  });
});
