// The stack's policies must select the same build namespaces as the helper does.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import fc from "fast-check";
import { createKubeClient } from "../../helper/kube/client.ts";
import type { Kube } from "../../helper/kube/types.ts";
import type { Labels } from "../../helper/shared/label-selector.ts";
import { newServiceAccount } from "../../helper/resources/service-account.ts";
import { createMatcher, isDynamic, type NamespaceRules } from "../../helper/shared/namespace-rules.ts";
import { readKubeconfig } from "../local/kubeconfig.ts";
import { startDisposableCluster, type DisposableCluster } from "../support/disposable-cluster.ts";
import { apply, secretNamed } from "./attacks.ts";
import { denialMessage, waitForPolicy } from "../support/policy-enforcement.ts";
import { makePolicyStack, grantSecretRights, type PolicyStack } from "./policy-stack.ts";
import { accountPath, secretPath } from "../support/kept-objects.ts";

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

/** Rules for special cases. */
const special: readonly Omit<NamespaceRules, "namespace">[] = [
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

describe("the policies select the same namespaces as the helper", () => {
  let disposable: DisposableCluster;
  let admin: Kube;
  const stacks: PolicyStack[] = [];
  const labelsOf = new Map<string, Labels>();

  const makeStack = async (rules: Omit<NamespaceRules, "namespace">, index: number): Promise<PolicyStack> =>
    makePolicyStack(admin, readKubeconfig(disposable.kubeconfig), `stack-${id}-${String(index)}`, {
      ECR_HELPER_BUILD_NAMESPACES: rules.buildNamespaces.join(","),
      ECR_HELPER_EXCLUDE_NAMESPACES: rules.excludeNamespaces.join(","),
      ECR_HELPER_NAMESPACE_SELECTOR: rules.namespaceSelector,
    });

  before(async () => {
    disposable = await startDisposableCluster();
    admin = createKubeClient(readKubeconfig(disposable.kubeconfig));
    await grantSecretRights(admin, id);
    for (const [name, labels] of Object.entries(namespaces)) {
      await admin({ method: "POST", path: "/api/v1/namespaces", body: { metadata: { name, labels } } });
    }
    const all = [...special, ...fc.sample(arbitraryRules, 25)];
    for (const [index, one] of all.entries()) stacks.push(await makeStack(one, index));
    for (const { config, cluster } of stacks) await waitForPolicy(cluster, config.namespace, "ecr-creds-pull");
    const { items } = await admin<{ items: { metadata: { name: string; labels: Labels } }[] }>({
      method: "GET",
      path: "/api/v1/namespaces",
    });
    for (const { metadata } of items) {
      const isStack = metadata.name.startsWith("stack-");
      if (!isStack || metadata.name.endsWith("-0")) labelsOf.set(metadata.name, metadata.labels);
    }
  });

  after(async () => disposable.remove());

  const described = ({ buildNamespaces, excludeNamespaces, namespaceSelector }: NamespaceRules): string =>
    JSON.stringify([buildNamespaces, excludeNamespaces, namespaceSelector]);

  it("for secrets, and always its own namespace", async () => {
    let [allowed, denied] = [0, 0];
    for (const { config, cluster } of stacks) {
      const [matches, secret] = [createMatcher(config), secretNamed(config, "ecr-creds")];
      for (const [name, labels] of labelsOf) {
        const denial = await denialMessage(cluster, apply(secretPath(name, "ecr-creds"), secret));
        const isIncluded = name === config.namespace || matches(name, labels);
        assert.equal(denial === "", isIncluded, `${name} ${described(config)}: ${denial}`);
        if (isIncluded) allowed++;
        else denied++;
      }
    }
    assert.ok(allowed > 100 && denied > 100, `${String(allowed)} allowed, ${String(denied)} denied`);
    assert.ok(reserved.every((name) => labelsOf.has(name)) && stacks.some(({ config }) => isDynamic(config)));
  });

  it("for service accounts", async () => {
    for (const { config, cluster } of stacks) {
      const matches = createMatcher(config);
      const account = newServiceAccount(
        config,
        "builder-sa",
        { secrets: ["ecr-creds"], imagePullSecrets: ["ecr-creds-pull"] },
        [],
      );
      for (const [name, labels] of labelsOf) {
        const denial = await denialMessage(cluster, apply(accountPath(name), account));
        assert.equal(denial === "", matches(name, labels), `${name} ${described(config)}: ${denial}`);
      }
    }
  });
});
