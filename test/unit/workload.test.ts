import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseDefinitions } from "../../helper/shared/secret-definition.ts";
import { makeCertificate } from "../support/certificate.ts";
import { cluster, exampleConfig, ownHost, type DeploymentInputs } from "../support/example-stack.ts";
import { runProgram } from "../support/program.ts";

const { find } = await runProgram(exampleConfig);
const deployment = find("kubernetes:apps/v1:Deployment").inputs as unknown as DeploymentInputs;
const pod = deployment.spec.template.spec;
const [container] = pod.containers;

describe("the Deployment", () => {
  it("passes the restricted Pod Security Standard, which its namespace enforces", () => {
    const { metadata } = find("kubernetes:core/v1:Namespace").inputs as { metadata: { name: string; labels: object } };
    const labels = { "pod-security.kubernetes.io/enforce": "restricted" };
    assert.deepEqual(metadata, { name: "ecr-helper", labels, annotations: {} });
    const user = { runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532 };
    assert.deepEqual(pod.securityContext, { ...user, seccompProfile: { type: "RuntimeDefault" } });
    assert.deepEqual(container?.securityContext, {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
    });
  });

  it("has one replica, replaced once the next one is ready, and a limit to how long the rollout is awaited", () => {
    assert.deepEqual(find("kubernetes:apps/v1:DeploymentPatch").inputs["spec"], { replicas: 1 });
    const rollingUpdate = { maxSurge: 1, maxUnavailable: 0 };
    assert.deepEqual(deployment.spec.strategy, { type: "RollingUpdate", rollingUpdate });
    assert.equal(deployment.metadata.annotations["pulumi.com/timeoutSeconds"], "180");
  });

  it("leaves a lost node after half a minute", () => {
    const leaving = { operator: "Exists", effect: "NoExecute", tolerationSeconds: 30 };
    assert.deepEqual(pod.tolerations, [
      { key: "node.kubernetes.io/not-ready", ...leaving },
      { key: "node.kubernetes.io/unreachable", ...leaving },
    ]);
  });

  it("runs as many replicas as are configured, over nodes, and lets one at a time be evicted", async () => {
    const program = await runProgram({ ...cluster, replicas: "2" });
    const { spec } = program.find("kubernetes:apps/v1:Deployment").inputs as unknown as DeploymentInputs;
    assert.ok(!("replicas" in spec), "a rollout is over before they change");
    assert.deepEqual(program.find("kubernetes:apps/v1:DeploymentPatch").inputs["spec"], { replicas: 2 });
    const labels = { matchLabels: { "app.kubernetes.io/name": "ecr-helper" } };
    assert.deepEqual(spec.template.spec.topologySpreadConstraints, [
      {
        maxSkew: 1,
        topologyKey: "kubernetes.io/hostname",
        whenUnsatisfiable: "ScheduleAnyway",
        labelSelector: labels,
        matchLabelKeys: ["pod-template-hash"],
      },
    ]);
    const budget = program.find("kubernetes:policy/v1:PodDisruptionBudget").inputs;
    const { name, namespace } = budget["metadata"] as Record<string, string>;
    assert.deepEqual([name, namespace], ["ecr-helper", "ecr-helper"]);
    assert.deepEqual(budget["spec"], {
      maxUnavailable: 1,
      selector: labels,
      unhealthyPodEvictionPolicy: "AlwaysAllow",
    });
  });

  it("has no PodDisruptionBudget for one replica, and the same pod for any number", async () => {
    assert.throws(() => find("kubernetes:policy/v1:PodDisruptionBudget"));
    const templateOf = async (replicas: string): Promise<object> => {
      const program = await runProgram({ ...exampleConfig, replicas });
      return (program.find("kubernetes:apps/v1:Deployment").inputs as unknown as DeploymentInputs).spec.template;
    };
    assert.deepEqual(await templateOf("5"), deployment.spec.template);
  });

  it("gives the helper the definitions of further secrets, and their names as an output", async () => {
    const other = { name: "other", data: { a: "$${host} $(AWS_REGION) $$" } };
    const secrets = JSON.stringify([{ name: "flux", form: "flux", namespaces: ["d*"] }, other]);
    const program = await runProgram({ ...cluster, secrets });
    const { spec } = program.find("kubernetes:apps/v1:Deployment").inputs as unknown as DeploymentInputs;
    const value = spec.template.spec.containers[0]?.env.find(({ name }) => name === "ECR_HELPER_SECRETS")?.value;
    assert.doesNotMatch(value ?? "$", /\$/, "Kubernetes changes it in a variable");
    const [flux, { data } = { data: {} }] = parseDefinitions(value ?? "") ?? [];
    assert.deepEqual(data, other.data);
    assert.deepEqual(flux, {
      name: "flux",
      type: "kubernetes.io/dockerconfigjson",
      labels: {},
      annotations: {},
      namespaces: ["d*"],
      registry: "",
      login: "pull",
      data: { ".dockerconfigjson": "${dockerconfig}" },
    });
    assert.deepEqual(program.outputs["secretNames"], ["flux", "other"]);
  });

  it("sets the environment of the helper, with the access key only by reference", () => {
    const env = Object.fromEntries(
      (container?.env ?? []).map(({ name, value, valueFrom }) => [name, value ?? valueFrom]),
    );
    assert.deepEqual(env, {
      AWS_REGION: "eu-central-1",
      AWS_ENDPOINT_URL: "https://vpce.example",
      AWS_ACCESS_KEY_ID: { secretKeyRef: { name: "ecr-helper", key: "aws_access_key_id" } },
      AWS_SECRET_ACCESS_KEY: { secretKeyRef: { name: "ecr-helper", key: "aws_secret_access_key" } },
      ECR_HELPER_IDENTITY: "accessKey",
      ECR_HELPER_PRINCIPAL: "ecr-helper",
      ECR_HELPER_PUSH_ROLE: "",
      ECR_HELPER_REGISTRIES: `${ownHost},444455556666.dkr.ecr.us-east-1.amazonaws.com`,
      ECR_HELPER_REGISTRY_ROLES: "",
      ECR_HELPER_GROUPS: "",
      ECR_HELPER_REGISTRY_HOST: "",
      ECR_HELPER_PROXY: "http://proxy.example:3128",
      ECR_HELPER_NO_PROXY: "vpce.example,*.internal.example",
      ECR_HELPER_CA_FILE: "",
      ECR_HELPER_BUILD_NAMESPACES: "team-a,team-b",
      ECR_HELPER_EXCLUDE_NAMESPACES: "",
      ECR_HELPER_NAMESPACE_SELECTOR: "",
      ECR_HELPER_DEPLOYMENT: "ecr-helper",
      ECR_HELPER_BASIC_AUTH_SECRET: "ecr-creds",
      ECR_HELPER_PULL_SECRET: "ecr-creds-pull",
      ECR_HELPER_SECRETS: "",
      ECR_HELPER_SERVICE_ACCOUNTS: "builder-sa",
      ECR_HELPER_SERVICE_ACCOUNT_SELECTOR: "",
      ECR_HELPER_OWNER_NAME: "ecr-helper-test",
      ECR_HELPER_MARKER: "ecr-helper-test-stack",
      ECR_HELPER_NAMESPACE: { fieldRef: { fieldPath: "metadata.namespace" } },
      ECR_HELPER_POD: { fieldRef: { fieldPath: "metadata.name" } },
      ECR_HELPER_TEMPLATE: { fieldRef: { fieldPath: "metadata.labels['pod-template-hash']" } },
      ECR_HELPER_LOG_FORMAT: "text",
      ECR_HELPER_LOG_LEVEL: "info",
      ECR_HELPER_PORT: "8080",
    });
  });

  it("has annotations for Prometheus, and hashes by which another key or pull secret starts a rollout", () => {
    const { annotations } = deployment.spec.template.metadata;
    const { "ecr-helper/access-key": fingerprint, "ecr-helper/first-pull": secret, ...others } = annotations;
    assert.equal(secret, "the-uid", "the uid of the secret for the first pull");
    assert.match(fingerprint ?? "", /^[0-9a-f]{16}$/);
    const scraped = { "prometheus.io/scrape": "true", "prometheus.io/port": "8080", "prometheus.io/path": "/metrics" };
    assert.deepEqual(others, scraped);
  });

  it("mounts the CA bundle where the helper reads it; another one of the configuration starts a rollout", async () => {
    const mountOf = async (caBundle: string): Promise<[string, string | undefined, string[]]> => {
      const program = await runProgram({ ...cluster, caBundle });
      const { spec } = program.find("kubernetes:apps/v1:Deployment").inputs as unknown as DeploymentInputs;
      const { volumes, containers } = spec.template.spec;
      const { env = [], volumeMounts = [] } = containers[0] ?? {};
      const [{ name: configMap, items }] = volumes.map((one) => one.configMap) as [(typeof volumes)[0]["configMap"]];
      const [{ key, path }] = items as [(typeof items)[0]];
      const [{ mountPath }] = volumeMounts as [(typeof volumeMounts)[0]];
      assert.equal(env.find(({ name }) => name === "ECR_HELPER_CA_FILE")?.value, `${mountPath}/${path}`);
      const created = program.resources.filter(({ type }) => type === "kubernetes:core/v1:ConfigMap");
      const data = created.flatMap(({ inputs }) => Object.values(inputs["data"] as Record<string, string>));
      return [`${configMap}/${key}`, spec.template.metadata.annotations["ecr-helper/ca-bundle"], data];
    };
    assert.deepEqual(await mountOf("trusted-ca/ca-bundle.crt"), ["trusted-ca/ca-bundle.crt", undefined, []]);
    const [one, other] = await Promise.all([makeCertificate("a.example"), makeCertificate("b.example")]);
    const [configMap, hash, data] = await mountOf(one.cert);
    assert.deepEqual([configMap, data], ["ecr-helper-ca/ca.crt", [one.cert]]);
    assert.match(hash ?? "", /^[0-9a-f]{16}$/);
    assert.notEqual((await mountOf(other.cert))[1], hash);
  });

  it("runs in an existing namespace if createNamespace is false", async () => {
    const program = await runProgram({ ...cluster, createNamespace: "false", namespace: "tools" });
    assert.equal(program.resources.filter(({ type }) => type.endsWith(":Namespace")).length, 0);
    assert.equal(
      (program.find("kubernetes:apps/v1:Deployment").inputs as unknown as DeploymentInputs).metadata.namespace,
      "tools",
    );
  });
});
