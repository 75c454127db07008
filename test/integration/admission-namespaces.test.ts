// Whether the API server decides by the stack's policies which namespaces are build namespaces as the helper does.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import fc from "fast-check";
import { readConfig, type HelperConfig } from "../../helper/config.ts";
import { connect, type Kube } from "../../helper/kube.ts";
import type { Labels } from "../../helper/label-selector.ts";
import { newServiceAccount } from "../../helper/service-account.ts";
import { createMatcher, isOpenEnded, type TargetRules } from "../../helper/targets.ts";
import { policySpecs } from "../../infra/admission.ts";
import { helperEnvironment } from "../helper-environment.ts";
import type { Cluster } from "../helper-process.ts";
import { readKubeconfig } from "../local/kubeconfig.ts";
import { startOwnCluster, type OwnCluster } from "../own-cluster.ts";
import { apply, secretNamed } from "./attacks.ts";
import { refusalOf, untilEnforced } from "./enforced.ts";
import { accountPath, secretPath } from "./stack-parts.ts";

const id = randomBytes(3).toString("hex");

const namespaces: Readonly<Record<string, Labels>> = {
  team: {},
  "team-a": { team: "a" },
  "team-b": { team: "b", level: "3" },
  "team-ab": { level: "4" },
  "team-a-x": { team: "", level: "x" },
  "a-team": { "example.com/team": "a", level: "007" },
  a: { level: "9223372036854775807" },
  "a-x": { level: "9223372036854775808", team: "a" },
  "kube-dns": { team: "b" },
};
const reserved = ["kube-system", "kube-public", "kube-node-lease", "default"];

/** Rules that have something special about them. */
const special: readonly Omit<TargetRules, "namespace">[] = [
  { buildNamespaces: ["*"], excludeNamespaces: [], namespaceSelector: "" },
  { buildNamespaces: ["*", "kube-system"], excludeNamespaces: ["kube-*e"], namespaceSelector: "" },
  { buildNamespaces: ["kube-*", "team"], excludeNamespaces: [], namespaceSelector: "" },
  { buildNamespaces: ["team", "default"], excludeNamespaces: [], namespaceSelector: "" },
  { buildNamespaces: ["te?m", "?"], excludeNamespaces: [], namespaceSelector: "" },
  { buildNamespaces: ["te*m"], excludeNamespaces: ["*-x", "a"], namespaceSelector: "!x" },
  { buildNamespaces: ["team-a"], excludeNamespaces: ["*"], namespaceSelector: "team" },
  { buildNamespaces: ["none-*"], excludeNamespaces: [], namespaceSelector: "kubernetes.io/metadata.name=team" },
  ...["level>3", "level<4", "level>9223372036854775806", "level>0,level<9223372036854775807", "team=", "team!="].map(
    (namespaceSelector) => ({ buildNamespaces: ["none"], excludeNamespaces: [], namespaceSelector }),
  ),
];

const pattern = fc
  .array(fc.constantFrom("team", "-", "a", "x", "*", "?", "kube"), { minLength: 1, maxLength: 4 })
  .map((all) => all.join("").replace(/^-+|-+$/g, "a"));
const requirement = fc.oneof(
  fc.constantFrom("team", "!team", "level", "!example.com/team", "level>3", "level<8"),
  fc
    .tuple(
      fc.constantFrom("team", "level", "example.com/team"),
      fc.constantFrom("=", "!="),
      fc.constantFrom("a", "b", "3", ""),
    )
    .map((one) => one.join("")),
  fc
    .tuple(fc.constantFrom("in", "notin"), fc.constantFrom("a", "a,b", "a,", "3,x"))
    .map(([word, list]) => `team ${word} (${list})`),
);
const arbitraryRules = fc.record({
  buildNamespaces: fc.uniqueArray(pattern, { minLength: 1, maxLength: 3 }),
  excludeNamespaces: fc.uniqueArray(pattern, { maxLength: 2 }),
  namespaceSelector: fc.array(requirement, { maxLength: 3 }).map((some) => some.join(",")),
});

/** A stack's policies in the cluster, and a helper's token. */
interface Stack {
  readonly config: HelperConfig;
  readonly cluster: Cluster;
}

