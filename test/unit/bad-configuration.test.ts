/* eslint-disable max-lines -- One table has valid values of every key, and one check the rules for all of them. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import * as pulumi from "@pulumi/pulumi";
import { readConfig, type StackConfig } from "../../infra/config/stack.ts";
import { pushPolicy } from "../../infra/image-rights.ts";
import * as rules from "../support/acceptable.ts";
import { podChecks, validPodValues, type Check } from "../support/acceptable-pod.ts";
import { partsOf, secretChecks, someSecrets, validSecrets } from "../support/acceptable-secrets.ts";
import { groupChecks, someGroups, validGroups } from "../support/acceptable-groups.ts";
import { isSelector } from "../support/acceptable-selector.ts";
import { defaultConfig } from "../local/stack.ts";
import { anyText, oddities, traps } from "../support/arbitraries.ts";
import { ownRegistry, runProgram, type Registered } from "../support/program.ts";

const refuse = (): never => assert.fail("the configuration registers nothing");
await pulumi.runtime.setMocks({ newResource: refuse, call: refuse }, "ecr-helper", "test");

type Values = Record<string, string>;

const defaults = defaultConfig();
const nodes = "arn:aws:iam::123456789012:role/nodes";
const cluster = { kubeconfig: "Pulumi.yaml" };
const identities: Record<string, Values> = {
  accessKey: cluster,
  irsa: { ...cluster, oidcIssuer: "https://oidc.example/id/MAIN" },
  podIdentity: { eksCluster: "main" },
  kube2iam: { ...cluster, trustedPrincipals: JSON.stringify([nodes]) },
  node: { context: "main" },
};

/** Valid values of a key, beside its default. */
const validValues: Record<string, string[]> = {
  kubeconfig: ["Pulumi.yaml", '{"clusters":[],"users":[{"user":{"token":"hunter2"}}]}'],
  context: ["main"],
  eksCluster: ["main"],
  identity: Object.keys(identities),
  repositoryName: ["builds/ecr-helper", "my--builds/ecr__helper"],
  repositoryPrincipals: ['["*"]', `["123456789012","${nodes}"]`],
  tagMutability: ["IMMUTABLE"],
  scanOnPush: ["false"],
  encryption: ["KMS", "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"],
  pullRepositories: [
    '["team-*","apps/?","arn:aws:ecr:eu-central-1:123456789012:repository/base/*"]',
    '["arn:aws:ecr:us-east-1:111122223333:repository/shared"]',
  ],
  pushRepositories: ['["*","builds/app","my--*","a__b"]'],
  pullThroughCache: ['["docker-hub/*","arn:aws:ecr:eu-west-1:123456789012:repository/quay/*"]'],
  oidcIssuer: ["https://oidc.example/id/MAIN", "https://10.0.0.1:6443/"],
  oidcProviderArn: ["arn:aws:iam::123456789012:oidc-provider/oidc.example/id/MAIN"],
  trustedPrincipals: [JSON.stringify([nodes]), '["arn:aws:sts::123456789012:assumed-role/a/b"]'],
  permissionsBoundary: ["arn:aws:iam::aws:policy/PowerUserAccess", "arn:aws:iam::123456789012:policy/a/b"],
  path: ["/", "/builds/ci/"],
  tags: ['["team=build","cost center=a=b"]'],
  buildNamespaces: ['["team-a","team-*"]'],
  excludeNamespaces: ['["kube-*"]'],
  namespaceSelector: ["builds=yes,team in (a, b),!x"],
  serviceAccounts: ['["default","ci-*","?.a"]', "[]"],
  serviceAccountSelector: ["builds=yes,team in (a, b),!x"],
  registries: [
    '["111122223333.dkr.ecr.us-east-1.amazonaws.com","123456789012.dkr.ecr.eu-west-1.amazonaws.com"]',
    '["111122223333.dkr.ecr-fips.us-east-1.amazonaws.com","123456789012.dkr-ecr.eu-central-1.on.aws"]',
    JSON.stringify([
      {
        host: "444455556666.dkr.ecr.eu-central-1.amazonaws.com",
        roleArn: "arn:aws:iam::444455556666:role/pulls/ecr-helper",
        externalId: "an-id",
        sessionTags: ["team=a"],
      },
    ]),
    '["111122223333.dkr-ecr-fips.us-east-1.on.aws","public.ecr.aws"]',
  ],
  groups: [...validGroups],
  registryHost: ["127.0.0.1:5000", "localhost", "123456789012.dkr-ecr.eu-central-1.on.aws"],
  baseImage: [
    "ecr-helper-base:24",
    `gcr.io/distroless/nodejs24-debian13:nonroot@sha256:${"0".repeat(64)}`,
    `registry.example:5000/a/b@sha256:${"f".repeat(64)}`,
  ],
  platform: ["linux/arm64"],
  image: [
    `123456789012.dkr.ecr.eu-central-1.amazonaws.com/tools/ecr-helper@sha256:${"0".repeat(64)}`,
    `ghcr.io/example/ecr-helper@sha256:${"f".repeat(64)}`,
  ],
  awsEndpointUrl: [
    "https://vpce-1.api.ecr.eu-central-1.vpce.amazonaws.com",
    "https://vpce.example",
    "https://10.0.0.1:4566/",
    "https://[fd00::1]:80",
    "http://10.0.0.1",
  ],
  insecureEndpoints: ["true"],
  replicas: ["2", "5"],
  networkPolicy: ["none", "all"],
  podAdmission: ["v1", "v1beta1"],
  monitoringNamespaces: ['["monitoring"]'],
  stsEndpointUrl: ["https://sts.example:8443"],
  ...validPodValues,
  secrets: [...validSecrets],
  caBundle: ["trusted-ca/ca-bundle.crt"],
  proxy: ["http://proxy.example:3128", "http://10.0.0.1", "http://[fd00::1]:80/"],
  noProxy: ['["vpce.example","*.amazonaws.com","10.0.0.1"]'],
};
const keys = Object.keys(defaults).map((key) => key.replace("ecr-helper:", ""));
/** An object of a list with odd values, and with a field that is missing or has another name. */
const oddObject = (object: object): fc.Arbitrary<object> => {
  const fields = Object.entries(object).map(([name, value]: [string, string | string[]]) => {
    const odd = Array.isArray(value) ? fc.array(anyText(value), { maxLength: 3 }) : anyText([value]);
    return fc.tuple(fc.oneof({ weight: 9, arbitrary: fc.constant(name) }, fc.constantFrom(...oddities)), odd);
  });
  return fc
    .tuple(...fields.map((field) => fc.option(field, { freq: 9 })))
    .map((some) => Object.fromEntries(some.filter((one) => one !== null)));
};

