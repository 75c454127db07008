// Changes every key of the configuration that a running stack can change, while a build namespace pulls all the time.
// identities.test.ts changes the identities, stack.test.ts the access key.
/* eslint-disable max-lines -- One stack goes through these states in order; a second set-up takes 15 to 25 seconds. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { after, before, describe, it } from "node:test";
import { CreateRepositoryCommand, DeleteRepositoryCommand, ECRClient } from "@aws-sdk/client-ecr";
import { parse } from "yaml";
import { createKubeClient } from "../../helper/kube/client.ts";
import { cloudEnvironment } from "../local/cloud.ts";
import { docker } from "../local/docker.ts";
import { readKubeconfig } from "../local/kubeconfig.ts";
import { firstNode } from "../local/node-settings.ts";
import { rootCredentials } from "../local/root-key.ts";
import { account, aws, kubeconfig, ports } from "../local/settings.ts";
import { makeCertificate } from "../support/certificate.ts";
import { passwordFor, RegistryClient } from "../support/registry-client.ts";
import { pullPassword, pullUntil } from "./pulls.ts";
import { changesOf, makeCheckout, noChanges, type CommandResult } from "../support/commands.ts";

const id = randomBytes(3).toString("hex");
const stack = `ch-${id}`;
const build = `build-${id}`;
const { start, command, remove } = await makeCheckout(stack);
const { cert } = await makeCertificate("proxy.invalid");

interface Change {
  readonly settings: readonly string[];
  /** The engine's changes, in any order. */
  readonly changes: readonly string[];
}

const keysOf = (settings: readonly string[]): string[] => settings.map((setting) => setting.split("=")[0] ?? "");
const onlyThePod = ["updated Deployment ecr-helper"];
/** The roles' names contain those of the objects, so that new names mean new roles, which come before the rollout. */
const otherRights = ["Role", "RoleBinding"].flatMap((type) =>
  ["ecr-helper", `ecr-helper-${build}`].flatMap((name) => [`created ${type} ${name}`, `deleted ${type} ${name}`]),
);
/** A change without the hash in the name of a role, or of the secret for the first pull. */
const withoutHash = (change: string): string =>
  change.replace(/( (?:Role|RoleBinding|Secret|SecretPatch) ecr-helper(?:-image)?)-[0-9a-f]{8}\b/, "$1");

const ofPolicies = (what: string, type = "ValidatingAdmissionPolicy"): string[] =>
  ["secrets", "serviceaccounts"].map((resource) => `${what} ${type} ecr-helper-${resource}`);
const policies = (what: string): string[] => ofPolicies(what);
const policiesAndBindings = (what: string): string[] => [
  ...policies(what),
  ...ofPolicies(what, "ValidatingAdmissionPolicyBinding"),
];

const podPolicyAndBinding = (what: string): string[] =>
  ["", "Binding"].map((type) => `${what} MutatingAdmissionPolicy${type} ecr-helper-pods`);

/** The service accounts that pull after a change of them; undefined where it changes none. */
function accountsAfter(settings: readonly string[]): string[] | undefined {
  const named = settings.find((one) => one.startsWith("serviceAccounts="))?.replace("serviceAccounts=", "");
  if (named === undefined) return undefined;
  const byName = (JSON.parse(named) as string[]).map((one) => (one === "ci-*" ? "ci-1" : one));
  return [...byName, ...(settings.includes("serviceAccountSelector=pulls=yes") ? ["plain"] : [])].sort();
}

/** The names of the further secrets after settings. */
function furtherNames(settings: readonly string[], before: readonly string[]): readonly string[] {
  const json = settings.find((one) => one.startsWith("secrets="))?.replace("secrets=", "");
  return json === undefined ? before : (JSON.parse(json) as { name: string }[]).map(({ name }) => name);
}

