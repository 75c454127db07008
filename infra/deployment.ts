// The helper in the cluster: its namespace, service account, secrets and Deployment.
import { createHash } from "node:crypto";
import { Deployment } from "@pulumi/kubernetes/apps/v1/deployment.js";
import { Namespace } from "@pulumi/kubernetes/core/v1/namespace.js";
import { Secret } from "@pulumi/kubernetes/core/v1/secret.js";
import { ServiceAccount } from "@pulumi/kubernetes/core/v1/serviceAccount.js";
import type { Provider } from "@pulumi/kubernetes/provider.js";
import type { input } from "@pulumi/kubernetes/types/index.js";
import * as pulumi from "@pulumi/pulumi";
import { basicAuthNames, regionsOf } from "../helper/names.ts";
import { namedNamespaces, type TargetRules } from "../helper/targets.ts";
import { Access } from "./access.ts";
import type { StackConfig } from "./config.ts";
import type { AccessKeyPair } from "./identity.ts";
import type { RegistryLogin } from "./image.ts";

export interface WorkloadArgs {
  readonly config: StackConfig;
  readonly provider: Provider;
  readonly imageRef: pulumi.Input<string>;
  readonly login: RegistryLogin;
  readonly accessKey: AccessKeyPair;
  readonly region: pulumi.Input<string>;
  /** Hosts of all registries, the own one first. */
  readonly registries: pulumi.Input<readonly string[]>;
}

type EnvVar = input.core.v1.EnvVar;

const app = "ecr-helper";
const port = 8080;
const nonroot = 65532;
/** How long a rollout may take, in seconds, until `pulumi up` says that it failed and why. */
const rolloutTimeout = 180;

/** The namespace's label that makes the API server refuse any pod that could do harm to its node. */
const restricted = { "pod-security.kubernetes.io/enforce": "restricted" };

/** The annotations by which most Prometheus set-ups find what to scrape. */
const scraped = {
  "prometheus.io/scrape": "true",
  "prometheus.io/port": String(port),
  "prometheus.io/path": "/metrics",
};

export class Workload extends pulumi.ComponentResource {
  readonly namespace: pulumi.Output<string>;
  readonly deployment: pulumi.Output<string>;
  readonly credentialsSecretName: pulumi.Output<string>;

  constructor(name: string, args: WorkloadArgs, opts?: pulumi.ComponentResourceOptions) {
    super("ecr-helper:index:Workload", name, {}, { ...opts, providers: { kubernetes: args.provider } });
    const { config } = args;
    const inside = { parent: this };

    const created = config.createNamespace
      ? new Namespace(name, { metadata: { name: config.namespace, labels: restricted } }, inside)
      : undefined;
    const namespace = created?.metadata.name ?? pulumi.output(config.namespace);
    const metadata = { name: app, namespace, labels: { "app.kubernetes.io/name": app } };

    const serviceAccount = new ServiceAccount(name, { metadata, automountServiceAccountToken: false }, inside);
    const access = new Access(
      name,
      {
        name: `${pulumi.getProject()}-${pulumi.getStack()}`,
        subject: { name: serviceAccount.metadata.name, namespace },
        targets: config,
        ownNamespace: config.namespace,
        namespace,
        deployment: app,
        secrets: pulumi
          .output(args.registries)
          .apply((hosts) => [...basicAuthNames(config.basicAuthSecret, regionsOf(hosts)).values(), config.pullSecret]),
        pullSecret: config.pullSecret,
        serviceAccount: config.serviceAccount,
      },
      inside,
    );

    const credentials = new Secret(
      name,
      { metadata, stringData: { aws_access_key_id: args.accessKey.id, aws_secret_access_key: args.accessKey.secret } },
      inside,
    );
    const imagePull = new Secret(
      `${name}-image`,
      {
        metadata: { ...metadata, name: `${app}-image` },
        type: "kubernetes.io/dockerconfigjson",
        stringData: { ".dockerconfigjson": dockerConfig(args.login) },
      },
      // For the first pull only: it ends after 12 hours, but by then the helper keeps a pull secret here itself.
      { ...inside, ignoreChanges: ["data", "stringData"] },
    );

    const deployment = new Deployment(
      name,
      {
        metadata: { ...metadata, annotations: { "pulumi.com/timeoutSeconds": String(rolloutTimeout) } },
        spec: {
          replicas: 1,
          // Two helpers would write the same objects; half of a token's life is time enough to start anew.
          strategy: { type: "Recreate" },
          progressDeadlineSeconds: rolloutTimeout,
          selector: { matchLabels: { "app.kubernetes.io/name": app } },
          template: {
            metadata: {
              labels: { "app.kubernetes.io/name": app },
              // The key is read at start: another key has to be another pod.
              annotations: { "ecr-helper/access-key": args.accessKey.id.apply(fingerprint), ...scraped },
            },
            spec: {
              serviceAccountName: serviceAccount.metadata.name,
              automountServiceAccountToken: true,
              enableServiceLinks: false,
              // A helper ends within a second, but where the stack is destroyed it has something to take back.
              terminationGracePeriodSeconds: 30,
              imagePullSecrets: [{ name: imagePull.metadata.name }, { name: config.pullSecret }],
              securityContext: {
                runAsNonRoot: true,
                runAsUser: nonroot,
                runAsGroup: nonroot,
                seccompProfile: { type: "RuntimeDefault" },
              },
              containers: [
                {
                  name: app,
                  image: args.imageRef,
                  env: [...environment(args, access), ...keyVariables(credentials)],
                  ports: [{ name: "http", containerPort: port }],
                  readinessProbe: { httpGet: { path: "/readyz", port: "http" }, periodSeconds: 2 },
                  livenessProbe: {
                    httpGet: { path: "/healthz", port: "http" },
                    periodSeconds: 10,
                    timeoutSeconds: 5,
                  },
                  resources: { requests: { cpu: "10m", memory: "64Mi" }, limits: { memory: memoryLimit(config) } },
                  securityContext: {
                    allowPrivilegeEscalation: false,
                    readOnlyRootFilesystem: true,
                    capabilities: { drop: ["ALL"] },
                  },
                },
              ],
            },
          },
        },
      },
      { ...inside, dependsOn: access },
    );

    this.namespace = namespace;
    this.deployment = deployment.metadata.name;
    this.credentialsSecretName = credentials.metadata.name;
    this.registerOutputs({ namespace: this.namespace, deployment: this.deployment });
  }
}