const valuesOf = (key: string): fc.Arbitrary<string> => {
  const known = [defaults[`ecr-helper:${key}`] ?? "", ...(validValues[key] ?? [])];
  if (key === "secrets") return fc.oneof(someSecrets, anyText(known));
  if (key === "groups") return fc.oneof(someGroups, anyText(known));
  const lists = known.filter((one) => one.startsWith("[")).flatMap((one) => JSON.parse(one) as (string | object)[]);
  if (lists.length === 0) return anyText(known);
  const texts = lists.filter((one) => typeof one === "string");
  const objects = lists.filter((one) => typeof one === "object").map(oddObject);
  const entry = fc.oneof(anyText(texts), ...objects);
  const list = fc.array(entry, { maxLength: 3 }).map((some) => JSON.stringify(some));
  return fc.oneof(list, anyText(known));
};
const configurations: fc.Arbitrary<Values> = fc
  .tuple(
    fc.constantFrom(...Object.entries(identities)),
    fc.uniqueArray(fc.constantFrom(...keys), { maxLength: 4 }).chain((some) => {
      const odd = some.map((key) => valuesOf(key).map((value) => [key, value] as const));
      return fc.tuple(...odd).map((pairs): Values => Object.fromEntries(pairs));
    }),
  )
  .map(([[identity, needed], odd]) => ({ identity, ...needed, ...odd }));

function identityChecks({ identity }: StackConfig): Check[] {
  const named: Check[] = "roleName" in identity ? [[rules.isIamName(64), identity.roleName]] : [];
  switch (identity.mode) {
    case "accessKey":
      return [[rules.isIamName(64), identity.userName]];
    case "irsa": {
      if (identity.oidc === "eks") return named;
      const isProvider = rules.isArn(["iam"], ["oidc-provider/"]);
      const source: Check =
        "issuer" in identity.oidc
          ? [rules.isUrl(["https:"], true), identity.oidc.issuer]
          : [isProvider, identity.oidc.providerArn];
      return [...named, source];
    }
    case "kube2iam":
      return [
        ...named,
        [rules.isPrincipal, ...identity.trustedPrincipals],
        [rules.isPrincipalOf(ownRegistry.partition), ...identity.trustedPrincipals],
      ];
    default:
      return named;
  }
}

