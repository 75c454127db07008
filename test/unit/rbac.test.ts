import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { roleName } from "../../infra/rbac.ts";
import { cluster, exampleConfig, type DeploymentInputs } from "../support/example-stack.ts";
import { runProgram, type Registered } from "../support/program.ts";
import { defaultRoleName } from "../support/role-name.ts";

const { find } = await runProgram(exampleConfig);
const deployment = find("kubernetes:apps/v1:Deployment").inputs as unknown as DeploymentInputs;
const [container] = deployment.spec.template.spec.containers;

describe("the helper's RBAC", () => {
  const keeping = ["list", "watch", "create", "patch", "delete"];
  const rule = (resource: string, resourceNames: string[], verbs: string[], apiGroups = [""]): object => ({
    apiGroups,
    resources: [resource],
    resourceNames,
    verbs,
  });
  const builds = (...further: string[]): object[] => [
    rule("secrets", ["ecr-creds", ...further, "ecr-creds-pull"], [...keeping, "update"]),
    rule("serviceaccounts", ["builder-sa"], ["get", ...keeping]),
  ];
  const recordEvents = { apiGroups: [""], resources: ["events"], verbs: ["create"] };
  const own = [
    rule("secrets", ["ecr-creds-pull"], ["get"]),
    recordEvents,
    rule("deployments", ["ecr-helper"], ["get", "list", "watch"], ["apps"]),
    rule("leases", ["ecr-helper"], ["get", "list", "watch", "create", "update"], ["coordination.k8s.io"]),
  ];
  const rbac = "kubernetes:rbac.authorization.k8s.io/v1";
  /** The resources' names, and those for the example's further region. */
  const roles = defaultRoleName("ecr-helper");
  const rolesOfExample = roleName("ecr-helper", ["ecr-creds", "us-east-1", "ecr-creds-pull", "builder-sa"]);
  const subjects = [{ kind: "ServiceAccount", name: "ecr-helper", namespace: "ecr-helper" }];
  const roleRef = (kind: string, name = "ecr-helper-test"): object => ({
    apiGroup: "rbac.authorization.k8s.io",
    kind,
    name,
  });

  const nameOf = ({ inputs }: Registered): string => (inputs["metadata"] as { name: string }).name;

  for (const namespace of ["team-a", "team-b"]) {
    it(`allows its objects by name, and Events, in ${namespace}`, () => {
      const { metadata, rules } = find(`${rbac}:Role`, `${rolesOfExample}-${namespace}`).inputs;
      const { name } = metadata as { name: string };
      assert.match(name, /^ecr-helper-test-[0-9a-f]{8}$/);
      assert.deepEqual(metadata, { name, namespace });
      assert.deepEqual(rules, [...builds("ecr-creds-us-east-1"), recordEvents]);
      const binding = find(`${rbac}:RoleBinding`, `${rolesOfExample}-${namespace}`).inputs;
      assert.deepEqual(binding["metadata"], { name, namespace });
      assert.deepEqual(binding["roleRef"], roleRef("Role", name));
      assert.deepEqual(binding["subjects"], subjects);
    });
  }

  it("allows the pull secret, its Lease, and reading its Deployment, in its own namespace", () => {
    const { inputs } = find(`${rbac}:Role`, rolesOfExample);
    assert.deepEqual(inputs["rules"], [rule("secrets", ["ecr-creds-pull"], [...keeping, "update"]), ...own]);
  });

  /** The owners of what the helper creates only let it look up the marker of the stack, and follow both of them. */
  const ownerRules = [
    rule("clusterroles", ["ecr-helper-test-stack"], ["get"], ["rbac.authorization.k8s.io"]),
    rule(
      "clusterroles",
      ["ecr-helper-test", "ecr-helper-test-owner"],
      ["list", "watch"],
      ["rbac.authorization.k8s.io"],
    ),
  ];

  it("allows nothing but the stack's marker and owners in the whole cluster if all namespaces are listed by name", () => {
    for (const [resource, name] of [
      ["ecr-helper", "ecr-helper-test"],
      ["ecr-helper-owner", "ecr-helper-test-owner"],
    ] as const) {
      const { inputs } = find(`${rbac}:ClusterRole`, resource);
      assert.deepEqual([inputs["metadata"], inputs["rules"]], [{ name }, ownerRules]);
      const binding = find(`${rbac}:ClusterRoleBinding`, resource).inputs;
      assert.deepEqual([binding["roleRef"], binding["subjects"]], [roleRef("ClusterRole", name), subjects]);
    }
    const { metadata, rules } = find(`${rbac}:ClusterRole`, "ecr-helper-stack").inputs;
    assert.deepEqual([metadata, rules], [{ name: "ecr-helper-test-stack" }, undefined]);
    assert.equal(container?.env.find(({ name }) => name === "ECR_HELPER_OWNER_NAME")?.value, "ecr-helper-test");
  });

  it("allows the same objects by name everywhere, and watching namespaces, with patterns or a selector", async () => {
    for (const targets of [
      { buildNamespaces: '["team-*","default"]' },
      { buildNamespaces: "[]", namespaceSelector: "team" },
    ]) {
      const program = await runProgram({ ...cluster, ...targets });
      const watchNamespaces = { apiGroups: [""], resources: ["namespaces"], verbs: ["list", "watch"] };
      assert.deepEqual(program.find(`${rbac}:ClusterRole`, `${roles}-everywhere`).inputs["rules"], [
        ...builds(),
        recordEvents,
        watchNamespaces,
      ]);
      const binding = program.find(`${rbac}:ClusterRoleBinding`, `${roles}-everywhere`).inputs;
      assert.deepEqual(
        [binding["roleRef"], binding["subjects"]],
        [roleRef("ClusterRole", nameOf(program.find(`${rbac}:ClusterRole`, `${roles}-everywhere`))), subjects],
      );
      assert.match(
        nameOf(program.find(`${rbac}:ClusterRole`, `${roles}-everywhere`)),
        /^ecr-helper-test-[0-9a-f]{8}-everywhere$/,
      );
      assert.deepEqual(program.find(`${rbac}:ClusterRole`, "ecr-helper").inputs["rules"], ownerRules);
      const names = program.resources.filter(({ type }) => type.endsWith(":Role")).map(({ name }) => name);
      assert.deepEqual(names, [roles], "no Role in any build namespace");
    }
  });

  const data = { a: "${auth}" };
  const furtherSecrets = JSON.stringify([
    { name: "all", data },
    { name: "some", data, namespaces: ["team-a"] },
  ]);

  it("allows a further secret in its namespaces only, and not in its own namespace", async () => {
    const buildNamespaces = '["team-a","team-b"]';
    const { resources: all } = await runProgram({ ...cluster, buildNamespaces, secrets: furtherSecrets });
    const namesIn = (namespace: string): unknown => {
      const isThere = ({ type, inputs }: Registered): boolean =>
        type === `${rbac}:Role` && (inputs["metadata"] as { namespace: string }).namespace === namespace;
      const { rules } = all.find(isThere)?.inputs as { rules: { resources: string[]; resourceNames: string[] }[] };
      return rules.filter(({ resources }) => resources[0] === "secrets").map(({ resourceNames }) => resourceNames);
    };
    const both = ["ecr-creds", "ecr-creds-pull"];
    assert.deepEqual(namesIn("team-a"), [[...both, "all", "some"]]);
    assert.deepEqual(namesIn("team-b"), [[...both, "all"]]);
    assert.deepEqual(namesIn("ecr-helper"), [["ecr-creds-pull"], ["ecr-creds-pull"]]);
    const own = await runProgram({
      ...cluster,
      buildNamespaces: '["ecr-helper"]',
      secrets: furtherSecrets.replace("team-a", "*"),
    });
    const { rules } = own.find(`${rbac}:Role`).inputs as { rules: { resourceNames?: string[] }[] };
    assert.deepEqual(rules[0]?.resourceNames, [...both, "all", "some"]);
    assert.deepEqual(rules[2]?.resourceNames, ["ecr-creds-pull"], "to read none of them");
    const pattern = await runProgram({ ...cluster, buildNamespaces: '["team-*"]', secrets: furtherSecrets });
    const everywhere = pattern.resources.find(({ name }) => name.endsWith("-everywhere"))
      ?.inputs as (typeof rules)[0] & { rules: typeof rules };
    assert.deepEqual(everywhere.rules[0]?.resourceNames, [...both, "all", "some"]);
  });

  it("has another Role for other names, so that the old helper can still clean up its objects", async () => {
    const nameFor = async (config: Record<string, string>): Promise<string> => {
      const { resources: all } = await runProgram({ ...cluster, ...config });
      const role = all.find(({ type, name }) => type === `${rbac}:Role` && name.endsWith("-default"));
      assert.ok(role !== undefined);
      const hash = nameOf(role).replace("ecr-helper-test-", "");
      assert.equal(role.name, `ecr-helper-${hash}-default`, "another resource, which is deleted after a rollout only");
      return hash;
    };
    const usual = await nameFor({});
    for (const config of [
      { pullSecret: "pulls" },
      { basicAuthSecret: "logins" },
      { serviceAccounts: '["builders"]' },
      { serviceAccounts: '["builder-sa","default"]' },
      { registries: '["444455556666.dkr.ecr.us-east-1.amazonaws.com"]' },
      { secrets: furtherSecrets.replace("team-a", "default") },
    ]) {
      assert.notEqual(await nameFor(config), usual);
    }
    const one = { secrets: JSON.stringify([{ name: "a", data }]) };
    const elsewhere = { secrets: JSON.stringify([{ name: "a", data, namespaces: ["default"] }]) };
    assert.notEqual(
      await nameFor(one),
      await nameFor(elsewhere),
      "the last helper removes it where it is not kept any more",
    );
    const relabelled = { secrets: JSON.stringify([{ name: "a", data, labels: { a: "b" } }]) };
    assert.equal(await nameFor(relabelled), await nameFor(one));
    assert.equal(await nameFor({ logLevel: "debug", buildNamespaces: '["default","team"]' }), usual);
  });

  it("allows to read and extend all service accounts with patterns or a selector of these, and to make and delete those that are named", async () => {
    const serviceAccounts = {
      apiGroups: [""],
      resources: ["serviceaccounts"],
      verbs: ["get", "list", "watch", "patch"],
    };
    const secrets = builds().slice(0, 1);
    const made = rule("serviceaccounts", ["builder-sa", "default"], ["create", "delete"]);
    for (const [accounts, more] of [
      [{ serviceAccounts: '["builder-sa","default","ci-*"]' }, [made]],
      [{ serviceAccounts: '["builder-sa","default"]', serviceAccountSelector: "pulls" }, [made]],
      [{ serviceAccounts: "[]", serviceAccountSelector: "pulls" }, []],
    ] as const) {
      const named = await runProgram({ ...cluster, ...accounts });
      const role = named.resources.find(({ type, name }) => type === `${rbac}:Role` && name.endsWith("-default"));
      assert.deepEqual(role?.inputs["rules"], [...secrets, serviceAccounts, ...more, recordEvents]);
      const clusterWide = named.resources.filter(({ type }) => type === `${rbac}:ClusterRole`);
      assert.ok(!JSON.stringify(clusterWide).includes("serviceaccounts"), "only in the namespaces that are named");
      const { resources: all } = await runProgram({ ...cluster, ...accounts, buildNamespaces: '["team-*"]' });
      const everywhere = all.find(({ name }) => name.endsWith("-everywhere"))?.inputs["rules"] as object[];
      assert.deepEqual(everywhere.slice(0, -2), [...secrets, serviceAccounts, ...more]);
    }
  });

  it("has the same Role for other patterns, or another selector, of service accounts: it allows the same", async () => {
    const nameFor = async (config: Record<string, string>): Promise<string> => {
      const { resources: all } = await runProgram({ ...cluster, ...config });
      return all.find(({ type }) => type === `${rbac}:Role`)?.name ?? assert.fail();
    };
    const names: string[] = [];
    for (const one of [
      { serviceAccounts: '["builder-sa","ci-*"]' },
      { serviceAccounts: '["x?","builder-sa"]' },
      { serviceAccountSelector: "a" },
      { serviceAccountSelector: "b" },
    ])
      names.push(await nameFor(one));
    assert.equal(new Set(names).size, 1);
    assert.notEqual(names[0], await nameFor({}));
    assert.notEqual(names[0], await nameFor({ serviceAccounts: '["ci-*"]' }));
  });

  it("has no Role in an excluded namespace", async () => {
    const targets = { buildNamespaces: '["team-a","team-b"]', excludeNamespaces: '["*-b"]' };
    const { resources: all } = await runProgram({ ...cluster, ...targets });
    const names = all.filter(({ type }) => type.endsWith(":Role")).map(({ name }) => name);
    assert.deepEqual(names.sort(), [roles, `${roles}-team-a`]);
  });

  it("has a single Role if builds run in its own namespace", async () => {
    const program = await runProgram({ ...cluster, buildNamespaces: '["ecr-helper"]' });
    const { inputs } = program.find(`${rbac}:Role`);
    assert.deepEqual(inputs["rules"], [...builds(), ...own]);
  });

  it("creates the objects in the helper's namespace after the namespace", async () => {
    for (const buildNamespaces of ['["ecr-helper"]', '["default"]']) {
      const { resources: all } = await runProgram({ ...cluster, buildNamespaces });
      const made = all.findIndex(({ type }) => type.endsWith(":Namespace"));
      const inside = all.filter(
        ({ inputs }) => (inputs["metadata"] as { namespace?: string } | undefined)?.namespace === "ecr-helper",
      );
      assert.ok(inside.length >= 6);
      for (const resource of inside) assert.ok(all.indexOf(resource) > made, `${resource.type} ${resource.name}`);
    }
  });
});
