import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, it } from "node:test";
import { credentials, status, type Metadata, type ServiceError } from "@grpc/grpc-js";
import providerRpc from "@pulumi/pulumi/proto/provider_grpc_pb.js";
import type pluginPb from "@pulumi/pulumi/proto/plugin_pb.js";
import providerPb from "@pulumi/pulumi/proto/provider_pb.js";
import emptyPb from "google-protobuf/google/protobuf/empty_pb.js";
import structPb from "google-protobuf/google/protobuf/struct_pb.js";
import { InitFailedError } from "../local/pulumi/resource-type.ts";
import { toServiceError } from "../local/pulumi/plugin-errors.ts";
import { secret, unknown } from "../local/pulumi/values.ts";

const main = join(import.meta.dirname, "../local/pulumi/aws/main.ts");
const urn = "urn:pulumi:s::p::aws:iam/user:User::helper";
const type = "aws:iam/user:User";

interface Started {
  readonly process: ChildProcess;
  readonly client: providerRpc.ResourceProviderClient;
  readonly lines: string[];
}

async function start(): Promise<Started> {
  const child = spawn(process.execPath, [main, "127.0.0.1:1"], { stdio: ["ignore", "pipe", "inherit"] });
  const lines: string[] = [];
  const reader = createInterface(child.stdout).on("line", (line) => lines.push(line));
  await once(reader, "line");
  const client = new providerRpc.ResourceProviderClient(`127.0.0.1:${lines[0] ?? ""}`, credentials.createInsecure());
  return { process: child, client, lines };
}

type Answer<T> = (error: ServiceError | null, response: T) => void;

const ask = async <T>(call: (answer: Answer<T>) => unknown): Promise<T> =>
  new Promise((resolve, reject) => {
    call((error, response) => {
      if (error === null) resolve(response);
      else reject(error);
    });
  });

const struct = (value: object): structPb.Struct => structPb.Struct.fromJavaScript(value as never);

