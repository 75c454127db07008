// Groups of build namespaces with registries and roles of their own: what the helper makes of them.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { createConfigIn, createSecretNames } from "../../helper/config/namespaces.ts";
import { readConfig, type HelperConfig } from "../../helper/config/helper-config.ts";
import type { AuthorizationToken, Tokens } from "../../helper/ecr/token.ts";
import { secretsOf } from "../../helper/resources/secrets.ts";
import { decodeTokens } from "../../helper/resources/token-annotation.ts";
import type { Secret } from "../../helper/resources/types.ts";
import type { Group } from "../../helper/shared/groups.ts";
import { helperEnvironment } from "../support/helper-environment.ts";
import { restoreTokens } from "../../helper/controller/restore-tokens.ts";
import { keptHash } from "../../helper/cache/successor.ts";
import { KubeError } from "../../helper/kube/errors.ts";
import type { Kube, KubeRequest } from "../../helper/kube/types.ts";
import { simulate, writesOf } from "../support/controller-simulation.ts";
import { VirtualClock } from "../support/virtual-clock.ts";
import { idleMetrics } from "../support/idle-metrics.ts";
import { secretDefinition } from "../support/secret-definition.ts";

const hostOf = (account: string, region = "eu-west-1"): string => `${account}.dkr.ecr.${region}.amazonaws.com`;
const own = hostOf("111122223333");
const theirs = hostOf("444455556666");
const elsewhere = hostOf("111122223333", "us-east-1");
const arn = (name: string): string => `arn:aws:iam::111122223333:role/${name}`;
const registry = (host: string, name: string): Group["registries"][number] => ({
  host,
  roleArn: arn(name),
  sessionTags: {},
});
const groups: readonly Group[] = [
  { name: "a", namespaces: ["team-a", "a-*"], registries: [registry(own, "a"), registry(elsewhere, "a")] },
  { name: "b", namespaces: ["*-b", "a-b"], registries: [registry(theirs, "theirs"), registry(own, "b")] },
  { name: "c", namespaces: ["team-c"], registries: [registry(theirs, "theirs")] },
];
const environment = {
  ...helperEnvironment,
  AWS_ACCESS_KEY_ID: "AKIAEXAMPLE",
  ECR_HELPER_BUILD_NAMESPACES: "*",
  ECR_HELPER_REGISTRIES: [own, theirs].join(),
  ECR_HELPER_REGISTRY_HOST: "registry.example",
  ECR_HELPER_GROUPS: JSON.stringify(groups),
};
const read = (env: Record<string, string> = {}): HelperConfig => readConfig({ ...environment, ...env });
const config = read();
const tokensOf = ({ allTokenRequests }: HelperConfig): Tokens =>
  new Map(
    [...allTokenRequests.keys()].map((name): [string, AuthorizationToken] => [
      name,
      { username: "AWS", password: `of ${name}`, issuedAt: 1000, expiresAt: 2000 },
    ]),
  );
const decode = (text = ""): string => Buffer.from(text, "base64").toString();

/** The password of each secret for builds by its name, and of each host of the pull secret. */
const loginsOf = (secrets: readonly Secret[]): Record<string, string> =>
  Object.fromEntries(
    secrets.flatMap(({ metadata: { name }, data }): [string, string][] => {
      if (data["password"] !== undefined) return [[name, decode(data["password"])]];
      const { auths } = JSON.parse(decode(data[".dockerconfigjson"])) as { auths: Record<string, { auth: string }> };
      return Object.entries(auths)
        .filter(([host]) => !host.startsWith("https://"))
        .map(([host, { auth }]) => [host, decode(auth).slice("AWS:".length)]);
    }),
  );

/** The secrets of a namespace with every token. */
const secretsIn = (one: HelperConfig, namespace: string): Secret[] => {
  const names = createSecretNames(one)(namespace);
  return secretsOf(createConfigIn(one)(namespace), tokensOf(one)).filter(({ metadata }) =>
    names.includes(metadata.name),
  );
};