const clusterCheck = ({ cluster: where }: StackConfig): Check =>
  "eksCluster" in where
    ? [(value) => /^[\w-]+$/.test(value) && value.length <= 100, where.eksCluster]
    : [(value) => value.trim() !== "" && !/\p{Cc}/u.test(value), where.context];

const isKeptRegistry: rules.Rule = (host) =>
  host === "public.ecr.aws" || rules.isRegistryOf(ownRegistry.partition)(host);

const roleChecks = ({ roleArn, externalId, sessionTags, hosts }: StackConfig["registryRoles"][number]): Check[] => [
  [isKeptRegistry, ...hosts],
  [(host) => !host.startsWith(`${ownRegistry.accountId}.dkr`) || !host.includes(ownRegistry.region), ...hosts],
  [(arn) => rules.isArn(["iam"], ["role/"])(arn) && arn.split(":")[1] === ownRegistry.partition, roleArn],
  [rules.isExternalId, externalId],
  [rules.isTag, ...Object.entries(sessionTags).map(([key, value]) => `${key}=${value}`)],
];

const caKeyOf = ({ caBundle }: StackConfig): string | undefined =>
  caBundle === undefined || "pem" in caBundle ? undefined : `${caBundle.configMap}/${caBundle.key}`;

const imageOf = ({ image }: StackConfig): string => ("ref" in image ? image.ref : image.baseImage);

/** The values of an accepted configuration that Kubernetes, AWS or Docker would not accept. */
function unusable(config: StackConfig): unknown[] {
  const registries = [`${ownRegistry.accountId}.dkr.ecr.${ownRegistry.region}`, ...config.registries];
  const checks: Check[] = [
    ...identityChecks(config),
    clusterCheck(config),
    [(value) => rules.isRepository(value) && value.length <= 200, config.repositoryName],
    [rules.isPrincipalOf(ownRegistry.partition), ...config.repositoryPrincipals],
    [rules.isIamName(128), config.policyName],
    [rules.isArn(["iam"], ["policy/"], ["aws"]), config.permissionsBoundary],
    [(value) => value.split(":")[1] === ownRegistry.partition, config.permissionsBoundary],
    [rules.isIamPath, config.path],
    [rules.isTag, ...Object.entries(config.tags).map(([key, value]) => `${key}=${value}`)],
    [rules.isLabel, config.namespace],
    [rules.mayMeanNamespace, ...config.buildNamespaces, ...config.excludeNamespaces],
    [rules.mayMeanAccount, ...config.serviceAccounts],
    [(value) => value === "" || isSelector(value), config.namespaceSelector, config.serviceAccountSelector],
    [rules.isSubdomain, config.basicAuthSecret, config.pullSecret],
    [isKeptRegistry, ...config.registries],
    ...config.registryRoles.flatMap(roleChecks),
    ...config.groups.flatMap(groupChecks),
    [rules.isRepositoryIn(registries), ...config.pullRepositories, ...config.pushRepositories],
    [
      rules.isRepositoryIn(registries.filter((one) => one.startsWith(ownRegistry.accountId))),
      ...config.pullThroughCache,
    ],
    [rules.isEncryption(ownRegistry), config.encryption],
    [rules.isRegistryHost, config.registryHost],
    ["ref" in config.image ? rules.isImageByDigest : rules.isImage, imageOf(config)],
    [(value) => rules.isNumber(value, 1, 5), String(config.replicas)],
    [rules.isLabel, ...config.monitoringNamespaces],
    [rules.isUrl(["http:", "https:"], false), config.awsEndpointUrl, config.stsEndpointUrl],
    ...podChecks(config),
    ...secretChecks(config.secrets),
    [rules.isUrl(["http:"], false), config.proxy],
    [rules.isHostPattern, ...config.noProxy],
    [rules.isKeyOfConfigMap, caKeyOf(config)],
  ];
  const wrong = checks.flatMap(([rule, ...values]) => values.filter((one) => one !== undefined && !rule(one)));
  const isNameTaken =
    [config.basicAuthSecret, "ecr-helper"].includes(config.pullSecret) ||
    config.pullSecret.startsWith("ecr-helper-image-");
  const size = JSON.stringify(pushPolicy({ ...config, own: ownRegistry })).length;
  return [
    ...wrong,
    ...(isNameTaken ? ["one name for two secrets"] : []),
    ...(size > 6144 ? ["a policy too large"] : []),
  ];
}

