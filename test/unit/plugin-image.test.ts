import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { contextHash } from "../local/pulumi/docker/context-hash.ts";
import { image } from "../local/pulumi/docker/image.ts";
import { dockerProvider, dockerSession } from "../local/pulumi/docker/provider.ts";
import type { CheckResult } from "../local/pulumi/resource-type.ts";
import { isSecret, secret, unknown, type Properties } from "../local/pulumi/values.ts";

let folder = "";
let context = "";
let dockerfile = "";

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "plugin-image-"));
  [context, dockerfile] = [join(folder, "context"), join(folder, "Dockerfile")];
  await mkdir(join(context, "inner"), { recursive: true });
  await writeFile(dockerfile, "FROM scratch\n");
  await writeFile(join(context, "main.js"), "1");
  await writeFile(join(context, "inner/other.js"), "2");
});
afterEach(async () => rm(folder, { recursive: true }));

const inputs = (further: Properties = {}): Properties => ({
  imageName: "registry.example.com/helper:1",
  build: { context, dockerfile, platform: "linux/amd64" },
  registry: { server: "registry.example.com", username: "AWS", password: secret("s3cret") },
  skipPush: false,
  buildOnPreview: false,
  ...further,
});

const check = async (given: Properties): Promise<CheckResult> => image.check({ inputs: given, naming: { name: "i" } });

describe("the hash of a build context", () => {
  const changes: readonly [string, () => Promise<unknown>][] = [
    ["a file's content", async () => writeFile(join(context, "main.js"), "3")],
    ["a file's name", async () => rename(join(context, "main.js"), join(context, "moved.js"))],
    ["a file's mode", async () => chmod(join(context, "main.js"), 0o755)],
    ["a further file in a folder", async () => writeFile(join(context, "inner/new.js"), "")],
    ["the Dockerfile", async () => writeFile(dockerfile, "FROM other\n")],
    ["where a link leads", async () => symlink(dockerfile, join(context, "link"))],
  ];
  for (const [what, change] of changes) {
    it(`changes with ${what}`, async () => {
      const before = await contextHash(context, dockerfile);
      assert.equal(await contextHash(context, dockerfile), before);
      await change();
      assert.notEqual(await contextHash(context, dockerfile), before);
    });
  }

  it("is the same in every checkout, and of every spelling of the folder", async () => {
    const before = await contextHash(context, dockerfile);
    assert.equal(await contextHash(`${relative(".", context)}/`, relative(".", dockerfile)), before);
    const moved = join(folder, "elsewhere");
    await rename(context, moved);
    assert.equal(await contextHash(moved, dockerfile), before);
  });

  it("leaves out files that .dockerignore names, except its exceptions", async () => {
    await writeFile(join(context, ".dockerignore"), "# not these\n*.log\n**/*.tmp\ninner\n!inner/other.js\n");
    const before = await contextHash(context, dockerfile);
    for (const name of ["a.log", "inner/b.tmp", "inner/c.js"]) await writeFile(join(context, name), "x");
    assert.equal(await contextHash(context, dockerfile), before);
    await writeFile(join(context, "inner/other.js"), "3");
    assert.notEqual(await contextHash(context, dockerfile), before);
  });
});

