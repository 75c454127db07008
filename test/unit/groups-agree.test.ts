// The stack grants the helper exactly the secrets that the helper keeps: two programs work their names out from the same configuration.
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createSecretNames } from "../../helper/config/namespaces.ts";
import { readConfig, type HelperConfig } from "../../helper/config/helper-config.ts";
import { tokensSecretNames } from "../../helper/shared/groups.ts";
import { staticNamespaces } from "../../helper/shared/namespace-rules.ts";
import { helperEnvironment } from "../support/helper-environment.ts";
import { account, runProgram, type Program } from "../support/program.ts";

const ownHost = `${account}.dkr.ecr.eu-central-1.amazonaws.com`;
const elsewhere = `${account}.dkr.ecr.us-east-1.amazonaws.com`;
const theirs = "444455556666.dkr.ecr.us-east-1.amazonaws.com";
const [one, two] = ["one", "two"].map((name) => `arn:aws:iam::444455556666:role/${name}`);
const a = { name: "a", namespaces: ["team-a"], pushRepositories: ["a/*"], registries: [elsewhere, "public.ecr.aws"] };
const b = { name: "b", namespaces: ["team-?"], registries: [{ host: theirs, roleArn: one }] };
/** The stack's own registry by a role that somebody else made comes first, wherever it is in the list. */
const c = {
  ...{ name: "c", namespaces: ["*"] },
  registries: [
    { host: theirs, roleArn: two },
    { host: ownHost, roleArn: one },
  ],
};
const data = { a: "${auth}" };
const secrets = [
  { name: "own", data },
  { name: "at-theirs", registry: theirs, namespaces: ["team-*"], data },
  { name: "by-alias", registry: "registry.example", namespaces: ["team-a"], data },
];

const cases: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  "no groups": { registries: [elsewhere], secrets: secrets.slice(0, 1) },
  "a group with lists": { groups: [a] },
  "overlapping groups, and further secrets by registry": { groups: [a, b], registryHost: "registry.example", secrets },
  "groups for all namespaces": { groups: [a, b, c], registryHost: "registry.example", secrets },
  "pushes, and the same role in the stack": {
    ...{ groups: [a, b], pushRepositories: ["x/*"] },
    registries: [elsewhere, { host: theirs, roleArn: one }],
  },
};

/** The helper's configuration, from the environment of the program's Deployment. */
function helperOf({ find }: Program): HelperConfig {
  const { spec } = find("kubernetes:apps/v1:Deployment").inputs as {
    spec: { template: { spec: { containers: { env: { name: string; value?: string }[] }[] } } };
  };
  const env = spec.template.spec.containers.flatMap((container) => container.env);
  return readConfig({
    ...helperEnvironment,
    ...Object.fromEntries(env.flatMap(({ name, value }) => (value === undefined ? [] : [[name, value]]))),
  });
}

/** The names in the rules for secrets of a namespace's role, or of the ClusterRole, that have a verb. */
function grantedIn({ resources }: Program, namespace: string | undefined, verb: string): string[] {
  const type = `kubernetes:rbac.authorization.k8s.io/v1:${namespace === undefined ? "ClusterRole" : "Role"}`;
  interface Rule {
    readonly resources: string[];
    readonly verbs: string[];
    readonly resourceNames?: string[];
  }
  const names = resources
    .filter((role) => role.type === type && (role.inputs["metadata"] as { namespace?: string }).namespace === namespace)
    .flatMap(({ inputs }) => (inputs["rules"] ?? []) as Rule[])
    .filter((rule) => rule.resources.includes("secrets") && rule.verbs.includes(verb))
    .flatMap(({ resourceNames = [] }) => resourceNames);
  return [...new Set(names)].sort();
}

describe("the secrets that the stack lets the helper keep are those that it keeps", () => {
  for (const [what, more] of Object.entries(cases)) {
    const config = Object.fromEntries(
      Object.entries(more).map(([key, value]) => [key, typeof value === "string" ? value : JSON.stringify(value)]),
    );
    it(`in each namespace by name: ${what}`, async () => {
      const buildNamespaces = '["team-a","team-b","other","ecr-helper"]';
      const program = await runProgram({ kubeconfig: "Pulumi.yaml", ...config, buildNamespaces });
      const helper = helperOf(program);
      const secretNames = createSecretNames(helper);
      for (const namespace of staticNamespaces(helper))
        assert.deepEqual(grantedIn(program, namespace, "create"), [...secretNames(namespace)].sort(), namespace);
      assert.deepEqual(grantedIn(program, "ecr-helper", "get"), [...helper.ownSecretNames].sort());
    });

    it(`everywhere: ${what}`, async () => {
      const program = await runProgram({ kubeconfig: "Pulumi.yaml", ...config, buildNamespaces: '["*"]' });
      const helper = helperOf(program);
      const tokens = tokensSecretNames(helper);
      const kept = helper.allSecretNames.filter((name) => !tokens.includes(name));
      assert.deepEqual(grantedIn(program, undefined, "create"), kept.sort());
      for (const verb of ["create", "get"])
        assert.deepEqual(grantedIn(program, "ecr-helper", verb), [...helper.ownSecretNames].sort());
    });
  }
});
