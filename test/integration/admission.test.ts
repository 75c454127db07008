// With the stack's admission policies, a process that has the helper's token can do what the helper does, and no more.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { readConfig, type HelperConfig } from "../../helper/config/helper-config.ts";
import { newServiceAccount } from "../../helper/resources/service-account.ts";
import type { KubeRequest } from "../../helper/kube/types.ts";
import { ownerNames } from "../../helper/shared/ownership.ts";
import { helperEnvironment } from "../support/helper-environment.ts";
import { startDisposableCluster, type DisposableCluster } from "../support/disposable-cluster.ts";
import { apply, attacksBy, merge, secretNamed, type Attack, type Places, stranger } from "./attacks.ts";
import { denialMessage } from "../support/policy-enforcement.ts";
import { exampleOwners } from "../support/owners.ts";
import { accountPath, secretPath } from "../support/kept-objects.ts";
import { makeParts, type Parts, type PartsOptions } from "../support/stack-parts.ts";

const id = randomBytes(3).toString("hex");

/** A stack in the cluster, and its namespaces. */
interface Fixture {
  readonly parts: Parts;
  readonly config: HelperConfig;
  readonly places: Places;
}

const placesOf = (name: string): Places => ({
  kept: `${name}-${id}-kept`,
  shared: `${name}-${id}-shared`,
  foreign: `${name}-${id}-foreign`,
  empty: `${name}-${id}-empty`,
  outside: `${name}-${id}-outside`,
});

/** Creates a stack and its namespaces, and runs its helper until it has written all objects. */
async function createFixture(
  cluster: DisposableCluster,
  name: string,
  byPattern: boolean,
  config: PartsOptions["config"] = {},
): Promise<Fixture> {
  const places = placesOf(name);
  const { kept, shared, foreign, empty, outside } = places;
  const builds = [kept, shared, foreign, empty];
  const options: PartsOptions = { ...cluster, config: { excludeNamespaces: JSON.stringify([outside]), ...config } };
  const parts = await makeParts(byPattern ? [`${name}-${id}-*`] : builds, options);
  for (const one of byPattern ? [...builds, outside] : [outside]) await parts.namespace(one);
  const create = async (namespace: string, collection: string, body: object): Promise<unknown> =>
    parts.admin({ method: "POST", path: `/api/v1/namespaces/${namespace}/${collection}`, body });
  await create(foreign, "secrets", { metadata: { name: "ecr-creds" } });
  const theirs = { labels: { theirs: "yes" }, annotations: { theirs: "yes" } };
  await create(shared, "serviceaccounts", {
    metadata: { name: "builder-sa", ...theirs, ownerReferences: [stranger] },
    secrets: [{ name: "theirs" }],
  });
  const helper = parts.run();
  await helper.line(/the secret will expire/);
  await helper.stop();
  for (const path of [...["ecr-creds", "ecr-creds-pull"].map((one) => secretPath(empty, one)), accountPath(empty)])
    await parts.admin({ method: "DELETE", path });
  return { parts, config: readConfig(parts.env), places };
}

/** Grants the helper a role for further secrets in a namespace, like the role of an earlier configuration. */
async function grant({ admin, env }: Parts, namespace: string, resourceNames: string[]): Promise<void> {
  const path = `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}`;
  const metadata = { name: "old" };
  const rules = [
    { apiGroups: [""], resources: ["secrets"], resourceNames, verbs: ["create", "patch", "update", "delete"] },
  ];
  await admin({ method: "POST", path: `${path}/roles`, body: { metadata, rules } });
  const subjects = [{ kind: "ServiceAccount", name: "ecr-helper", namespace: env["ECR_HELPER_NAMESPACE"] }];
  const roleRef = { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "old" };
  await admin({ method: "POST", path: `${path}/rolebindings`, body: { metadata, roleRef, subjects } });
}

