import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { describe, it } from "node:test";
import fc from "fast-check";
import { readConfig, type HelperConfig } from "../../helper/config/helper-config.ts";
import * as rules from "../support/acceptable.ts";
import { secretChecks } from "../support/acceptable-secrets.ts";
import { isSelector } from "../support/acceptable-selector.ts";
import { helperEnvironment } from "../support/helper-environment.ts";
import { anyText, traps } from "../support/arbitraries.ts";

type Environment = Record<string, string | undefined>;
type Key = keyof typeof helperEnvironment;

const keys = Object.keys(helperEnvironment) as Key[];

/** Valid values besides those of `helperEnvironment`. */
const valid: Partial<Record<Key, string[]>> = {
  ECR_HELPER_REGISTRIES: [
    "111122223333.dkr.ecr.us-gov-west-1.amazonaws.com,111122223333.dkr.ecr.cn-north-1.amazonaws.com.cn",
    "111122223333.dkr.ecr-fips.us-east-1.amazonaws.com,111122223333.dkr-ecr-fips.us-east-1.on.aws",
    `${helperEnvironment.ECR_HELPER_REGISTRIES},public.ecr.aws`,
  ],
  ECR_HELPER_REGISTRY_ROLES: [
    JSON.stringify([
      {
        roleArn: "arn:aws:iam::444455556666:role/pulls",
        externalId: "an-id",
        sessionTags: { team: "a" },
        hosts: [helperEnvironment.ECR_HELPER_REGISTRIES],
      },
    ]),
  ],
  ECR_HELPER_REGISTRY_HOST: ["127.0.0.1:5000", "vpce-1.dkr.ecr.eu-west-1.vpce.amazonaws.com", "localhost"],
  ECR_HELPER_BUILD_NAMESPACES: ["team-a,team-*,?", "a"],
  ECR_HELPER_EXCLUDE_NAMESPACES: ["kube-*"],
  ECR_HELPER_SERVICE_ACCOUNTS: ["default,ci-*,?.a", ""],
  ECR_HELPER_SERVICE_ACCOUNT_SELECTOR: ["builds=yes,!x"],
  ECR_HELPER_NAMESPACE_SELECTOR: ["builds=yes,team in (a, b),!x", "example.com/level>5"],
  ECR_HELPER_SECRETS: [
    '[{"name":"a","type":"Opaque","labels":{},"annotations":{"b":"${url}"},"namespaces":["*"],"registry":"","login":"pull","data":{"c":"${auth}"}}]',
  ],
  ECR_HELPER_PROXY: ["http://proxy.example:3128", "http://10.0.0.1", "http://[fd00::1]:80/"],
  ECR_HELPER_NO_PROXY: ["vpce.example,*.amazonaws.com", "10.0.0.1"],
  ECR_HELPER_CA_FILE: ["/etc/ca.crt"],
  ECR_HELPER_PRINCIPAL: ["arn:aws:iam::123456789012:role/builds/ecr-helper"],
};
const valuesOf = (key: Key): fc.Arbitrary<string> => anyText([helperEnvironment[key], ...(valid[key] ?? [])]);
/** Some of the variables, with odd values or not set. */
const environments: fc.Arbitrary<Environment> = fc.record(
  Object.fromEntries(keys.map((key) => [key, fc.option(valuesOf(key), { nil: undefined, freq: 8 })])),
  { requiredKeys: [] },
);

/** The values of an accepted configuration that Kubernetes or ECR would not accept, by independent rules. */
function unusable(config: HelperConfig): unknown[] {
  const values: [rules.Rule, readonly (string | undefined)[]][] = [
    [(host) => host === "public.ecr.aws" || rules.isRegistry(host), config.registries.map(({ host }) => host)],
    [rules.isRegistryHost, [config.registryHost]],
    [rules.mayMeanNamespace, [...config.buildNamespaces, ...config.excludeNamespaces]],
    [rules.mayMeanAccount, config.serviceAccounts],
    [(value) => value === "" || isSelector(value), [config.namespaceSelector, config.serviceAccountSelector]],
    [rules.isSubdomain, [...config.secretNames, config.pod, config.deployment]],
    [rules.isLabel, [config.namespace]],
    [rules.isLabelWord, [config.owner]],
    [rules.isPrintable, [config.principal, ...config.registries.map(({ role }) => role?.roleArn)]],
    [rules.isUrl(["http:"], false), [config.awsConnection.proxy]],
    [rules.isHostPattern, config.awsConnection.noProxy],
    [(value) => rules.isNumber(value, 0, 65535), [String(config.port)]],
  ];
  const wrong = values.flatMap(([rule, found]) => found.filter((one) => one !== undefined && !rule(one)));
  const empty = config.registries.length === 0 ? ["no registry"] : [];
  const further = secretChecks(config.furtherSecrets).flatMap(([rule, ...some]) =>
    some.filter((one) => !rule(one ?? "")),
  );
  const twice = new Set(config.secretNames).size < config.secretNames.length ? ["one name for two secrets"] : [];
  return [...wrong, ...empty, ...further, ...twice];
}

