// Registries whose tokens a role asks for: what the helper makes of them.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { readConfig, type HelperConfig } from "../../helper/config/helper-config.ts";
import { accessDeniedHint } from "../../helper/ecr/access-denied.ts";
import type { AuthorizationToken } from "../../helper/ecr/token.ts";
import { secretsOf } from "../../helper/resources/secrets.ts";
import { decodeTokens } from "../../helper/resources/token-annotation.ts";
import { helperEnvironment } from "../support/helper-environment.ts";
import { idleMetrics } from "../support/idle-metrics.ts";

const hostOf = (account: string, region: string): string => `${account}.dkr.ecr.${region}.amazonaws.com`;
const own = hostOf("111122223333", "eu-west-1");
const [one, two, elsewhere] = [
  hostOf("444455556666", "eu-west-1"),
  hostOf("777788889999", "eu-west-1"),
  hostOf("444455556666", "us-east-1").replace("dkr.ecr", "dkr.ecr-fips"),
];
const plain = hostOf("222233334444", "eu-west-1");
const role = "arn:aws:iam::444455556666:role/pulls";
const roles = [{ roleArn: role, externalId: "id-1", sessionTags: { team: "a" }, hosts: [one, two, elsewhere] }];
const environment = {
  ...helperEnvironment,
  AWS_ACCESS_KEY_ID: "AKIAEXAMPLE",
  ECR_HELPER_REGISTRIES: [own, plain, one, two, elsewhere].join(),
  ECR_HELPER_REGISTRY_ROLES: JSON.stringify(roles),
};
const read = (env: Record<string, string> = {}): HelperConfig => readConfig({ ...environment, ...env });
const config = read();
const [region, here, there] = ["eu-west-1", `eu-west-1 as ${role}`, `us-east-1 as ${role}`];
const token = (password: string): AuthorizationToken => ({
  username: "AWS",
  password,
  issuedAt: 1000,
  expiresAt: 2000,
});
const tokens = new Map([region, here, there].map((name) => [name, token(`of ${name}`)]));
const decode = (text = ""): string => Buffer.from(text, "base64").toString();