describe("a process with the helper's token", () => {
  let cluster: DisposableCluster;
  const fixtures = new Map<string, Fixture>();
  const fixtureOf = (name: string): Fixture => fixtures.get(name) ?? assert.fail(`there is no fixture ${name}`);

  before(async () => {
    cluster = await startDisposableCluster();
    fixtures.set("patterns", await createFixture(cluster, "patterns", true));
    fixtures.set("names", await createFixture(cluster, "names", false));
    fixtures.set("free", await createFixture(cluster, "free", true, { admissionPolicy: "false" }));
  });

  after(async () => {
    for (const { parts } of fixtures.values()) await parts.removeFromAws();
    await cluster.remove();
  });

  /** The API server's denial of an attack in a fixture; empty if it would allow it. */
  const denialOf = async (name: string, { what }: Attack): Promise<string> => {
    const { parts, config, places } = fixtureOf(name);
    const attack = attacksBy(config, places).find((one) => one.what === what);
    if (attack === undefined) throw new Error(`there is no attack that ${what}`);
    return denialMessage(parts.cluster, attack.call);
  };

  for (const attack of attacksBy(readConfig(helperEnvironment), placesOf("any"))) {
    it(`${attack.what} with the rights for patterns, but not with a policy nor with the rights for names`, async () => {
      assert.equal(await denialOf("free", attack), "");
      assert.match(await denialOf("patterns", attack), attack.refusal);
      assert.match(await denialOf("names", attack), attack.isOutside === true ? /cannot patch/ : attack.refusal);
    });
  }

  it("may own its objects by either of the stack's owners, whatever its uid, and by none where both are gone", async () => {
    const { parts, config, places } = fixtureOf("names");
    const { empty, kept } = places;
    const ownedBy = (...ownerReferences: object[]): KubeRequest[] => {
      const { metadata, ...secret } = secretNamed(config, "ecr-creds");
      return [
        apply(secretPath(empty, "ecr-creds"), { ...secret, metadata: { ...metadata, ownerReferences } }),
        merge(accountPath(kept), { metadata: { ownerReferences } }),
      ];
    };
    const [one, other] = exampleOwners(config).map((owner) => ownedBy(owner));
    for (const call of [one, other, ownedBy(...exampleOwners(config))].flatMap((calls) => calls ?? []))
      assert.equal(await denialMessage(parts.cluster, call), "");
    const [without] = ownedBy() as [KubeRequest];
    const entries = { secrets: ["ecr-creds"], imagePullSecrets: ["ecr-creds-pull"] };
    const account = apply(accountPath(empty), newServiceAccount(config, "builder-sa", entries, []));
    for (const name of ownerNames(config)) {
      assert.match(await denialMessage(parts.cluster, without), /is owned by it/);
      assert.match(await denialMessage(parts.cluster, account), /owned by it/);
      const path = `/apis/rbac.authorization.k8s.io/v1/clusterroles/${name}`;
      await parts.admin({ method: "DELETE", path });
    }
    // The API server takes a moment to know it.
    while ((await denialMessage(parts.cluster, without)) !== "") await new Promise(setImmediate);
    assert.equal(await denialMessage(parts.cluster, account), "");
  });

  it("may use the names of an earlier configuration only while a role grants them", async () => {
    const { parts, places } = fixtureOf("names");
    const { empty } = places;
    const env = { ...parts.env, ECR_HELPER_BASIC_AUTH_SECRET: "old", ECR_HELPER_PULL_SECRET: "old-pull" };
    const old = readConfig(env);
    const login = apply(secretPath(empty, "old"), secretNamed(old, "old"));
    const pull = apply(secretPath(empty, "old-pull"), secretNamed(old, "old-pull"));
    const entries = { secrets: ["old"], imagePullSecrets: ["old-pull"] };
    const account = apply(accountPath(empty), newServiceAccount(old, "builder-sa", entries, exampleOwners(old)));
    for (const call of [login, pull]) assert.match(await denialMessage(parts.cluster, call), /cannot patch/);
    assert.match(await denialMessage(parts.cluster, account), /only add and remove its own secrets/);
    await grant(parts, empty, ["old", "old-pull"]);
    for (const call of [login, pull, account]) assert.equal(await denialMessage(parts.cluster, call), "");
  });
});