/** Applied one after the other and kept. Keys that change the same resources are changed together. */
const changes: readonly Change[] = [
  {
    settings: [
      "logLevel=debug",
      "logFormat=json",
      'excludeNamespaces=["x-*"]',
      "stsEndpointUrl=https://sts.example",
      // The proxy does not exist: all that follows is asked directly.
      "proxy=http://proxy.invalid:3128",
      `noProxy=["${ports.gateway.address}"]`,
      `caBundle=${cert}`,
      "networkPolicy=all",
      'monitoringNamespaces=["monitoring"]',
      "replicas=2",
      `nodeSelector=["kubernetes.io/hostname=${firstNode.name}"]`,
      'tolerations=["pool=builds:NoSchedule"]',
      "priorityClassName=system-cluster-critical",
      'podLabels=["team=builds"]',
      'podAnnotations=["sidecar.istio.io/inject=false"]',
      'resources=["limits.cpu=1"]',
      "runAsUser=1000660000",
      "rolloutTimeout=240",
      "podAdmission=v1beta1",
    ],
    changes: [
      ...podPolicyAndBinding("created"),
      ...onlyThePod,
      ...policies("updated"),
      "updated NetworkPolicy ecr-helper",
      "created ConfigMap ecr-helper-ca",
      "created PodDisruptionBudget ecr-helper",
      "updated DeploymentPatch ecr-helper-replicas",
    ],
  },
  {
    settings: [
      'registries=["123456789012.dkr.ecr.eu-west-1.amazonaws.com","public.ecr.aws"]',
      "basicAuthSecret=logins",
      'serviceAccounts=["builders","default"]',
      `secrets=${JSON.stringify([
        { name: "kpack", form: "kpack" },
        { name: "flux", form: "flux", namespaces: ["build-*"] },
      ])}`,
      "caBundle=",
      "networkPolicy=none",
      "monitoringNamespaces=[]",
      "replicas=1",
    ],
    changes: [
      ...onlyThePod,
      ...otherRights,
      ...policies("updated"),
      `updated Policy ${stack}`,
      "deleted NetworkPolicy ecr-helper",
      "deleted ConfigMap ecr-helper-ca",
      "deleted PodDisruptionBudget ecr-helper",
      "updated DeploymentPatch ecr-helper-replicas",
    ],
  },
  {
    settings: [
      "pullSecret=pulls",
      'serviceAccounts=["default"]',
      // Of another type, with another login, and one secret less.
      `secrets=${JSON.stringify([{ name: "kpack", form: "kaniko", login: "pull", labels: { team: "a" } }])}`,
    ],
    changes: [
      "updated MutatingAdmissionPolicy ecr-helper-pods",
      ...onlyThePod,
      ...otherRights,
      ...policies("updated"),
      // The next helper's image is pulled by the login of who runs this: it keeps none under the new name yet.
      ...["Secret ecr-helper-image", "SecretPatch ecr-helper-image-emptied"].flatMap((what) => [
        `created ${what}`,
        `deleted ${what}`,
      ]),
    ],
  },
  {
    settings: [
      'tags=["team=builds"]',
      "permissionsBoundary=arn:aws:iam::aws:policy/PowerUserAccess",
      'repositoryPrincipals=["*"]',
      "forceDelete=false",
      "admissionPolicy=false",
      "podAdmission=none",
    ],
    changes: [
      ...podPolicyAndBinding("deleted"),
      ...policiesAndBindings("deleted"),
      `updated Policy ${stack}`,
      `updated Repository ${stack}`,
      `updated RepositoryPolicy ${stack}`,
      `updated User ${stack}`,
    ],
  },
  {
    settings: [
      `pullRepositories=["${stack}-*","${stack}/*"]`,
      `pushRepositories=["${stack}/*"]`,
      // The role that pushes is assumed there.
      "stsEndpointUrl=",
      `pullThroughCache=["${stack}/hub/*"]`,
      "tagMutability=IMMUTABLE",
      "scanOnPush=false",
      "admissionPolicy=true",
      'serviceAccounts=["default","ci-*"]',
    ],
    changes: [
      ...onlyThePod,
      ...otherRights,
      ...policiesAndBindings("created"),
      `created Policy ${stack}-push`,
      `created Role ${stack}-push`,
      `created RolePolicyAttachment ${stack}-push-${stack}-push`,
      `updated Policy ${stack}`,
      `updated Repository ${stack}`,
    ],
  },
  {
    // Another name of the same content: its digest is the same, and so is the pod.
    settings: ["forceDelete=true", `baseImage=ecr-helper-base:${id}`],
    changes: [`updated Repository ${stack}`, "updated Image ecr-helper"],
  },
  {
    settings: [`policyName=${stack}-b`],
    changes: [
      `created Policy ${stack}-b`,
      `created UserPolicyAttachment ${stack}-${stack}-b`,
      `created Policy ${stack}-b-push`,
      `created RolePolicyAttachment ${stack}-push-${stack}-b-push`,
      `deleted Policy ${stack}`,
      `deleted Policy ${stack}-push`,
      `deleted RolePolicyAttachment ${stack}-push-${stack}-push`,
      `deleted UserPolicyAttachment ${stack}-${stack}`,
    ],
  },
  {
    settings: [`userName=${stack}-b`],
    changes: [
      ...onlyThePod,
      `created User ${stack}-b`,
      `created UserPolicyAttachment ${stack}-b-${stack}-b`,
      "created replacement AccessKey ecr-helper-1",
      "deleted original AccessKey ecr-helper-1",
      `deleted User ${stack}`,
      `deleted UserPolicyAttachment ${stack}-${stack}-b`,
      "replaced AccessKey ecr-helper-1",
      `updated Role ${stack}-push`,
      "updated Secret ecr-helper",
    ],
  },
  {
    settings: [`repositoryName=${stack}-b`, "encryption=KMS"],
    changes: [
      ...onlyThePod,
      ...["Repository", "RepositoryPolicy", "LifecyclePolicy"].flatMap((type) => [
        `created ${type} ${stack}-b`,
        `deleted ${type} ${stack}`,
      ]),
      "updated Image ecr-helper",
      `updated Policy ${stack}-b`,
      `updated Policy ${stack}-b-push`,
    ],
  },
  {
    settings: ["pushRepositories=[]", 'serviceAccounts=["default"]', "serviceAccountSelector=pulls=yes"],
    changes: [
      ...onlyThePod,
      ...otherRights,
      `deleted Policy ${stack}-b-push`,
      `deleted Role ${stack}-push`,
      `deleted RolePolicyAttachment ${stack}-push-${stack}-b-push`,
      `updated Policy ${stack}-b`,
    ],
  },
];

