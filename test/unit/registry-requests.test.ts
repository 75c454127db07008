import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { parseRegistryRequest, registryOf } from "../local/gateway/registry-requests.ts";
import { account, otherAccount, registryHost } from "../local/settings.ts";

const digest = `sha256:${"0".repeat(64)}`;
const own = { account, region: "us-east-1" };

describe("a request to the registry", () => {
  it("has a repository and an action, in the local registry or in a mirrored one", () => {
    const request = parseRegistryRequest({ method: "GET", url: "/v2/team/app/manifests/1", headers: {} });
    assert.deepEqual(request, {
      repository: { ...own, name: "team/app" },
      actions: ["ecr:BatchGetImage"],
      path: "/v2/team/app/manifests/1?",
      host: registryHost(account),
    });
    const there = registryHost(otherAccount, "eu-west-1");
    const url = `/v2/app/blobs/uploads/?mount=${digest}&from=secret&ns=${there}`;
    assert.deepEqual(parseRegistryRequest({ method: "POST", url, headers: {} }), {
      repository: { account: otherAccount, region: "eu-west-1", name: "app" },
      actions: ["ecr:InitiateLayerUpload"],
      path: "/v2/app/blobs/uploads/?",
      host: there,
    });
    assert.deepEqual(registryOf({ url: "/v2/?ns=docker.io", headers: {} }), own);
    for (const form of [
      "dkr.ecr-fips.eu-west-1.amazonaws.com",
      "dkr-ecr.eu-west-1.on.aws",
      "dkr-ecr-fips.eu-west-1.on.aws:443",
    ]) {
      const named = registryOf({ url: "/v2/", headers: { host: `${otherAccount}.${form}` } });
      assert.deepEqual(named, { account: otherAccount, region: "eu-west-1" });
    }
    const mixed = registryOf({ url: "/v2/", headers: { host: `${otherAccount}.dkr-ecr.eu-west-1.amazonaws.com` } });
    assert.deepEqual(mixed, own);
  });

  it("has the tag that it writes, and none if it writes by digest or reads", () => {
    const tagOf = (method: string, reference: string): string | undefined =>
      parseRegistryRequest({ method, url: `/v2/app/manifests/${reference}`, headers: {} })?.writtenTag;
    assert.equal(tagOf("PUT", "1.0"), "1.0");
    for (const [method, reference] of [
      ["PUT", digest],
      ["PUT", encodeURIComponent(digest)],
      ["GET", "1.0"],
    ] as const) {
      assert.equal(tagOf(method, reference), undefined);
    }
  });

  it("is not supported with any other method or path", () => {
    for (const [method, url] of [
      ["GET", "/v2/_catalog"],
      ["DELETE", `/v2/app/blobs/${digest}`],
      ["POST", "/v2/app/manifests/1"],
      ["GET", "/v2/app/blobs/latest"],
      ["GET", "/v2//manifests/1"],
      ["GET", "/app/manifests/1"],
      ["GET", "/v2/Upper/manifests/1"],
    ] as const) {
      assert.equal(parseRegistryRequest({ method, url, headers: {} }), undefined, `${method} ${url}`);
    }
  });

  it("is forwarded for the same repository that is authorized, however its path is encoded", () => {
    const piece = fc.constantFrom(
      "app",
      "..",
      ".",
      "",
      "%2e%2e",
      "%2F",
      "%252f",
      "blobs",
      "manifests",
      "tags",
      "A",
      "a%2fb",
      "1",
    );
    fc.assert(
      fc.property(
        fc.array(piece, { maxLength: 6 }),
        fc.constantFrom("GET", "HEAD", "PUT", "DELETE"),
        (pieces, method) => {
          const request = parseRegistryRequest({ method, url: `/v2/${pieces.join("/")}/manifests/1`, headers: {} });
          if (request === undefined) return;
          // The emulator takes what stands before the first of these words.
          const sent = decodeURIComponent(new URL(request.path, "http://emulator").pathname);
          const parts = sent.replace("/v2/", "").split("/");
          const end = parts.findIndex((part) => ["blobs", "manifests", "tags"].includes(part));
          assert.equal(parts.slice(0, end).join("/"), request.repository.name);
        },
      ),
      { numRuns: 2000 },
    );
  });
});
