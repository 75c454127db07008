// A stack with two build namespaces, a further registry, a VPC endpoint and a proxy, for the unit tests of the Pulumi program.
import { account } from "./program.ts";

/** The one key that has no usable default: the cluster. */
export const cluster = { kubeconfig: "Pulumi.yaml" };

/** The configuration of the example. */
export const exampleConfig = {
  ...cluster,
  buildNamespaces: '["team-a","team-b"]',
  registries: '["444455556666.dkr.ecr.us-east-1.amazonaws.com"]',
  awsEndpointUrl: "https://vpce.example",
  proxy: "http://proxy.example:3128",
  noProxy: '["vpce.example","*.internal.example"]',
};

/** The host of the stack's own registry. */
export const ownHost = `${account}.dkr.ecr.eu-central-1.amazonaws.com`;

/** The inputs of the Deployment, as far as the tests read them. */
export interface DeploymentInputs {
  metadata: { namespace: string; annotations: Record<string, string> };
  spec: {
    strategy: object;
    progressDeadlineSeconds: number;
    template: { metadata: { annotations: Record<string, string>; labels: Record<string, string> }; spec: PodSpec };
  };
}

interface PodSpec {
  imagePullSecrets: { name: string }[];
  securityContext: object;
  nodeSelector: Record<string, string>;
  tolerations: object[];
  priorityClassName?: string;
  topologySpreadConstraints: object[];
  volumes: { configMap: { name: string; items: { key: string; path: string }[] } }[];
  containers: {
    image: string;
    volumeMounts: { mountPath: string }[];
    env: { name: string; value?: string; valueFrom?: object }[];
    securityContext: object;
    resources: { requests: object; limits: object };
  }[];
}

interface PolicyDocument {
  Version: string;
  Statement: { Sid: string; Effect: string; Principal?: unknown; Action: string[] }[];
}

/** The parsed `policy` of a resource's inputs. */
export const policyOf = (inputs: Record<string, unknown>): PolicyDocument =>
  JSON.parse(String(inputs["policy"])) as PolicyDocument;