/** Keys that another test changes, or that the local cloud cannot change: each with the test, or the reason. */
const elsewhere: Readonly<Record<string, string>> = {
  identity: "identities.test.ts",
  roleName: "identities.test.ts",
  oidcIssuer: "a change of identity irsa: identities.test.ts",
  oidcProviderArn: "a change of identity irsa: identities.test.ts",
  createOidcProvider: "identities.test.ts",
  trustedPrincipals: "identities.test.ts",
  kubeconfig: "identities.test.ts",
  context: "identities.test.ts",
  eksCluster: "identities.test.ts",
  accessKeyGeneration: "stack.test.ts",
  buildNamespaces: "stack.test.ts",
  groups: "teams.test.ts",
  namespaceSelector: "patterns to names and back: stack.test.ts",
  namespace: "below",
  createNamespace: "takes the namespace out of the stack, with all in it: Pulumi.yaml says so",
  path: "makes policy, user or role anew under their names: Pulumi.yaml says so, and the emulator cannot move a user",
  registryHost: "the local registry has one address",
  platform: "this machine has one",
  image: "given-image.test.ts",
  insecureEndpoints: "changes nothing by itself, and the emulator's endpoint is of http",
  awsEndpointUrl: "the emulator has one address that pods reach",
};

describe("a change of the configuration", () => {
  const options = readKubeconfig(kubeconfig);
  const kube = createKubeClient(options);
  const deployment = async (namespace = stack): Promise<{ metadata: { uid: string } }> =>
    kube({ method: "GET", path: `/apis/apps/v1/namespaces/${namespace}/deployments/ecr-helper` });
  let made: CommandResult;
  let [uid, pullSecret, next, image] = ["", "ecr-creds-pull", "ecr-creds-pull", ""];
  const ecr = new ECRClient({ endpoint: aws.AWS_ENDPOINT_URL, credentials: rootCredentials(account) });
  const app = { repositoryName: `${stack}-app` };

  before(async () => {
    Object.assign(process.env, cloudEnvironment());
    await kube({ method: "POST", path: "/api/v1/namespaces", body: { metadata: { name: build } } });
    // The one is included by its name, later, and then no more, when the other one is by its label.
    for (const metadata of [{ name: "ci-1" }, { name: "plain", labels: { pulls: "yes" } }])
      await kube({ method: "POST", path: `/api/v1/namespaces/${build}/serviceaccounts`, body: { metadata } });
    await ecr.send(new CreateRepositoryCommand(app));
    const registry = new RegistryClient(
      ports.registry,
      await passwordFor(rootCredentials(account), { api: ports.gateway }),
    );
    image = `registry/${app.repositoryName}@${await registry.push(app.repositoryName, "1", "an app")}`;
    await docker(["tag", "ecr-helper-base:24", `ecr-helper-base:${id}`]);
    const names = ["namespace", "repositoryName", "policyName", "userName", "roleName"].map((key) => `${key}=${stack}`);
    const settings = [...names, `buildNamespaces=["${build}"]`].flatMap((setting) => ["-c", setting]);
    made = await command("up", ...settings);
    assert.equal(made.code, 0, made.stderr);
    ({ uid } = (await deployment()).metadata);
  });

  after(async () => {
    await command("down");
    await kube({ method: "DELETE", path: `/api/v1/namespaces/${build}` });
    await docker(["rmi", `ecr-helper-base:${id}`]);
    await ecr.send(new DeleteRepositoryCommand({ ...app, force: true }));
    await remove();
  });

  /** By the secret's next name as soon as it is there. */
  const password = async (): Promise<string> =>
    pullPassword(options, build, next).catch(async (error: unknown) => {
      if (next === pullSecret) throw error;
      return pullPassword(options, build, pullSecret);
    });
  const keptIn = async (namespace: string): Promise<string[]> => {
    const selector = encodeURIComponent("app.kubernetes.io/managed-by=ecr-helper");
    const path = `/api/v1/namespaces/${namespace}/secrets?labelSelector=${selector}`;
    const { items } = await kube<{ items: { metadata: { name: string } }[] }>({ method: "GET", path });
    return items.map(({ metadata }) => metadata.name).sort();
  };
  /** The service accounts of the build namespace that pull with a secret. */
  const pulling = async (secret: string): Promise<string[]> => {
    interface Account {
      metadata: { name: string };
      imagePullSecrets?: { name: string }[];
    }
    const path = `/api/v1/namespaces/${build}/serviceaccounts`;
    const { items } = await kube<{ items: Account[] }>({ method: "GET", path });
    const isPulling = ({ imagePullSecrets = [] }: Account): boolean =>
      imagePullSecrets.some(({ name }) => name === secret);
    return items
      .filter(isPulling)
      .map(({ metadata }) => metadata.name)
      .sort();
  };
  let accounts = ["builder-sa"];
  let further: readonly string[] = [];
  let [isRenamed, isPushing] = [false, false];
  const logins = (): string[] => (isRenamed ? ["logins", "logins-eu-west-1", "logins-public"] : ["ecr-creds"]);

  const change = async (settings: readonly string[]): Promise<string[]> => {
    const { ended } = start("up", ...settings.flatMap((setting) => ["-c", setting]));
    const { pulled, refused } = await pullUntil(ended, image, password);
    const { code, stderr } = await ended;
    assert.equal(code, 0, stderr);
    assert.deepEqual(refused, []);
    assert.ok(pulled > 10, String(pulled));
    return changesOf({ stderr }).map(withoutHash);
  };

  for (const { settings, changes: expected } of changes) {
    it(`of ${keysOf(settings).join(", ")} replaces no helper before the next one runs, and no pull fails`, async (t) => {
      next = /^pullSecret=(.*)$/.exec(settings[0] ?? "")?.[1] ?? pullSecret;
      const seen = await change(settings);
      pullSecret = next;
      isRenamed ||= settings.includes("basicAuthSecret=logins");
      assert.deepEqual([...seen].sort(), [...expected].sort());
      assert.equal((await deployment()).metadata.uid, uid);
      // What belonged to the old state goes last, and with it what the last helper kept for it alone.
      further = furtherNames(settings, further);
      assert.deepEqual(await keptIn(build), [...logins(), pullSecret, ...further].sort());
      accounts = accountsAfter(settings) ?? accounts;
      assert.deepEqual(await pulling(pullSecret), accounts);
      const pushing = settings.find((one) => one.startsWith("pushRepositories="));
      if (pushing !== undefined) isPushing = pushing !== "pushRepositories=[]";
      assert.deepEqual(await keptIn(stack), [...(isPushing ? logins() : []), pullSecret].sort());
      const firstGone = seen.findIndex((one) => one.startsWith("deleted "));
      const rolled = seen.indexOf("updated Deployment ecr-helper");
      if (firstGone >= 0) assert.ok(rolled < firstGone, seen.join(", "));
      t.diagnostic(`outcome: ${settings.join(" ")} | ${seen.join(", ")} | no pull failed`);
    });
  }

  it("back to an image that was pushed before fails while tags are immutable, until the remedy in README.md is applied", async () => {
    await change(["tagMutability=IMMUTABLE", "baseImage=ecr-helper-base:24"]);
    const back = `baseImage=ecr-helper-base:${id}`;
    const refused = await command("up", "-c", back);
    assert.equal(refused.code, 1);
    assert.match(refused.stderr, /The image tag '\w+' already exists in the '\S+' repository .* the tag is immutable/);
    const mended = await change([back, "tagMutability=MUTABLE"]);
    assert.deepEqual(mended.sort(), ["updated Image ecr-helper", `updated Repository ${stack}-b`]);
    assert.deepEqual(await change(["tagMutability=IMMUTABLE"]), [`updated Repository ${stack}-b`]);
  });

  it("of namespace creates the helper in the new one before the old one is deleted", async () => {
    const seen = await change([`namespace=${stack}-b`]);
    const rolled = seen.indexOf("created replacement Deployment ecr-helper");
    const ended = seen.indexOf("deleted original Deployment ecr-helper");
    assert.ok(rolled >= 0 && rolled < ended, seen.join(", "));
    assert.ok(await password());
  });

  it("leaves nothing to change in the end", async () => {
    assert.match((await command("up")).stderr, noChanges);
  });

  it("is tested for every key, here or elsewhere", async () => {
    const declared = parse(await readFile("Pulumi.yaml", "utf8")) as { config: Record<string, unknown> };
    const tried = changes.flatMap(({ settings }) => keysOf(settings));
    assert.deepEqual([...new Set([...tried, ...Object.keys(elsewhere)])].sort(), Object.keys(declared.config).sort());
  });
});
