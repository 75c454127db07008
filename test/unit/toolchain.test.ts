import assert from "node:assert/strict";
import { createDecipheriv, pbkdf2Sync } from "node:crypto";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import { parse } from "yaml";
import { ensureCached, type CacheEntry } from "../local/cache.ts";
import { buildGo, isAtLeast } from "../local/go-build.ts";
import { cache } from "../local/settings.ts";
import { LocalCloudError } from "../local/process.ts";
import { installedCommand } from "../local/pulumi/pulumi-command.ts";

const project = join(import.meta.dirname, "../..");

describe("a cached build", () => {
  const folder = `test-${String(process.pid)}`;
  const program = join(cache, folder, "program");
  let made: string[];
  const kept = (further: Partial<CacheEntry> = {}): CacheEntry => ({
    folder,
    title: "making it",
    files: ["program"],
    build: async () => {
      made.push("made");
      await writeFile(program, "whole");
    },
    ...further,
  });

  beforeEach(async () => {
    made = [];
    await rm(join(cache, folder), { recursive: true, force: true });
  });
  after(async () => rm(join(cache, folder), { recursive: true, force: true }));

  it("is built once", async () => {
    assert.equal(await ensureCached(kept()), join(cache, folder));
    await ensureCached(kept());
    assert.deepEqual(made, ["made"]);
  });

  it("is continued if it was interrupted, with the files that exist", async () => {
    const half = async (): Promise<void> => {
      await writeFile(program, "half");
      throw new Error("no network");
    };
    const remedy =
      /no network\nRemedy: mend what that says \(network, disk space\), then run the command again: it goes on/;
    await assert.rejects(ensureCached(kept({ build: half })), remedy);
    let found = "";
    await ensureCached(kept({ build: async () => void (found = await readFile(program, "utf8")) }));
    assert.equal(found, "half");
  });

  it("is built again if a program in it is changed or deleted", async () => {
    await ensureCached(kept());
    await writeFile(program, "somebody else's");
    await ensureCached(kept());
    assert.equal(await readFile(program, "utf8"), "whole");
    await utimes(program, 1, 1);
    await ensureCached(kept());
    await rm(program);
    await ensureCached(kept());
    assert.equal(made.length, 4);
  });

  it("is not started without enough disk space", async () => {
    await assert.rejects(ensureCached(kept({ requiredBytes: 1e18 })), (error: Error) => {
      assert.ok(error instanceof LocalCloudError);
      assert.match(
        error.message,
        /has [\d.]+ GB of free disk space, and making .* takes 1000000000\.0 GB\. Remedy: free some/,
      );
      return true;
    });
    assert.deepEqual(made, []);
  });
});

describe("a build from Go modules", () => {
  it("compares versions", () => {
    for (const [one, other, expected] of [
      ["1.26.8", "1.26.6", true],
      ["1.26.6", "1.26.6", true],
      ["1.26", "1.26.6", false],
      ["1.9.9", "1.26.6", false],
      ["3.274.1", "3.265.0", true],
      ["3.265.0-alpha.1", "3.265.0", true],
      ["2.300.0", "3.265.0", false],
      ["4.0.0", "3.265.0", true],
    ] as const) {
      assert.equal(isAtLeast(one, other), expected, `${one} ${other}`);
    }
  });

  describe("names the Go that it needs", () => {
    let folder: string;
    const path = process.env["PATH"];
    before(async () => {
      folder = await mkdtemp(join(tmpdir(), "ecr-helper-go-"));
      await writeFile(join(folder, "go.mod"), "module test\n\ngo 1.99.0\n");
    });
    after(async () => {
      process.env["PATH"] = path;
      await rm(folder, { recursive: true });
    });
    const name = `test-go-${String(process.pid)}`;
    after(async () => {
      const remaining = (await readdir(cache)).filter((one) => one.startsWith(name));
      for (const one of remaining) await rm(join(cache, one), { recursive: true });
    });
    const build = async (): Promise<unknown> =>
      buildGo({ name, version: "v1", title: "building", source: folder, programs: { it: "." }, variables: {} });

    it("if there is none", async () => {
      process.env["PATH"] = folder;
      await assert.rejects(
        build(),
        /needs Go 1\.99\.0 or newer on PATH, but: go env GOVERSION failed: .*Remedy: install Go 1\.99/,
      );
    });

    it("if it is too old and may not download another one", async () => {
      process.env["PATH"] = path;
      process.env["GOTOOLCHAIN"] = "local";
      await assert.rejects(
        build(),
        /needs Go 1\.99\.0 or newer on PATH, but: .*go1?.*1\.\d+.*Remedy: install Go 1\.99/s,
      );
      delete process.env["GOTOOLCHAIN"];
    });
  });
});

describe("a pulumi command on PATH", () => {
  const path = process.env["PATH"];
  let folder: string;
  /** Puts a command there that says it has this version. */
  const install = async (where: string, says: string): Promise<string> => {
    await mkdir(join(folder, where), { recursive: true });
    const program = join(folder, where, "pulumi");
    await writeFile(program, `#!/bin/sh\n${says}\n`);
    await chmod(program, 0o755);
    process.env["PATH"] = `${join(folder, where)}:/usr/bin:/bin`;
    return program;
  };
  beforeEach(async () => (folder = await mkdtemp(join(tmpdir(), "ecr-helper-path-"))));
  afterEach(async () => rm(folder, { recursive: true }));
  after(() => void (process.env["PATH"] = path));

  it("is used if it is new enough", async () => {
    const program = await install("bin", "echo v3.300.1");
    assert.deepEqual(await installedCommand([]), { path: program, version: "3.300.1" });
  });

  it("is named, with a remedy, if it is too old or does not work", async () => {
    const reasons: string[] = [];
    const old = await install("old", "echo v3.100.0");
    assert.equal(await installedCommand(reasons), undefined);
    const broken = await install("broken", "exit 1");
    assert.equal(await installedCommand(reasons), undefined);
    const needed = "v3.265.0 or newer is needed: update it to have it used.";
    assert.deepEqual(reasons, [
      `${old} is v3.100.0, and ${needed}`,
      `${broken} is not a pulumi command that works, and ${needed}`,
    ]);
  });

  it("is neither npm's shim nor one that a checkout has prepared", async () => {
    for (const where of ["node_modules/.bin", "build/pulumi/bin"]) {
      await install(where, "echo v3.300.1");
      assert.equal(await installedCommand([]), undefined);
    }
  });

  it("has the same minimum version as Pulumi.yaml requires", async () => {
    const { requiredPulumiVersion } = parse(await readFile(join(project, "Pulumi.yaml"), "utf8")) as Record<
      string,
      string
    >;
    assert.equal(requiredPulumiVersion, ">=3.265.0");
  });
});

describe("Pulumi.dev.yaml", () => {
  it("has a salt that is the empty passphrase's", async () => {
    // As pulumi checks it: sdk/go/common/resource/config/crypt.go. A wrong one would end every up with "incorrect passphrase".
    const { encryptionsalt } = parse(await readFile(join(project, "Pulumi.dev.yaml"), "utf8")) as {
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