describe("the logins of a group", () => {
  it("are those of its own registries, by its roles; those of all others are the stack's", () => {
    const west = "eu-west-1";
    const [a, b, c] = [`of ${west} as ${arn("a")}`, `of ${west} as ${arn("b")}`, `of ${west} as ${arn("theirs")}`];
    const east = `of us-east-1 as ${arn("a")}`;
    const hashed = (logins: Record<string, string>): Record<string, string> =>
      Object.fromEntries(Object.entries(logins).map(([key, value]) => [key.replace(/-[0-9a-f]{8}$/, "-HASH"), value]));
    const found = ["other", "team-a", "team-b", "team-c"].map((one) => hashed(loginsOf(secretsIn(config, one))));
    assert.deepEqual(found, [
      { "ecr-creds": `of ${west}`, "registry.example": `of ${west}`, [own]: `of ${west}`, [theirs]: `of ${west}` },
      { "ecr-creds": a, "ecr-creds-us-east-1": east, "registry.example": a, [own]: a, [elsewhere]: east },
      { "ecr-creds": b, "ecr-creds-eu-west-1-HASH": c, "registry.example": b, [own]: b, [theirs]: c },
      { "ecr-creds": c, [theirs]: c },
    ]);
  });

  it("need one token for each role and region, whichever groups have it", () => {
    const names = ["eu-west-1", ...["a", "b", "theirs"].map((name) => `eu-west-1 as ${arn(name)}`)];
    assert.deepEqual([...config.allTokenRequests.keys()].sort(), [...names, `us-east-1 as ${arn("a")}`].sort());
  });

  it("are those of the first group that has a namespace, and never those of the helper's own namespace", () => {
    const configIn = createConfigIn(
      read({ ECR_HELPER_GROUPS: JSON.stringify([...groups, { ...groups[2], name: "all", namespaces: ["*"] }]) }),
    );
    const ofGroup = (namespace: string): string => [...configIn(namespace).tokenRequests.keys()].join();
    assert.match(ofGroup("a-b"), /role\/a,/);
    assert.match(ofGroup("x-b"), /role\/b/);
    assert.match(ofGroup("any"), /^eu-west-1 as .*role\/theirs$/);
    assert.equal(ofGroup("ecr-helper"), "eu-west-1");
  });

  it("are restored by the next helper from its own namespace, though groups log in to one host in different ways", () => {
    const all = secretsOf(config, tokensOf(config)).filter(({ metadata }) =>
      config.ownSecretNames.includes(metadata.name),
    );
    assert.deepEqual(
      all.map(({ metadata }) => metadata.name),
      ["ecr-creds-pull", "ecr-creds-pull.a", "ecr-creds-pull.b", "ecr-creds-pull.c"],
    );
    const restored = (next: HelperConfig): [string, AuthorizationToken][] =>
      all.flatMap((one) => [...decodeTokens(next, one)]);
    assert.deepEqual(new Map(restored(config)), tokensOf(config));
    // A registry of the stack that a group has now.
    const role = { roleArn: arn("theirs"), sessionTags: {}, hosts: [theirs] };
    const last = read({ ECR_HELPER_GROUPS: "", ECR_HELPER_REGISTRY_ROLES: JSON.stringify([role]) });
    const pulls = secretsOf(last, tokensOf(last)).find(({ metadata }) => metadata.name === "ecr-creds-pull");
    const moved = decodeTokens(config, pulls ?? assert.fail()).get(`eu-west-1 as ${role.roleArn}`);
    assert.equal(moved?.issuedAt, 1000);
    // Group a by another role: neither is its token restored, nor that of another role in its place.
    const other = read({ ECR_HELPER_GROUPS: JSON.stringify(groups).replaceAll('role/a"', 'role/z"') });
    const names = new Map(restored(other)).keys();
    assert.deepEqual([...names].sort(), [...tokensOf(config).keys()].filter((name) => !name.endsWith("role/a")).sort());
  });

  it("never hold another group's, whatever the groups, and are whole", () => {
    const name = fc.constantFrom("a", "b", "c", "d");
    const registries = fc.uniqueArray(fc.tuple(fc.constantFrom(own, theirs, elsewhere), name), {
      selector: ([host]) => host,
      minLength: 1,
    });
    const group = fc.record({
      namespaces: fc.array(fc.constantFrom("a", "b", "?", "b*", "*"), { minLength: 1 }),
      registries,
    });
    fc.assert(
      fc.property(
        fc.array(group, { maxLength: 4 }),
        fc.constantFrom("a", "b", "bb", "ecr-helper"),
        (some, namespace) => {
          const ECR_HELPER_GROUPS = JSON.stringify(
            some.map(({ namespaces, registries: all }, index) => ({
              name: String(index),
              namespaces,
              registries: all.map(([host, role]) => registry(host, role)),
            })),
          );
          const one = read({ ECR_HELPER_GROUPS, ECR_HELPER_REGISTRY_HOST: "" });
          const patterns: Record<string, RegExp> = { a: /^a$/, b: /^b$/, "?": /^.$/, "b*": /^b/, "*": /./ };
          const mine =
            namespace === "ecr-helper"
              ? undefined
              : some.find(({ namespaces }) => namespaces.some((p) => patterns[p]?.test(namespace)));
          const regionOf = (host: string): string => (host === elsewhere ? "us-east-1" : "eu-west-1");
          const expected =
            mine?.registries.map(([host, role]) => [host, `of ${regionOf(host)} as ${arn(role)}`]) ??
            [own, theirs].map((host) => [host, "of eu-west-1"]);
          const names = createSecretNames(one)(namespace).filter((secret) => !secret.includes("."));
          const secrets = secretsOf(createConfigIn(one)(namespace), tokensOf(one)).filter(({ metadata }) =>
            names.includes(metadata.name),
          );
          const logins = Object.entries(loginsOf(secrets));
          assert.deepEqual(
            Object.fromEntries(logins.filter(([key]) => key.includes("dkr"))),
            Object.fromEntries(expected),
          );
          const builds = logins.filter(([key]) => !key.includes("dkr")).map(([, password]) => password);
          assert.deepEqual(new Set(builds), new Set(expected.map(([, password]) => password)));
        },
      ),
      { numRuns: 300 },
    );
  });

  it("are in further secrets where the group has their registry, which are not made elsewhere", () => {
    const data = { auth: "${username}:${password}@${host}" };
    const secrets = [
      secretDefinition({ name: "own", namespaces: ["*"], data }),
      secretDefinition({ name: "theirs", namespaces: ["*"], data, registry: theirs }),
    ];
    const further = read({ ECR_HELPER_SECRETS: JSON.stringify(secrets) });
    const found = ["other", "team-a", "team-b", "team-c"].map((namespace) =>
      Object.fromEntries(
        secretsIn(further, namespace)
          .filter(({ metadata }) => ["own", "theirs"].includes(metadata.name))
          .map(({ metadata, data: { auth } }) => [metadata.name, decode(auth)]),
      ),
    );
    const at = (role: string, host: string): string => `AWS:of eu-west-1${role && ` as ${arn(role)}`}@${host}`;
    assert.deepEqual(found, [
      { own: at("", "registry.example"), theirs: at("", theirs) },
      { own: at("a", "registry.example") },
      { own: at("b", "registry.example"), theirs: at("theirs", theirs) },
      { theirs: at("theirs", theirs) },
    ]);
  });

  it("have metrics of their own, where two groups log in to one host", async () => {
    const metrics = idleMetrics(config);
    metrics.setTokenExpiry(tokensOf(config));
    const { body } = await metrics.text();
    const series = body.split("\n").filter((line) => line.startsWith("ecr_helper_token_expiry") && line.includes(own));
    assert.equal(series.length, 3);
    assert.equal(series.filter((line) => line.includes(`role="${arn("b")}"`)).length, 1);
  });
});