describe("the policies decide about namespaces as the helper", () => {
  let own: OwnCluster;
  let admin: Kube;
  const stacks: Stack[] = [];
  const labelsOf = new Map<string, Labels>();

  const make = async (path: string, body: object): Promise<void> => void (await admin({ method: "POST", path, body }));

  /** With rights to all secrets and service accounts, so that only the policies decide. */
  const makeStack = async (rules: Omit<TargetRules, "namespace">, index: number): Promise<Stack> => {
    const namespace = `stack-${id}-${String(index)}`;
    await make("/api/v1/namespaces", { metadata: { name: namespace } });
    await make(`/api/v1/namespaces/${namespace}/serviceaccounts`, { metadata: { name: "ecr-helper" } });
    const config = readConfig({
      ...helperEnvironment,
      ECR_HELPER_NAMESPACE: namespace,
      ECR_HELPER_BUILD_NAMESPACES: rules.buildNamespaces.join(","),
      ECR_HELPER_EXCLUDE_NAMESPACES: rules.excludeNamespaces.join(","),
      ECR_HELPER_NAMESPACE_SELECTOR: rules.namespaceSelector,
    });
    const kept = {
      targets: config,
      basicAuthSecrets: ["ecr-creds"],
      pullSecret: "ecr-creds-pull",
      owner: config.owner,
    };
    const specs = policySpecs({ name: "ecr-helper", namespace }, kept);
    const registration = "/apis/admissionregistration.k8s.io/v1";
    for (const resource of ["serviceaccounts", "secrets"] as const) {
      const name = `${namespace}-${resource}`;
      await make(`${registration}/validatingadmissionpolicies`, { metadata: { name }, spec: specs[resource] });
      const spec = { policyName: name, validationActions: ["Deny"] };
      await make(`${registration}/validatingadmissionpolicybindings`, { metadata: { name }, spec });
    }
    const path = `/api/v1/namespaces/${namespace}/serviceaccounts/ecr-helper/token`;
    const { status } = await admin<{ status: { token: string } }>({ method: "POST", path, body: { spec: {} } });
    const { server, ca } = readKubeconfig(own.kubeconfig);
    return { config, cluster: { server, ca, token: status.token } };
  };

  before(async () => {
    own = await startOwnCluster();
    admin = connect(readKubeconfig(own.kubeconfig));
    const rbac = "/apis/rbac.authorization.k8s.io/v1";
    const rules = [{ apiGroups: [""], resources: ["secrets", "serviceaccounts"], verbs: ["*"] }];
    await make(`${rbac}/clusterroles`, { metadata: { name: id }, rules });
    await make(`${rbac}/clusterrolebindings`, {
      metadata: { name: id },
      roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "ClusterRole", name: id },
      subjects: [{ kind: "Group", name: "system:serviceaccounts" }],
    });
    for (const [name, labels] of Object.entries(namespaces)) {
      await make("/api/v1/namespaces", { metadata: { name, labels } });
    }
    const all = [...special, ...fc.sample(arbitraryRules, 25)];
    for (const [index, one] of all.entries()) stacks.push(await makeStack(one, index));
    for (const { config, cluster } of stacks) await untilEnforced(cluster, config.namespace, "ecr-creds-pull");
    const { items } = await admin<{ items: { metadata: { name: string; labels: Labels } }[] }>({
      method: "GET",
      path: "/api/v1/namespaces",
    });
    for (const { metadata } of items) {
      const isStack = metadata.name.startsWith("stack-");
      if (!isStack || metadata.name.endsWith("-0")) labelsOf.set(metadata.name, metadata.labels);
    }
  });

  after(async () => own.end());

  const described = ({ buildNamespaces, excludeNamespaces, namespaceSelector }: TargetRules): string =>
    JSON.stringify([buildNamespaces, excludeNamespaces, namespaceSelector]);

  it("for secrets, and in its own namespace whatever its rules are", async () => {
    let [allowed, refused] = [0, 0];
    for (const { config, cluster } of stacks) {
      const [matches, secret] = [createMatcher(config), secretNamed(config, "ecr-creds")];
      for (const [name, labels] of labelsOf) {
        const refusal = await refusalOf(cluster, apply(secretPath(name, "ecr-creds"), secret));
        const isKept = name === config.namespace || matches(name, labels);
        assert.equal(refusal === "", isKept, `${name} ${described(config)}: ${refusal}`);
        if (isKept) allowed++;
        else refused++;
      }
    }
    assert.ok(allowed > 100 && refused > 100, `${String(allowed)} allowed, ${String(refused)} refused`);
    assert.ok(reserved.every((name) => labelsOf.has(name)) && stacks.some(({ config }) => isOpenEnded(config)));
  });

  it("for service accounts", async () => {
    for (const { config, cluster } of stacks) {
      const matches = createMatcher(config);
      const account = newServiceAccount(config, { secrets: ["ecr-creds"], imagePullSecrets: ["ecr-creds-pull"] });
      for (const [name, labels] of labelsOf) {
        const refusal = await refusalOf(cluster, apply(accountPath(name), account));
        assert.equal(refusal === "", matches(name, labels), `${name} ${described(config)}: ${refusal}`);
      }
    }
  });
});
