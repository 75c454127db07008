import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { cluster, type DeploymentInputs } from "../support/example-stack.ts";
import { mistakesOf } from "../support/config-error.ts";
import { runProgram } from "../support/program.ts";

type Given = Readonly<Record<string, string | readonly string[]>>;

async function deploymentOf(given: Given): Promise<DeploymentInputs> {
  const texts = Object.entries(given).map(([key, value]) => [
    key,
    typeof value === "string" ? value : JSON.stringify(value),
  ]);
  const program = await runProgram({ ...cluster, ...(Object.fromEntries(texts) as Record<string, string>) });
  return program.find("kubernetes:apps/v1:Deployment").inputs as unknown as DeploymentInputs;
}
const specOf = async (given: Given): Promise<DeploymentInputs["spec"]["template"]["spec"]> =>
  (await deploymentOf(given)).spec.template.spec;
const resourcesOf = async (given: Given): Promise<object | undefined> => (await specOf(given)).containers[0]?.resources;

/** Asserts that each entry of a list is refused, with what is expected instead. */
function assertRefused(key: string, entries: Readonly<Record<string, string>>, among: readonly string[] = []): void {
  for (const [entry, expected] of Object.entries(entries)) {
    const [mistake = "", ...others] = mistakesOf({ [key]: [...among, entry] });
    const start = `ecr-helper:${key} = ${JSON.stringify(entry)}: expected ${expected}`;
    assert.ok(mistake.startsWith(start), `${start} in ${mistake}`);
    assert.deepEqual(others, []);
  }
}

describe("the nodes of the helper's pod", () => {
  it("follow the platform of the image", async () => {
    for (const arch of ["amd64", "arm64"]) {
      const { nodeSelector } = await specOf({ platform: `linux/${arch}` });
      assert.deepEqual(nodeSelector, { "kubernetes.io/os": "linux", "kubernetes.io/arch": arch });
    }
  });

  it("have the labels of nodeSelector, too", async () => {
    const { nodeSelector } = await specOf({ nodeSelector: ["pool=builds", "example.com/spot="] });
    const platform = { "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64" };
    assert.deepEqual(nodeSelector, { pool: "builds", "example.com/spot": "", ...platform });
    const form = "KEY=VALUE, a label as Kubernetes has it";
    assertRefused("nodeSelector", { pool: form, "=builds": form, "pool=a b": form, "a/b/c=d": form });
    const follows = "no label that follows platform: set that key instead";
    assertRefused("nodeSelector", { "kubernetes.io/arch=arm64": follows, "kubernetes.io/os=windows": follows });
    assertRefused("nodeSelector", { "pool=other": "each KEY once" }, ["pool=builds"]);
  });

  it("may have taints, beside those of a lost node", async () => {
    const given = ["pool", "pool:NoSchedule", "example.com/pool=builds", "pool=builds:NoExecute"];
    const { tolerations } = await specOf({ tolerations: given });
    assert.deepEqual(tolerations.slice(2), [
      { key: "pool", operator: "Exists" },
      { key: "pool", operator: "Exists", effect: "NoSchedule" },
      { key: "example.com/pool", operator: "Equal", value: "builds" },
      { key: "pool", operator: "Equal", value: "builds", effect: "NoExecute" },
    ]);
    const form = "KEY[=VALUE][:EFFECT], a taint as kubectl has it: ";
    assertRefused("tolerations", { "pool:Never": form, ":NoSchedule": form, "pool=:NoSchedule": form, "a b": form });
  });

  it("may be made free by a PriorityClass", async () => {
    assert.equal((await specOf({ priorityClassName: "builds.high" })).priorityClassName, "builds.high");
    assert.equal((await specOf({})).priorityClassName, undefined);
  });
});

describe("the labels of the helper's pod", () => {
  it("are those of podLabels, and never replace those by which it is selected", async () => {
    const { labels } = (await deploymentOf({ podLabels: ["team=builds", "example.com/empty="] })).spec.template
      .metadata;
    assert.deepEqual(labels, { team: "builds", "example.com/empty": "", "app.kubernetes.io/name": "ecr-helper" });
    assertRefused("podLabels", {
      "app.kubernetes.io/name=other": "another KEY: the Deployment and the NetworkPolicy select the pod by this one",
      "pod-template-hash=1": "another KEY: Kubernetes sets this one in each rollout",
      team: "KEY=VALUE, a label as Kubernetes has it",
    });
    assertRefused("podLabels", { "team=b": "each KEY once" }, ["team=a"]);
  });
});

describe("the annotations of the helper's pod", () => {
  it("have those of podAnnotations, beside those of the stack", async () => {
    const annotationsOf = async (given: Given): Promise<object> =>
      (await deploymentOf(given)).spec.template.metadata.annotations;
    const own = await annotationsOf({});
    const given = { "sidecar.istio.io/inject": "false", "example.com/note": "a = b", "example.com/empty": "" };
    const podAnnotations = Object.entries(given).map(([key, value]) => `${key}=${value}`);
    assert.deepEqual(await annotationsOf({ podAnnotations }), { ...given, ...own });
    const ofStack = "another KEY: the stack sets this one";
    assertRefused("podAnnotations", {
      "ecr-helper/first-pull=x": ofStack,
      "prometheus.io/scrape=false": ofStack,
      "iam.amazonaws.com/role=x": "another KEY: identity kube2iam sets this one",
      "a b=c": "KEY=VALUE, an annotation as Kubernetes has it",
      note: "KEY=VALUE, an annotation as Kubernetes has it",
    });
    assertRefused("podAnnotations", { "note=b": "each KEY once" }, ["note=a"]);
  });
});