describe("the secrets with the tokens of groups", () => {
  it("are read whichever is older: of two with one token the one that was issued later counts", async () => {
    const name = `eu-west-1 as ${arn("theirs")}`;
    const secretsAt = (issuedAt: number, expiresAt: number): Secret[] =>
      secretsOf(config, new Map([[name, { username: "AWS", password: String(issuedAt), issuedAt, expiresAt }]]));
    const named = (secrets: Secret[], group: string): Secret | undefined =>
      secrets.find(({ metadata }) => metadata.name === `ecr-creds-pull.${group}`);
    for (const [b, c, newest] of [
      [1000, 5000, "5000"],
      [5000, 1000, "5000"],
    ] as const) {
      const found = new Map(
        [named(secretsAt(b, b + 1), "b"), named(secretsAt(c, c + 1), "c")].map((one) => [one?.metadata.name, one]),
      );
      const kube: Kube = async <T>({ path }: KubeRequest) => {
        const secret = found.get(path.split("/").at(-1));
        if (secret === undefined) throw new KubeError({ method: "GET", path }, 404, "{}");
        return Promise.resolve(secret as T);
      };
      const dependencies = {
        isIntact: () => true,
        log: () => undefined,
        clock: new VirtualClock("2026-11-27"),
        random: () => 0,
      };
      const restored = await restoreTokens(config, kube, dependencies, new AbortController().signal);
      assert.equal(restored.get(name)?.password, newest);
    }
  });

  it("tell two helpers apart by the namespaces of further secrets that only a group has", () => {
    const hashOf = (namespace: string): string => {
      const secret = secretDefinition({
        name: "one",
        namespaces: [namespace],
        registry: elsewhere,
        data: { a: "${host}" },
      });
      return keptHash(read({ ECR_HELPER_SECRETS: JSON.stringify([secret]) }));
    };
    assert.notEqual(hashOf("team-a"), hashOf("a-1"));
  });
});