const elements = (text: string): unknown[] => {
  try {
    const parsed: unknown = JSON.parse(text);
    return Array.isArray(parsed) ? parsed : [text];
  } catch {
    return [text];
  }
};

/** The texts in a value: of an object the fields and their names. */
const textsIn = (value: unknown): string[] => {
  if (typeof value !== "object" || value === null) return [String(value)];
  return [JSON.stringify(value), ...Object.entries(value).flatMap(([key, one]) => [key, ...textsIn(one)])];
};

/** Whether a message shows the value: all of it, or the wrong elements of a list, or of an object in it, or the key of a tag. */
const isPartOf = (shown: string, given: string): boolean =>
  shown === given ||
  [[shown], elements(shown).map(String)].some((parts) =>
    parts.every((one) =>
      elements(given)
        .flatMap(textsIn)
        .some((all) => all.startsWith(one)),
    ),
  );

/** The same for what is at a path in the value, where a missing field is empty. */
const isPartAt = (path: string, shown: string, given: string): boolean =>
  path === "" ? isPartOf(shown, given) : shown === "" || partsOf(JSON.parse(given)).includes(shown);

/** The parts of a mistake's line; the value is JSON, and `cut` whether not all of it is shown. */
function parseLine(line: string): { key: string; path: string; value: string; cut: boolean } {
  // Not `.`, because it excludes Unicode's line separators, which are shown unescaped.
  const [, key = "", path = "", value = "", cut] =
    /^ {2}ecr-helper:(\w+)((?:\.\w+|\[[^\n]*?\])*) = ("[^\n]*"|\[secret\]|\[\d+ entr(?:y|ies)\])(\.\.\. \(\d+ characters\))?: expected \S[^\n]*$/.exec(
      line,
    ) ?? [];
  return { key, path, value, cut: cut !== undefined };
}

