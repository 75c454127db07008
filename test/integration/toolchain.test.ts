// Which Pulumi the local cloud prepares on which machine. In place of official releases it uses what this machine has built.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { cp, link, mkdir, mkdtemp, readFile, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { run } from "../local/process.ts";
import { pulumiCommand } from "../local/pulumi/pulumi-home.ts";

const project = join(import.meta.dirname, "../..");

describe("the Pulumi that the local cloud prepares", () => {
  let folder: string;
  let checkout: string;
  /** Prepares Pulumi in the checkout, with these environment variables. Resolves with its output. */
  const prepare = async (env: Readonly<Record<string, string>>): Promise<string> => {
    const program = `import { preparePulumi } from "./test/local/pulumi/toolchain.ts"; await preparePulumi();`;
    // The messages go to standard error, which `run` returns only with a failure.
    const node = `'${process.execPath}' --input-type=module -e '${program}' 2>&1`;
    return run("sh", ["-c", node], { cwd: checkout, env: { ...process.env, ...env } });
  };
  const version = async (of: string): Promise<string> => {
    const manifest = await readFile(join(project, "node_modules/@pulumi", of, "package.json"), "utf8");
    return (JSON.parse(manifest) as { version: string }).version;
  };

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "ecr-helper-toolchain-"));
    checkout = join(folder, "checkout");
    for (const part of ["test/local", "helper", "package.json"]) {
      await cp(join(project, part), join(checkout, part), { recursive: true });
    }
    await symlink(join(project, "node_modules"), join(checkout, "node_modules"));
  });
  after(async () => rm(folder, { recursive: true }));

  it("is built, with a message, if no official one is available", async () => {
    const output = await prepare({ PULUMI_HOME: join(folder, "nothing") });
    assert.match(
      output,
      /^Pulumi: command v3\.274\.1 \(built from Go modules\); providers kubernetes v\S+ \(built from Go modules\), /m,
    );
    assert.match(
      output,
      /aws v\S+ \(stand-in, .*\), docker v\S+ \(stand-in, .*\)\. No official command is installed, and none can be/,
    );
    const bin = join(checkout, "build/pulumi/bin");
    assert.equal((await run(join(bin, "pulumi"), ["version"])).trim(), "v3.274.1");
    assert.ok(existsSync(join(bin, "pulumi-language-nodejs")));
  });

  it("is the official one if that is installed, with its own language host and the user's plugins", async () => {
    const [bin, home] = [join(folder, "usr/bin"), join(folder, "home/.pulumi")];
    await mkdir(bin, { recursive: true });
    await link(await realpath(pulumiCommand), join(bin, "pulumi"));
    for (const name of ["kubernetes", "aws", "docker"]) {
      const plugin = join(home, "plugins", `resource-${name}-v${await version(name)}`);
      await mkdir(plugin, { recursive: true });
      await writeFile(join(plugin, `pulumi-resource-${name}`), "#!/bin/sh\n", { mode: 0o755 });
    }
    await rm(join(checkout, "build"), { recursive: true });
    const output = await prepare({ PATH: `${bin}:${process.env["PATH"] ?? ""}`, PULUMI_HOME: home });
    const providers = await Promise.all(
      ["kubernetes", "aws", "docker"].map(async (name) => `${name} v${await version(name)} (official)`),
    );
    assert.equal(
      output,
      `Pulumi: command v3.274.1 (official, ${join(bin, "pulumi")}); providers ${providers.join(", ")}.\n`,
    );
    const prepared = join(checkout, "build/pulumi");
    assert.equal(
      dirname(await realpath(join(prepared, "bin/pulumi"))),
      await realpath(bin),
      "it finds its language host there",
    );
    assert.ok(!existsSync(join(prepared, "bin/pulumi-language-nodejs")));
    const aws = join(prepared, "plugins", `resource-aws-v${await version("aws")}`);
    assert.equal(await realpath(aws), await realpath(join(home, "plugins", `resource-aws-v${await version("aws")}`)));
  });

  it("changes from the official one to a built one, with a message if the installed one is too old", async () => {
    const old = join(folder, "old");
    await mkdir(old);
    await writeFile(join(old, "pulumi"), "#!/bin/sh\necho v3.100.0\n", { mode: 0o755 });
    const output = await prepare({ PATH: `${old}:${process.env["PATH"] ?? ""}`, PULUMI_HOME: join(folder, "nothing") });
    assert.match(output, /command v3\.274\.1 \(built from Go modules\)/);
    assert.match(output, new RegExp(`${join(old, "pulumi")} is v3\\.100\\.0, and v3\\.265\\.0 or newer is needed`));
    assert.ok(existsSync(join(checkout, "build/pulumi/bin/pulumi-language-nodejs")));
  });
});
