// The Docker stand-in against a real Docker engine and the local cloud's registry.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { awsFunctions } from "../local/pulumi/aws/functions.ts";
import { awsSession } from "../local/pulumi/aws/session.ts";
import { awsTypes } from "../local/pulumi/aws/types.ts";
import { docker } from "../local/pulumi/docker/daemon.ts";
import { image } from "../local/pulumi/docker/image.ts";
import { dockerSession } from "../local/pulumi/docker/provider.ts";
import { isSecret, plain, secret, unknown, type Properties } from "../local/pulumi/values.ts";
import { dockerHost } from "../local/docker.ts";
import { aws, ports } from "../local/settings.ts";
import type { LiveResource } from "../local/pulumi/resource-type.ts";

Object.assign(process.env, aws);

const repository = `plugin-image-${randomBytes(3).toString("hex")}`;
const server = `${ports.registry.address}:${String(ports.registry.port)}`;
const name = `${server}/${repository}`;
const session = dockerSession({ host: dockerHost() });
const cloud = awsSession({});
const repositories = awsTypes["aws:ecr/repository:Repository"];

let folder = "";
let login: Properties = {};
let live: LiveResource;

const inputs = (tag: string, further: Properties = {}): Properties => ({
  imageName: `${name}:${tag}`,
  build: { context: join(folder, "context"), dockerfile: join(folder, "Dockerfile"), args: { WHAT: "this" } },
  registry: login,
  ...further,
});

const password = (): string => plain(login["password"]) as string;
const digestOf = ({ outputs }: LiveResource): string => outputs["repoDigest"] as string;

async function checked(news: Properties): Promise<Properties> {
  const { inputs: result, failures } = await image.check({ inputs: news, naming: { name: "i" } }, session);
  assert.deepEqual(failures, []);
  return result;
}

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "plugin-docker-"));
  await writeFile(join(folder, "Dockerfile"), "FROM scratch\nARG WHAT\nLABEL what=$WHAT\nCOPY file /file\n");
  await mkdir(join(folder, "context"));
  await writeFile(join(folder, "context/file"), repository);
  await repositories.create({ name: repository, forceDelete: true }, cloud);
  const token = await awsFunctions["aws:ecr/getAuthorizationToken:getAuthorizationToken"]?.({}, cloud);
  login = { server, username: token?.["userName"], password: token?.["password"] };
});
after(async () => {
  await repositories.delete(repository, { forceDelete: true }, cloud);
  const remaining = (await docker(session, ["image", "ls", "--quiet", name])).split("\n").filter(Boolean);
  if (remaining.length > 0) await docker(session, ["image", "rm", "--force", ...remaining]);
  await rm(folder, { recursive: true });
});

describe("images of the Docker stand-in", () => {
  it("are built with their arguments, pushed, and named by their digest in the registry", async () => {
    live = await image.create(await checked(inputs("1")), session);
    assert.equal(live.id, `${name}:1`);
    const digest = digestOf(live);
    assert.match(digest, new RegExp(`^${name.replaceAll(".", "\\.")}@sha256:[0-9a-f]{64}$`));
    const label = await docker(session, ["image", "inspect", "--format", "{{.Config.Labels.what}}", `${name}:1`]);
    assert.equal(label.trim(), "this");
    const basic = Buffer.from(`AWS:${password()}`).toString("base64");
    const found = await fetch(`http://${server}/v2/${repository}/manifests/${digest.split("@")[1] ?? ""}`, {
      method: "HEAD",
      headers: { authorization: `Basic ${basic}` },
    });
    assert.equal(found.status, 200);
  });

  it("mark the login as secret in the state", () => {
    const { __inputs: remembered, ...outputs } = live.outputs;
    assert.ok(isSecret(remembered));
    assert.ok(!JSON.stringify(outputs).includes(password().slice(0, 20)));
    assert.equal(outputs["registryServer"], server);
  });

  it("are unchanged if only the login differs", async () => {
    const next = await checked(inputs("1", { registry: { ...login, password: secret("another") } }));
    assert.equal(image.diff({ state: live.outputs, inputs: next }).changes, false);
  });

  it("are built again when a file changes, with a digest that is unknown in a preview", async () => {
    await writeFile(join(folder, "context/file"), `${repository} again`);
    const next = await checked(inputs("1"));
    assert.deepEqual(image.diff({ state: live.outputs, inputs: next }).detailed, { build: "UPDATE" });
    assert.equal(image.preview(next, session)["repoDigest"], unknown);
    const updated = await image.update(live.id, live.outputs, next, session);
    assert.notEqual(updated.outputs["repoDigest"], live.outputs["repoDigest"]);
    assert.equal(image.diff({ state: updated.outputs, inputs: next }).changes, false);
    live = updated;
  });

  it("have the image's id as digest if they are not pushed", async () => {
    const local = await image.create(await checked(inputs("local", { skipPush: true })), session);
    assert.match(digestOf(local), /^sha256:[0-9a-f]{64}$/);
  });

  it("remain in the engine after a delete, and never show drift", async () => {
    await image.delete(live.id, live.outputs, session);
    await docker(session, ["image", "inspect", live.id]);
    await docker(session, ["image", "rm", live.id]);
    assert.deepEqual(await image.read(live.id, session, live), live);
  });

  it("report the output of a failed build, without secret arguments", async () => {
    await writeFile(join(folder, "Broken"), 'FROM scratch\nARG WHAT\nCOPY "$WHAT" /file\n');
    const build = {
      context: join(folder, "context"),
      dockerfile: join(folder, "Broken"),
      args: { WHAT: secret("s3cret-argument") },
    };
    await assert.rejects(image.create(await checked(inputs("broken", { build })), session), (error: unknown) => {
      assert.ok(error instanceof Error);
      assert.match(error.message, /COPY failed/);
      assert.doesNotMatch(error.message, /s3cret-argument/);
      return true;
    });
  });

  it("fail without quoting the password if the registry does not accept it", async () => {
    const registry = { ...login, password: secret("wrong-password") };
    await assert.rejects(image.create(await checked(inputs("refused", { registry })), session), (error: unknown) => {
      assert.ok(error instanceof Error);
      assert.match(error.message, /push/);
      assert.doesNotMatch(error.message, /wrong-password/);
      assert.equal(error.cause, undefined);
      return true;
    });
  });
});