/** The keys that the one error names; none if it is accepted. Each line must have the quoted value and what is expected. */
function rejectedKeys(values: Values, secrets: readonly string[] = []): string[] {
  const own = Object.fromEntries(Object.entries(values).map(([key, value]) => [`ecr-helper:${key}`, value]));
  const prefixed = secrets.map((key) => `ecr-helper:${key}`);
  pulumi.runtime.setAllConfig({ ...defaults, ...own }, prefixed);
  let config: StackConfig;
  try {
    config = readConfig(ownRegistry);
  } catch (error) {
    assert.ok(pulumi.RunError.isInstance(error), `an error that Pulumi shows without a stack trace: ${String(error)}`);
    const [title, ...lines] = error.message.split("\n");
    assert.equal(title, "The stack's configuration is wrong, and nothing was changed:");
    return lines.map((line) => {
      const { key, path, value, cut } = parseLine(line);
      const given = values[key] ?? defaults[`ecr-helper:${key}`] ?? "";
      if (/^\[\d/.test(value)) assert.equal(value.split(" ")[0], `[${String(elements(given).length)}`);
      else if (value === "[secret]") assert.ok(secrets.includes(key) || ["kubeconfig", "proxy"].includes(key));
      else assert.ok(cut || isPartAt(path, JSON.parse(value) as string, given), line.slice(0, 2000));
      return key;
    });
  }
  assert.deepEqual(unusable(config), [], JSON.stringify(values));
  return [];
}

const isList = (key: string): boolean => /^\[/.test(defaults[`ecr-helper:${key}`] ?? "");

describe("a wrong configuration of the stack", () => {
  it("is rejected in one error with every key, its value and what is expected, or is valid", () => {
    fc.assert(
      fc.property(configurations, (values) => void rejectedKeys(values)),
      { numRuns: 4000 },
    );
  });

  it("has each of its mistakes reported, however many there are", () => {
    const wrong = fc.uniqueArray(fc.constantFrom(...keys.filter((key) => key !== "context")), { minLength: 2 });
    fc.assert(
      fc.property(wrong, fc.constantFrom("\0", "\ud800 ", "é\n"), (some, value) => {
        const reported = rejectedKeys({ ...cluster, ...Object.fromEntries(some.map((key) => [key, value])) });
        for (const key of some) assert.ok(reported.includes(key), `${key} in ${reported.join(", ")}`);
      }),
    );
  });

  it("is rejected quickly, however long a value is", (t) => {
    let longest = 0;
    const check = (values: Values): void => {
      const since = performance.now();
      rejectedKeys({ ...cluster, ...values });
      longest = Math.max(longest, performance.now() - since);
    };
    for (const key of keys) {
      check({ [key]: "a".repeat(1_000_000) });
      for (const value of traps(200_000)) {
        check({ [key]: isList(key) ? JSON.stringify([value]) : value });
      }
    }
    t.diagnostic(`the slowest check of a long value took ${longest.toFixed(0)} ms`);
    assert.ok(longest < 5000, "no pattern tries all combinations");
  });

  it("may have no secret value but a kubeconfig, as others would be in Pulumi's state in plain text", () => {
    for (const [key, values = []] of Object.entries(validValues)) {
      for (const value of values) {
        const reported = rejectedKeys({ ...cluster, [key]: value }, [key]);
        assert.equal(reported.includes(key), key !== "kubeconfig", key);
      }
    }
  });

  it("never has secrets in its error: a value set with --secret, or the content of a kubeconfig", () => {
    const secret = "hunter2-0f9c";
    for (const key of keys) {
      const bad = `${secret} \0`;
      const entry = { host: bad, roleArn: bad, externalId: bad, sessionTags: [bad], [bad]: bad };
      for (const value of [bad, JSON.stringify([bad]), `["${secret}=1","${secret}=2"]`, JSON.stringify([entry])]) {
        const own = { "ecr-helper:kubeconfig": "Pulumi.yaml", [`ecr-helper:${key}`]: value };
        pulumi.runtime.setAllConfig({ ...defaults, ...own }, [`ecr-helper:${key}`]);
        try {
          readConfig(ownRegistry);
        } catch (error) {
          assert.ok(!String(error).includes(secret), String(error));
          assert.match(String(error), new RegExp(`ecr-helper:${key} = \\[secret\\]: expected `));
        }
      }
    }
    for (const kubeconfig of [`{"token":"${secret}"}`, `users:\n- token: ${secret}`]) {
      pulumi.runtime.setAllConfig({ ...defaults, "ecr-helper:kubeconfig": kubeconfig });
      assert.throws(
        () => readConfig(ownRegistry),
        (error: Error) => /kubeconfig = \[secret\]: /.test(error.message) && !error.message.includes(secret),
      );
    }
    assert.deepEqual(rejectedKeys({ ...cluster, proxy: `http://user:${secret}@proxy.example` }), ["proxy"]);
  });

  it("has unknown keys reported, even those that every object inherits", () => {
    for (const key of oddities.filter((one) => one !== "")) {
      pulumi.runtime.setAllConfig({ ...defaults, "ecr-helper:kubeconfig": "Pulumi.yaml", [`ecr-helper:${key}`]: "x" });
      assert.throws(
        () => readConfig(ownRegistry),
        (error: Error) => {
          assert.match(error.message, /^The stack's.*:\n {2}ecr-helper:(\S+|"[^\n]*"): there is no such key; [^\n]*$/);
          return pulumi.RunError.isInstance(error);
        },
      );
    }
  });

  it("creates no resource, whatever the identity", async () => {
    const wrong: Values[] = [{ logLevel: "\ud800" }, { tags: '["__proto__=x"]' }, { awsEndpointUrl: "http://h:99999" }];
    for (const [identity, needed] of Object.entries(identities)) {
      for (const one of wrong) {
        const resources: Registered[] = [];
        const program = runProgram({ ...needed, identity, ...one }, { resources });
        await assert.rejects(program, (error) => pulumi.RunError.isInstance(error));
        assert.deepEqual(
          resources.map(({ type }) => type),
          ["pulumi:pulumi:Stack"],
          "the stack itself, and nothing in it",
        );
      }
    }
  });
});