describe("the tokens of registries with roles", () => {
  it("are one for each role and region, whatever the number of hosts, at the endpoints of their own hosts", () => {
    const requests = [...config.tokenRequests].map(([name, { region: of, hosts, role: asking, useFipsEndpoint }]) => ({
      ...{ name, of, hosts, arn: asking?.roleArn, useFipsEndpoint },
    }));
    assert.deepEqual(requests, [
      { name: region, of: region, hosts: [own, plain], arn: undefined, useFipsEndpoint: false },
      { name: here, of: region, hosts: [one, two], arn: role, useFipsEndpoint: false },
      { name: there, of: "us-east-1", hosts: [elsewhere], arn: role, useFipsEndpoint: true },
    ]);
    const { role: asked } = config.tokenRequests.get(here) ?? {};
    assert.deepEqual(asked, { roleArn: role, externalId: "id-1", sessionTags: { team: "a" } });
  });

  it("are the same for builds, also where a push role asks for those of the others", () => {
    const pushRole = "arn:aws:iam::111122223333:role/ecr-helper-push";
    const pushing = read({ ECR_HELPER_PUSH_ROLE: pushRole });
    assert.deepEqual([...pushing.tokenRequests.keys()], [region, here, there, `${region} (push)`]);
    const all = new Map([...tokens, [`${region} (push)`, token("pushes")]]);
    const passwords = secretsOf(pushing, all).flatMap(({ data }) =>
      data["password"] ? [decode(data["password"])] : [],
    );
    assert.deepEqual(passwords, ["pushes", `of ${here}`, `of ${there}`]);
  });

  it("are each in a secret of its own for builds, with the hosts that it is for", () => {
    const secrets = secretsOf(config, tokens);
    const found = secrets.map(({ metadata, data }) => ({
      name: metadata.name.replace(/-[0-9a-f]{8}$/, "-HASH"),
      password: data["password"] && decode(data["password"]),
      hosts: Object.entries(metadata.annotations ?? {})
        .filter(([key]) => key.startsWith("tekton.dev/"))
        .map(([, url]) => url.replace("https://", "")),
    }));
    assert.deepEqual(found, [
      { name: "ecr-creds", password: `of ${region}`, hosts: [own, plain] },
      { name: "ecr-creds-eu-west-1-HASH", password: `of ${here}`, hosts: [one, two] },
      { name: "ecr-creds-us-east-1-HASH", password: `of ${there}`, hosts: [elsewhere] },
      { name: "ecr-creds-pull", password: undefined, hosts: [] },
    ]);
    const other = read({ ECR_HELPER_REGISTRY_ROLES: JSON.stringify(roles).replace("pulls", "other") });
    const names = [config, other].map(({ secretNames }) => secretNames[1]);
    assert.notEqual(names[0], names[1], "another role, another secret");
  });

  it("are in the pull secret by host, and without one of them its hosts only are missing", () => {
    const authsWith = (known: typeof tokens): Record<string, string> => {
      const pulls = secretsOf(config, known).find(({ metadata }) => metadata.name === "ecr-creds-pull");
      const { auths } = JSON.parse(decode(pulls?.data[".dockerconfigjson"])) as {
        auths: Record<string, { auth: string }>;
      };
      const entries = Object.entries(auths).filter(([host]) => !host.startsWith("https://"));
      return Object.fromEntries(entries.map(([host, { auth }]) => [host, decode(auth).replace("AWS:of ", "")]));
    };
    const others = { [own]: region, [plain]: region, [elsewhere]: there };
    assert.deepEqual(authsWith(tokens), { ...others, [one]: here, [two]: here });
    assert.deepEqual(authsWith(new Map([...tokens].filter(([name]) => name !== here))), others);
  });

  it("are restored by the next helper, unless the role is asked for in another way: then they are due", () => {
    const pulls = secretsOf(config, tokens).at(-1) ?? assert.fail();
    assert.deepEqual(decodeTokens(config, pulls), tokens);
    const issued = (next: HelperConfig): (number | undefined)[] => {
      const restored = decodeTokens(next, pulls);
      return [region, here, there].map((name) => restored.get(name)?.issuedAt);
    };
    const ofId = JSON.stringify(roles).replace("id-1", "id-2");
    const ofTag = JSON.stringify(roles).replace('"a"', '"b"');
    for (const ECR_HELPER_REGISTRY_ROLES of [ofId, ofTag])
      assert.deepEqual(issued(read({ ECR_HELPER_REGISTRY_ROLES })), [1000, 0, 0]);
    assert.deepEqual(issued(read({ AWS_ACCESS_KEY_ID: "AKIANEW" })), [0, 0, 0], "it may not be trusted by the role");
    const ofRole = JSON.stringify(roles).replace("pulls", "other");
    assert.deepEqual(issued(read({ ECR_HELPER_REGISTRY_ROLES: ofRole })), [1000, undefined, undefined]);
    const host = hostOf("555566667777", "eu-west-1");
    const more = [{ ...roles[0], hosts: [host, one, two, elsewhere] }];
    const env = {
      ECR_HELPER_REGISTRIES: [own, host, one, two, elsewhere].join(),
      ECR_HELPER_REGISTRY_ROLES: JSON.stringify(more),
    };
    assert.deepEqual(issued(read(env)), [1000, 1000, 1000], "for a host that was added, too");
  });

  it("stay those of who asked for them, whatever roles registries get and lose", () => {
    const withRole = (registries: string[], hosts: string[]): HelperConfig =>
      read({
        ECR_HELPER_REGISTRIES: registries.join(),
        ECR_HELPER_REGISTRY_ROLES: hosts.length === 0 ? "" : JSON.stringify([{ ...roles[0], hosts }]),
      });
    const changes: [HelperConfig, HelperConfig][] = [
      [withRole([own, one], [one]), withRole([own, one], [])],
      [withRole([own, one], []), withRole([own, one], [one])],
      [withRole([own, one, two], [two]), withRole([own, two, one], [two, one])],
      [withRole([own, one, two], [two]), withRole([own, one], [one])],
    ];
    for (const [before, after] of changes) {
      const all = new Map([...before.tokenRequests.keys()].map((name) => [name, token(`of ${name}`)]));
      const restored = decodeTokens(after, secretsOf(before, all).at(-1) ?? assert.fail());
      assert.ok(restored.has(region));
      for (const [name, { password }] of restored) assert.equal(password, `of ${name}`);
    }
  });

  it("are asked for anew by a version that knows no roles, which takes all to be of one identity", () => {
    const pulls = secretsOf(config, tokens).at(-1) ?? assert.fail();
    const { identity } = JSON.parse(pulls.metadata.annotations?.["ecr-helper/tokens"] ?? "") as { identity: string };
    assert.notEqual(identity, config.fingerprint);
  });

  it("come with what to check where AWS denies access: the role, its registries, its trust, and then the helper's own", () => {
    const hint = accessDeniedHint(config, here);
    assert.ok(
      hint.startsWith(`check that the role ${role}, which requests the token for ${one}, ${two}, exists and trusts`),
    );
    for (const part of ["external id", "registryTrustPolicies", "may ecr:GetAuthorizationToken", "output policyArn"])
      assert.ok(hint.includes(part), part);
    assert.ok(!hint.includes("id-1"));
    assert.ok(!accessDeniedHint(config, region).includes("registryTrustPolicies"));
    const hosts = Array.from({ length: 200 }, (_, index) => hostOf(String(100_000_000_000 + index), "eu-west-1"));
    const many = {
      ECR_HELPER_REGISTRIES: [own, ...hosts].join(),
      ECR_HELPER_REGISTRY_ROLES: JSON.stringify([{ ...roles[0], hosts }]),
    };
    assert.match(accessDeniedHint(read(many), here), /100000000001\S+ and 198 others, exists/);
  });

  it("are counted by region and role", async () => {
    const metrics = idleMetrics(config);
    metrics.countTokenRequest(here, "failure");
    metrics.countTokenRequest(region, "success");
    metrics.setTokenExpiry(tokens);
    const { body } = await metrics.text();
    const samples = body.split("\n").filter((line) => /^ecr_helper_token_(requests|expiry)\S*\{.* [1-9]/.test(line));
    const expiry = (host: string, of: string, asked = ""): string =>
      `ecr_helper_token_expiry_timestamp_seconds{registry="${host}",region="${of}",${asked}login="pull"} 2`;
    assert.deepEqual(samples, [
      `ecr_helper_token_requests_total{region="${region}",login="pull",result="success"} 1`,
      `ecr_helper_token_requests_total{region="${region}",role="${role}",login="pull",result="failure"} 1`,
      ...[own, plain].map((host) => expiry(host, region)),
      ...[one, two].map((host) => expiry(host, region, `role="${role}",`)),
      expiry(elsewhere, "us-east-1", `role="${role}",`),
    ]);
  });
});

describe("the roles in the helper's environment", () => {
  it("are refused with their variable where they are no list of roles, each host in one at most", () => {
    const [first] = roles;
    const wrong = [
      "{}",
      "x",
      JSON.stringify([{ ...first, roleArn: "" }]),
      JSON.stringify([{ ...first, roleArn: "a\n" }]),
      JSON.stringify([{ ...first, externalId: 1 }]),
      JSON.stringify([{ ...first, sessionTags: { a: 1 } }]),
      JSON.stringify([{ ...first, sessionTags: null }]),
      JSON.stringify([{ ...first, hosts: [null] }]),
      JSON.stringify([first, { ...first, roleArn: `${role}-2` }]),
    ];
    for (const value of wrong) {
      const refused = /ECR_HELPER_REGISTRY_ROLES=.*: expected empty, or roles as JSON/;
      assert.throws(() => read({ ECR_HELPER_REGISTRY_ROLES: value }), refused, value);
    }
  });
});