describe("a group whose role is refused", () => {
  it("holds up no other: not the secrets of others, nor the line that says when they expire", async () => {
    const env = { ECR_HELPER_REGISTRY_HOST: "", ECR_HELPER_GROUPS: JSON.stringify(groups.slice(0, 1)) };
    const { writes, lines, newToken } = simulate({ ...env, ECR_HELPER_BUILD_NAMESPACES: "team-a,other" });
    await newToken();
    assert.deepEqual(
      writes.filter((write) => !write.endsWith(" in ecr-helper")),
      writesOf("other"),
    );
    assert.equal(lines.filter((line) => line.startsWith("info the secret will expire at")).length, 1);
  });
});

describe("the groups in the helper's environment", () => {
  it("are refused with their variable where they are no list of groups with distinct names", () => {
    const [first] = groups;
    const wrong = [
      "{}",
      "x",
      JSON.stringify([{ ...first, name: "A" }]),
      JSON.stringify([{ ...first, namespaces: "x" }]),
      JSON.stringify([{ ...first, namespaces: ["-"] }]),
      JSON.stringify([{ ...first, registries: [] }]),
      JSON.stringify([{ ...first, registries: [{ host: own }] }]),
      JSON.stringify([{ ...first, registries: [registry("example.com", "a")] }]),
      JSON.stringify([{ ...first, registries: [registry(own, "a"), registry(own, "b")] }]),
      JSON.stringify([first, first]),
    ];
    for (const value of wrong)
      assert.throws(
        () => read({ ECR_HELPER_GROUPS: value }),
        /ECR_HELPER_GROUPS=.*: expected empty, or groups as JSON/,
        value,
      );
    assert.throws(
      () => read({ ECR_HELPER_PULL_SECRET: "x".repeat(252) }),
      /ECR_HELPER_PULL_SECRET=.*: expected a shorter name/,
    );
  });
});