/**
 * Measured: 135 MB for 10,000 namespaces that are meant by pattern. In each that is named the helper has to watch its
 * objects one by one, a connection each: up to 0.8 MB more.
 */
const memoryLimit = (targets: TargetRules): string => `${String(160 + namedNamespaces(targets).length)}Mi`;

/** The helper's configuration, as helper/config.ts reads it. */
function environment({ config, region, registries }: WorkloadArgs, access: Access): EnvVar[] {
  const fromPod = (fieldPath: string): input.core.v1.EnvVarSource => ({ fieldRef: { fieldPath } });
  const values: Record<string, pulumi.Input<string>> = {
    AWS_REGION: region,
    ...(config.awsEndpointUrl === undefined ? {} : { AWS_ENDPOINT_URL: config.awsEndpointUrl }),
    ECR_HELPER_REGISTRIES: pulumi.output(registries).apply((hosts) => hosts.join(",")),
    ECR_HELPER_REGISTRY_HOST: config.registryHost ?? "",
    ECR_HELPER_BUILD_NAMESPACES: config.buildNamespaces.join(","),
    ECR_HELPER_EXCLUDE_NAMESPACES: config.excludeNamespaces.join(","),
    ECR_HELPER_NAMESPACE_SELECTOR: config.namespaceSelector,
    ECR_HELPER_BASIC_AUTH_SECRET: config.basicAuthSecret,
    ECR_HELPER_PULL_SECRET: config.pullSecret,
    ECR_HELPER_SERVICE_ACCOUNT: config.serviceAccount,
    ECR_HELPER_DEPLOYMENT: app,
    ECR_HELPER_OWNER_NAME: access.owner.name,
    ECR_HELPER_OWNER_UID: access.owner.uid,
    ECR_HELPER_LOG_FORMAT: config.logFormat,
    ECR_HELPER_LOG_LEVEL: config.logLevel,
    ECR_HELPER_PORT: String(port),
  };
  return [
    ...Object.entries(values).map(([name, value]) => ({ name, value })),
    { name: "ECR_HELPER_NAMESPACE", valueFrom: fromPod("metadata.namespace") },
    { name: "ECR_HELPER_POD", valueFrom: fromPod("metadata.name") },
  ];
}

function keyVariables(credentials: Secret): EnvVar[] {
  const from = (key: string): input.core.v1.EnvVarSource => ({
    secretKeyRef: { name: credentials.metadata.name, key },
  });
  return [
    { name: "AWS_ACCESS_KEY_ID", valueFrom: from("aws_access_key_id") },
    { name: "AWS_SECRET_ACCESS_KEY", valueFrom: from("aws_secret_access_key") },
  ];
}

const dockerConfig = ({ server, username, password }: RegistryLogin): pulumi.Output<string> =>
  pulumi.secret(
    pulumi.all([server, username, password]).apply(([host, user, word]) => {
      const auth = Buffer.from(`${user}:${word}`).toString("base64");
      return JSON.stringify({ auths: { [host]: { auth } } });
    }),
  );

const fingerprint = (id: string): string => createHash("sha256").update(id).digest("hex").slice(0, 16);
