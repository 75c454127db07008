import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { describe, it } from "node:test";
import { checkPorts } from "../local/cloud.ts";
import { checkDistribution, checkMachine } from "../local/install.ts";
import { LocalCloudError, run } from "../local/process.ts";
import { parseOverride } from "../local/stack.ts";

describe("the machine of the local cloud", () => {
  it("must run Linux, and the local cloud as root", () => {
    checkMachine("linux", 0);
    assert.throws(
      () => checkMachine("linux", 1000),
      /needs Linux and root; this is linux, user 1000\. Remedy: run it as root/,
    );
    assert.throws(() => checkMachine("darwin", 501), /this is darwin, user 501/);
  });

  it("must be Debian if packages have to be installed", () => {
    checkDistribution(["runc"], 'NAME="Debian GNU/Linux"\nID=debian\n');
    checkDistribution(["runc"], "ID=ubuntu\nID_LIKE=debian\n");
    assert.throws(
      () => checkDistribution(["docker.io", "runc"], "ID=alpine\n"),
      /lacks docker\.io, runc .* Remedy: install them by this system's own means/,
    );
  });

  it("must have its ports free; the error names a port that is taken and its process", async () => {
    const server = createServer().listen(0, "127.77.77.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const taken = { registry: { address: "127.77.77.1", port } };
    await assert.rejects(
      checkPorts(taken),
      new RegExp(
        `Port ${String(port)} of 127\\.77\\.77\\.1, which the local cloud's registry needs, is taken by .*Remedy: stop that program`,
      ),
    );
    server.close();
    await once(server, "close");
    await checkPorts(taken);
  });
});

describe("a program that fails", () => {
  it("is reported with its last lines", async () => {
    await assert.rejects(run("sh", ["-c", "echo out; echo why >&2; exit 3"]), (error: Error) => {
      assert.ok(error instanceof LocalCloudError);
      assert.match(error.message, /^sh -c .* failed: out\n+why$/);
      return true;
    });
    await assert.rejects(run("no-such-program", []), /no-such-program {2}failed: .*ENOENT/);
  });
});

describe("an override on the command line", () => {
  it("sets a key of the project unless the key has a namespace, and a list if the key's type is one", () => {
    assert.deepEqual(parseOverride("logLevel=debug"), ["ecr-helper:logLevel", "debug"]);
    assert.deepEqual(parseOverride("aws:region=eu-west-1"), ["aws:region", "eu-west-1"]);
    assert.deepEqual(parseOverride('buildNamespaces=["a","b"]'), ["ecr-helper:buildNamespaces", ["a", "b"]]);
    assert.deepEqual(parseOverride("awsEndpointUrl=http://host?a=b"), ["ecr-helper:awsEndpointUrl", "http://host?a=b"]);
  });

  it("is refused with an example", () => {
    assert.throws(() => parseOverride("logLevel"), /-c logLevel: expected key=value, for example/);
    for (const value of ["a", "", '"*"', '{"0":"a"}', "null", "1"]) {
      const message = `-c buildNamespaces=${value}: expected a list as JSON, for example -c 'buildNamespaces=["one","two"]'.`;
      assert.throws(
        () => parseOverride(`buildNamespaces=${value}`),
        (error) => error instanceof LocalCloudError && error.message === message,
      );
    }
  });
});