describe("check of an image", () => {
  it("adds the hash of the context, and keeps the password secret", async () => {
    const { inputs: checked, failures } = await check(inputs());
    assert.deepEqual(failures, []);
    const build = checked["build"] as Properties;
    assert.match(String(build["contextDigest"]), /^[0-9a-f]{64}$/);
    assert.ok(isSecret((checked["registry"] as Properties)["password"]));
  });

  const refused: readonly [string, Properties, string, RegExp][] = [
    ["no name", { imageName: undefined }, "imageName", /Missing required/],
    ["a name without its registry", { imageName: "helper:1" }, "imageName", /fully qualified/],
    ["a cache", { build: { cacheFrom: {} } }, "build.cacheFrom", /does not carry out/],
    ["a build in a preview", { buildOnPreview: true }, "buildOnPreview", /preview/],
    ["another builder", { build: { builderVersion: "V3" } }, "build.builderVersion", /invalid Docker Builder version/],
    ["an argument that is none", { build: { arg: {} } }, "build.arg", /not expected/],
    ["a number for a build argument", { build: { args: { A: 1 } } }, "build.args", /map of strings/],
    [
      "a Dockerfile that is not there",
      { build: { dockerfile: "nowhere/Dockerfile" } },
      "build",
      /could not open dockerfile at relative path nowhere/,
    ],
  ];
  for (const [what, changed, property, reason] of refused) {
    it(`refuses ${what}`, async () => {
      const { failures } = await check(inputs(changed));
      assert.deepEqual(
        failures.map((one) => one.property),
        [property],
      );
      assert.match(failures[0]?.reason ?? "", reason);
    });
  }

  it("reports where the Dockerfile probably is", async () => {
    await writeFile(join(context, "Own.Dockerfile"), "");
    const { failures } = await check(inputs({ build: { context, dockerfile: "Own.Dockerfile" } }));
    assert.match(failures[0]?.reason ?? "", /Try setting `dockerfile` to ".*context\/Own\.Dockerfile"/);
  });

  it("leaves values unknown that depend on unknown files and registries", async () => {
    const open = { imageName: unknown, build: unknown, registry: unknown };
    const { inputs: checked, failures } = await check(open);
    assert.deepEqual([checked, failures], [open, []]);
    const planned = image.preview(open, dockerSession());
    for (const key of ["context", "dockerfile", "registryServer", "imageName"]) assert.equal(planned[key], unknown);
    const further = await check(inputs({ build: { context, dockerfile, args: { A: unknown } } }));
    assert.match(JSON.stringify(further.inputs), /contextDigest/);
  });

  it("accepts a name without a registry for a local image", async () => {
    assert.deepEqual((await check(inputs({ imageName: "helper:1", skipPush: true }))).failures, []);
  });
});

describe("diff of an image", () => {
  const state = async (given: Properties): Promise<Properties> => ({
    ...image.preview(given, dockerSession()),
    __inputs: secret((await check(given)).inputs),
  });
  const diff = async (changed: Properties): Promise<Record<string, string>> => {
    const before = await state(inputs());
    return { ...image.diff({ state: before, inputs: (await check(inputs(changed))).inputs }).detailed };
  };

  it("finds no change if only the login differs", async () => {
    assert.deepEqual(await diff({}), {});
    const registry = { server: "registry.example.com", username: "other", password: secret("other") };
    assert.deepEqual(await diff({ registry }), {});
  });

  it("builds again for another name, server, argument or file", async () => {
    assert.deepEqual(await diff({ imageName: "registry.example.com/helper:2" }), { imageName: "UPDATE" });
    assert.deepEqual(await diff({ registry: { server: "other.example.com" } }), { registry: "UPDATE" });
    const build = { context, dockerfile, platform: "linux/amd64", args: { A: "1" } };
    assert.deepEqual(await diff({ build }), { build: "UPDATE" });
    const before = await state(inputs());
    await writeFile(join(context, "main.js"), "3");
    const { detailed } = image.diff({ state: before, inputs: (await check(inputs())).inputs });
    assert.deepEqual(detailed, { build: "UPDATE" });
  });

  it("leaves the digest unknown in a preview", () => {
    const planned = image.preview(inputs(), dockerSession());
    assert.equal(planned["repoDigest"], unknown);
    assert.equal(planned["dockerfile"], "../Dockerfile");
  });

  it("relies on the state, and never finds drift", async () => {
    const known = { inputs: inputs(), outputs: await state(inputs()) };
    assert.deepEqual(await image.read("id", dockerSession(), known), { id: "id", ...known });
  });
});

describe("the Docker provider", () => {
  it("fails without a daemon in every operation", async () => {
    const host = `unix://${join(folder, "nothing.sock")}`;
    await assert.rejects(
      dockerProvider.configure({ host }, () => undefined),
      /failed to connect to any docker daemon/,
    );
    await assert.rejects(image.create((await check(inputs())).inputs, dockerSession({ host })), {
      message: /failed to connect to any docker daemon/,
    });
  });

  it("refuses configuration that it does not implement", async () => {
    const failures = await dockerProvider.checkConfig({ host: "x", certPath: "y", hosts: "z" });
    assert.deepEqual(
      failures.map(({ property }) => property),
      ["certPath", "hosts"],
    );
  });
});
