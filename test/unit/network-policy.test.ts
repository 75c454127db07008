import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { mistakesOf } from "../support/config-error.ts";
import { eksCluster, runProgram, type RunOptions } from "../support/program.ts";

const cluster = { kubeconfig: "Pulumi.yaml" };
const type = "kubernetes:networking.k8s.io/v1:NetworkPolicy";
const tcp = (...ports: number[]): object[] => ports.map((port) => ({ protocol: "TCP", port }));
const at = (cidr: string, port: number): object => ({ to: [{ ipBlock: { cidr } }], ports: tcp(port) });
const dns = { ports: [{ protocol: "UDP", port: 53 }, ...tcp(53)] };
const metadataService = at("169.254.169.254/32", 80);

const egressOf = async (config: Record<string, string>, options?: RunOptions): Promise<unknown> => {
  const { inputs } = (await runProgram({ ...config, networkPolicy: "all", insecureEndpoints: "true" }, options)).find(
    type,
  );
  return (inputs["spec"] as { egress: unknown }).egress;
};

describe("the NetworkPolicy", () => {
  const labels = { "app.kubernetes.io/name": "ecr-helper" };
  const podSelector = { matchLabels: labels };
  const specOf = async (config: Record<string, string>): Promise<unknown> =>
    (await runProgram({ ...cluster, ...config })).find(type).inputs["spec"];

  it("does not exist with networkPolicy none", async () => {
    assert.ok(!(await runProgram({ ...cluster, networkPolicy: "none" })).resources.some((one) => one.type === type));
  });

  it("allows requests for metrics from any pod, and does not restrict egress, by default", async () => {
    const ingress = [{ from: [{ namespaceSelector: {} }], ports: tcp(8080) }];
    assert.deepEqual(await specOf({}), { podSelector, policyTypes: ["Ingress"], ingress });
  });

  it("allows requests only from the monitoring namespaces if they are configured", async () => {
    const monitoringNamespaces = '["monitoring","cattle-monitoring-system","monitoring"]';
    const values = ["monitoring", "cattle-monitoring-system"];
    const matchExpressions = [{ key: "kubernetes.io/metadata.name", operator: "In", values }];
    const ingress = [{ from: [{ namespaceSelector: { matchExpressions } }], ports: tcp(8080) }];
    assert.deepEqual(await specOf({ monitoringNamespaces }), { podSelector, policyTypes: ["Ingress"], ingress });
    const mistakes = mistakesOf({ monitoringNamespaces, networkPolicy: "none" });
    assert.match(
      mistakes.join("\n"),
      /^ecr-helper:monitoringNamespaces = .*: expected nothing: networkPolicy is none$/,
    );
  });

  it("restricts the helper's pod to its metrics, DNS, the API server and AWS", async () => {
    const { find, resources } = await runProgram({ ...cluster, networkPolicy: "all", namespace: "tools" });
    assert.deepEqual(find(type).inputs, {
      apiVersion: "networking.k8s.io/v1",
      kind: "NetworkPolicy",
      metadata: { name: "ecr-helper", namespace: "tools", labels },
      spec: {
        podSelector,
        policyTypes: ["Ingress", "Egress"],
        ingress: [{ from: [{ namespaceSelector: {} }], ports: tcp(8080) }],
        egress: [dns, { ports: tcp(443, 6443) }],
      },
    });
    const deployment = find("kubernetes:apps/v1:Deployment");
    const { template } = deployment.inputs["spec"] as { template: { metadata: { labels: object } } };
    assert.deepEqual(template.metadata.labels, labels, "the policy selects these pods");
    assert.ok(resources.indexOf(find(type)) < resources.indexOf(deployment), "before any pod exists");
  });

  it("allows the source of credentials of each identity, and of no other", async () => {
    const own: Record<string, [config: Record<string, string>, rules: object[]]> = {
      accessKey: [cluster, []],
      irsa: [{ eksCluster: "main" }, []],
      podIdentity: [{ eksCluster: "main" }, [at("169.254.170.23/32", 80)]],
      kube2iam: [{ ...cluster, trustedPrincipals: '["123456789012"]' }, [metadataService, { ports: tcp(8181) }]],
      node: [cluster, [metadataService]],
    };
    for (const [identity, [config, rules]] of Object.entries(own)) {
      assert.deepEqual(await egressOf({ ...config, identity }), [dns, { ports: tcp(443, 6443) }, ...rules], identity);
    }
    const answers = {
      "aws:eks/getCluster:getCluster": () => ({
        ...eksCluster({ partition: "aws", region: "eu-central-1" }),
        kubernetesNetworkConfigs: [{ ipFamily: "ipv6" }],
      }),
    };
    const inIpv6 = await egressOf({ eksCluster: "main", identity: "podIdentity" }, { answers });
    assert.deepEqual(inIpv6, [dns, { ports: tcp(443, 6443) }, at("fd00:ec2::23/128", 80)]);
  });

  it("allows the port of the proxy", async () => {
    const rules = async (proxy: string): Promise<unknown> => egressOf({ ...cluster, proxy });
    assert.deepEqual(await rules("http://proxy.example:3128"), [dns, { ports: tcp(443, 6443, 3128) }]);
    assert.deepEqual(await rules("http://proxy.example"), [dns, { ports: tcp(443, 6443, 80) }]);
  });

  it("allows the ports of the configured AWS endpoints, each once", async () => {
    const rules = async (awsEndpointUrl: string, stsEndpointUrl: string): Promise<unknown> =>
      egressOf({ ...cluster, awsEndpointUrl, stsEndpointUrl });
    assert.deepEqual(await rules("http://10.0.0.1:4566", "https://sts.example"), [
      dns,
      { ports: tcp(443, 6443, 4566) },
    ]);
    assert.deepEqual(await rules("http://proxy", "http://proxy:8443/"), [dns, { ports: tcp(443, 6443, 80, 8443) }]);
  });
});