describe("the resources of the helper's container", () => {
  it("are the defaults, and memory for each namespace that is listed by name", async () => {
    const requests = { cpu: "10m", memory: "64Mi" };
    assert.deepEqual(await resourcesOf({}), { requests, limits: { memory: "161Mi" } });
    const many = Array.from({ length: 864 }, (_, index) => `team-${String(index)}`);
    assert.deepEqual(await resourcesOf({ buildNamespaces: many }), { requests, limits: { memory: "1Gi" } });
    assert.deepEqual(await resourcesOf({ buildNamespaces: ["team-*"] }), { requests, limits: { memory: "160Mi" } });
  });

  it("have memory for three tokens each beyond the tenth", async () => {
    const roles = Array.from({ length: 14 }, (_, index) => ({
      ...{ host: `${String(100_000_000_000 + index)}.dkr.ecr.eu-central-1.amazonaws.com` },
      roleArn: `arn:aws:iam::${String(100_000_000_000 + index)}:role/pulls`,
    }));
    const requests = { cpu: "10m", memory: "64Mi" };
    for (const [count, memory] of [
      [9, "161Mi"],
      [10, "162Mi"],
      [12, "162Mi"],
      [13, "163Mi"],
    ] as const)
      assert.deepEqual(await resourcesOf({ registries: JSON.stringify(roles.slice(0, count)) }), {
        requests,
        limits: { memory },
      });
  });

  it("are replaced one by one, in the form in which the API server writes them", async () => {
    assert.deepEqual(await resourcesOf({ resources: ["limits.cpu=500m"] }), {
      requests: { cpu: "10m", memory: "64Mi" },
      limits: { cpu: "500m", memory: "161Mi" },
    });
    const all = ["requests.cpu=2000m", "requests.memory=1024Mi", "limits.cpu=2", "limits.memory=1Gi"];
    const [requests, limits] = [
      { cpu: "2", memory: "1Gi" },
      { cpu: "2", memory: "1Gi" },
    ];
    assert.deepEqual(await resourcesOf({ resources: all }), { requests, limits });
  });

  it("are refused where the helper or Kubernetes could do nothing with them", () => {
    const form = "requests.cpu, requests.memory, limits.cpu or limits.memory with an amount: ";
    const wrong = [
      "cpu=1",
      "limits.cpu=0",
      "limits.cpu=0.5",
      "limits.cpu=1Mi",
      "limits.memory=200M",
      "limits.memory=1",
    ];
    assertRefused("resources", Object.fromEntries(wrong.map((one) => [one, form])));
    assertRefused("resources", {
      "limits.memory=160Mi": "limits.memory=161Mi or more, which the helper needs",
      "limits.cpu=99m": "limits.cpu=100m or more, which the helper needs",
      "requests.memory=162Mi": "at most limits.memory, 161Mi, or a higher limits.memory too",
    });
    const tooMuch = { "requests.cpu=501m": "at most limits.cpu, 500m, or a higher limits.cpu too" };
    assertRefused("resources", tooMuch, ["limits.cpu=500m"]);
    assertRefused("resources", { "limits.cpu=1": "limits.cpu once" }, ["limits.cpu=2"]);
  });
});

describe("the user of the helper's process", () => {
  const others = { runAsNonRoot: true, seccompProfile: { type: "RuntimeDefault" } };

  it("is the configured one, or left to the cluster", async () => {
    const user = { runAsUser: 1000660000, runAsGroup: 1000660000 };
    assert.deepEqual((await specOf({ runAsUser: "1000660000" })).securityContext, { ...others, ...user });
    assert.deepEqual((await specOf({ runAsUser: "cluster" })).securityContext, others);
  });

  it("is neither root nor anything but a number", () => {
    for (const runAsUser of ["0", "-1", "2147483648", "root", "01", "1e3", ""]) {
      const [mistake, ...more] = mistakesOf({ runAsUser });
      const expected = `"${runAsUser}": expected a user id from 1 to 2147483647, or cluster where the cluster gives`;
      assert.ok(mistake?.startsWith(`ecr-helper:runAsUser = ${expected}`), mistake);
      assert.deepEqual(more, []);
    }
  });
});

describe("the time for a rollout", () => {
  it("is that of the Deployment and of Pulumi", async () => {
    const { metadata, spec } = await deploymentOf({ rolloutTimeout: "600" });
    assert.deepEqual([metadata.annotations["pulumi.com/timeoutSeconds"], spec.progressDeadlineSeconds], ["600", 600]);
    for (const rolloutTimeout of ["9", "3601", "3m", "1.5"]) {
      const expected = `ecr-helper:rolloutTimeout = "${rolloutTimeout}": expected whole seconds from 10 to 3600`;
      assert.deepEqual(mistakesOf({ rolloutTimeout }), [expected]);
    }
  });
});