describe("the server of a provider plugin", () => {
  let plugin: Started;
  before(async () => (plugin = await start()));
  after(() => plugin.process.kill("SIGKILL"));

  it("prints its port and nothing else, and returns its version", async () => {
    const info = await ask<pluginPb.PluginInfo>((answer) => plugin.client.getPluginInfo(new emptyPb.Empty(), answer));
    assert.match(info.getVersion(), /^\d+\.\d+\.\d+$/);
    assert.equal(plugin.lines.length, 1);
    assert.match(plugin.lines[0] ?? "", /^\d+$/);
  });

  it("refuses requests before it is configured", async () => {
    const request = new providerPb.CreateRequest()
      .setUrn(urn)
      .setType(type)
      .setProperties(struct({ name: "u" }));
    await assert.rejects(
      ask<providerPb.CreateResponse>((answer) => plugin.client.create(request, answer)),
      /not configured/,
    );
  });

  it("lists its capabilities when it is configured", async () => {
    const handshake = await ask<providerPb.ProviderHandshakeResponse>((answer) =>
      plugin.client.handshake(new providerPb.ProviderHandshakeRequest(), answer),
    );
    assert.ok(handshake.getAcceptSecrets());
    const request = new providerPb.ConfigureRequest().setArgs(
      struct({
        region: "us-east-1",
        accessKey: "a",
        secretKey: secret("b"),
        skipCredentialsValidation: "true",
        version: "7.48.0",
      }),
    );
    // The older form, which comes with it.
    request.getVariablesMap().set("aws:config:region", "us-east-1");
    const configured = await ask<providerPb.ConfigureResponse>((answer) => plugin.client.configure(request, answer));
    assert.ok(configured.getSupportspreview() && configured.getAcceptsecrets());
    assert.ok(configured.getSupportsAutonamingConfiguration());
    assert.ok(!configured.getAcceptresources() && !configured.getAcceptoutputs());
  });

  it("checks the provider's and a resource's inputs", async () => {
    const config = new providerPb.CheckRequest().setNews(struct({ region: "us-east-1", regin: "x" }));
    const checkedConfig = await ask<providerPb.CheckResponse>((answer) => plugin.client.checkConfig(config, answer));
    assert.deepEqual(
      checkedConfig.getFailuresList().map((one) => one.getProperty()),
      ["regin"],
    );
    const request = new providerPb.CheckRequest().setUrn(urn).setType(type).setName("helper").setRandomseed("AQID");
    request.setNews(struct({ path: unknown, tags: secret({ a: "b" }) }));
    const inputs =
      (await ask<providerPb.CheckResponse>((answer) => plugin.client.check(request, answer)))
        .getInputs()
        ?.toJavaScript() ?? {};
    assert.match(JSON.stringify(inputs["name"]), /^"helper-[0-9a-f]{7}"$/);
    assert.deepEqual([inputs["path"], inputs["tags"]], [unknown, secret({ a: "b" })]);
  });

  it("returns a detailed diff", async () => {
    const request = new providerPb.DiffRequest().setUrn(urn).setType(type).setId("u");
    request.setOlds(struct({ name: "u", path: "/", tags: { a: "1" }, tagsAll: { a: "1" }, forceDestroy: false }));
    request.setNews(struct({ name: "u", path: "/", tags: { a: "2" }, forceDestroy: false, __defaults: [] }));
    const diff = await ask<providerPb.DiffResponse>((answer) => plugin.client.diff(request, answer));
    assert.equal(diff.getChanges(), providerPb.DiffResponse.DiffChanges.DIFF_SOME);
    assert.deepEqual([...diff.getDetaileddiffMap().keys()].sort(), ["tags.a", "tagsAll"]);
    assert.deepEqual(diff.getDiffsList().sort(), ["tags", "tagsAll"]);
  });

  it("previews without a request to AWS", async () => {
    const request = new providerPb.CreateRequest().setUrn(urn).setType(type).setPreview(true);
    const planned = await ask<providerPb.CreateResponse>((answer) =>
      plugin.client.create(request.setProperties(struct({ name: "u" })), answer),
    );
    assert.equal(planned.getId(), "");
    const outputs = planned.getProperties()?.toJavaScript() ?? {};
    assert.deepEqual([outputs["arn"], outputs["name"]], [unknown, "u"]);
  });

  it("returns failures for a function's wrong arguments, and refuses unknown functions and types", async () => {
    const invoke = (token: string): providerPb.InvokeRequest =>
      new providerPb.InvokeRequest().setTok(token).setArgs(struct({}));
    const lookup = invoke("aws:iam/getOpenIdConnectProvider:getOpenIdConnectProvider");
    const answer = await ask<providerPb.InvokeResponse>((answer) => plugin.client.invoke(lookup, answer));
    assert.match(answer.getFailuresList()[0]?.getReason() ?? "", /one of `arn,url`/);
    const none = ask<providerPb.InvokeResponse>((answer) =>
      plugin.client.invoke(invoke("aws:s3/getBucket:getBucket"), answer),
    );
    await assert.rejects(none, { code: status.UNIMPLEMENTED });
    const bucket = new providerPb.CheckRequest().setType("aws:s3/bucket:Bucket").setNews(struct({}));
    await assert.rejects(
      ask<providerPb.CheckResponse>((answer) => plugin.client.check(bucket, answer)),
      /no resource aws:s3\/bucket:Bucket/,
    );
  });

  it("exits when it is cancelled", async () => {
    const other = await start();
    const ended = once(other.process, "exit");
    await ask<emptyPb.Empty>((answer) => other.client.cancel(new emptyPb.Empty(), answer));
    other.client.close();
    assert.deepEqual(await ended, [0, null]);
  });

  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    it(`ends at ${signal}`, async () => {
      const other = await start();
      const ended = once(other.process, "exit");
      other.process.kill(signal);
      assert.deepEqual(await ended, [0, null]);
      other.client.close();
    });
  }

  it("exits when its parent process is gone", async () => {
    // The shell is killed as an engine might be; the plugin's own standard output tells of its end.
    const script = `"$0" "$1" & echo $! ; wait`;
    const shell = spawn("/bin/sh", ["-c", script, process.execPath, main], { stdio: ["ignore", "pipe", "inherit"] });
    const lines: string[] = [];
    const reader = createInterface(shell.stdout).on("line", (line) => lines.push(line));
    while (lines.length < 2) await once(reader, "line");
    const closed = once(reader, "close");
    shell.kill("SIGKILL");
    await closed;
    assert.equal(lines.length, 2);
  });
});

describe("a resource whose creation failed halfway", () => {
  it("is returned to the engine with the error", () => {
    const live = { id: "u", inputs: { user: "x" }, outputs: { secret: secret("s3cret") } };
    const { code, details, metadata } = toServiceError(new InitFailedError(live, new Error("tagging failed")));
    assert.deepEqual([code, details], [status.UNKNOWN, "tagging failed"]);
    const [bytes] = (metadata as Metadata).get("grpc-status-details-bin") as Buffer[];
    assert.match(String(bytes), /pulumirpc\.ErrorResourceInitFailed/);
  });
});