/** The variables that the error names; none if the environment is accepted. Checks every line of the error. */
function refused(env: Environment): string[] {
  let config: HelperConfig;
  try {
    config = readConfig(env);
  } catch (error) {
    assert.ok(error instanceof Error && error.constructor === Error, String(error));
    const [title, ...lines] = error.message.split("\n");
    assert.equal(title, "The helper's environment is wrong:");
    return lines.map((line) => {
      const [, key = "", value = "", cut] =
        /^ {2}(\w+)=("[^\n]*")(\.\.\. \(\d+ characters\))?: expected \S[^\n]*$/.exec(line) ?? [];
      const shown = JSON.parse(value) as string;
      const actual = env[key] ?? (helperEnvironment as Environment)[key] ?? "";
      assert.ok(
        shown === actual || shown === "" || (cut !== undefined && actual.startsWith(shown)),
        line.slice(0, 2000),
      );
      return key;
    });
  }
  assert.deepEqual(unusable(config), [], JSON.stringify(env));
  return [];
}

describe("a wrong environment", () => {
  it("is refused in one error with every variable, its value and what is expected, or is usable", () => {
    fc.assert(
      fc.property(environments, (odd) => {
        const together = refused({ ...helperEnvironment, ...odd });
        const alone = Object.entries(odd).flatMap(([key, value]) => refused({ ...helperEnvironment, [key]: value }));
        for (const key of alone) assert.ok(together.includes(key), `${key} is reported among others, too`);
        assert.equal(new Set(together).size, together.length, "once each");
      }),
      { numRuns: 1000 },
    );
  });

  it("is refused where the secrets' names collide or become too long", () => {
    const registries = "111122223333.dkr.ecr.eu-west-1.amazonaws.com,111122223333.dkr.ecr.us-east-1.amazonaws.com";
    const env = { ...helperEnvironment, ECR_HELPER_REGISTRIES: registries };
    assert.deepEqual(refused({ ...env, ECR_HELPER_PULL_SECRET: "ecr-creds-us-east-1" }), ["ECR_HELPER_PULL_SECRET"]);
    assert.deepEqual(refused({ ...env, ECR_HELPER_PULL_SECRET: "ecr-creds" }), ["ECR_HELPER_PULL_SECRET"]);
    const long = "a".repeat(245);
    assert.deepEqual(refused({ ...env, ECR_HELPER_BASIC_AUTH_SECRET: long }), ["ECR_HELPER_BASIC_AUTH_SECRET"]);
    assert.deepEqual(refused({ ...helperEnvironment, ECR_HELPER_BASIC_AUTH_SECRET: long }), []);
    assert.deepEqual(refused({ ...helperEnvironment, ECR_HELPER_REGISTRIES: ",," }), ["ECR_HELPER_REGISTRIES"]);
  });

  it("is refused quickly, however long a value is", (t) => {
    let longest = 0;
    for (const key of keys) {
      for (const value of traps(1_000_000)) {
        const since = performance.now();
        refused({ ...helperEnvironment, [key]: value });
        longest = Math.max(longest, performance.now() - since);
      }
    }
    t.diagnostic(`reading a million characters took at most ${longest.toFixed(0)} ms`);
    assert.ok(longest < 5000, "no pattern backtracks exponentially");
  });

  it(
    "ends the process with exit code 1 and that error, and nothing else, on standard error",
    { concurrency: true },
    async () => {
      const run = async (env: Environment): Promise<[number | null, string, string]> => {
        const child = spawn(process.execPath, ["helper/main.ts"], { env, stdio: ["ignore", "pipe", "pipe"] });
        const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "exit")]);
        return [child.exitCode, stdout, stderr];
      };
      const wrong: Environment[] = [
        {},
        { ...helperEnvironment, ECR_HELPER_PORT: "x\n    at file:///helper.ts:1:1", ECR_HELPER_NAMESPACE: "\u001b[2J" },
        { ...helperEnvironment, ECR_HELPER_NAMESPACE_SELECTOR: "(".repeat(100_000) },
      ];
      await Promise.all(
        wrong.map(async (env) => {
          let message = "";
          assert.throws(
            () => readConfig(env),
            (error: Error) => (message = `${error.message}\n`) !== "",
          );
          assert.deepEqual(await run(env), [1, "", message]);
          assert.doesNotMatch(message, /\n {4}at /, "no stack trace");
        }),
      );
      const [code, stdout, stderr] = await run(helperEnvironment);
      assert.deepEqual([code, stdout], [1, ""], "valid, but not in a pod");
      assert.match(stderr, /^ENOENT: no such file or directory, open '\/var\/run\/secrets\/.*'\n$/);
    },
  );
});
