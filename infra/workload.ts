// The helper in the cluster: its namespace, service account, secrets and Deployment.
import { createHash } from "node:crypto";
import { Deployment } from "@pulumi/kubernetes/apps/v1/deployment.js";
import { Namespace } from "@pulumi/kubernetes/core/v1/namespace.js";
import { Secret } from "@pulumi/kubernetes/core/v1/secret.js";
import { ServiceAccount } from "@pulumi/kubernetes/core/v1/serviceAccount.js";
import { NetworkPolicy } from "@pulumi/kubernetes/networking/v1/networkPolicy.js";
import { ClusterRole } from "@pulumi/kubernetes/rbac/v1/clusterRole.js";
import type { input } from "@pulumi/kubernetes/types/index.js";
import * as pulumi from "@pulumi/pulumi";
import { helperPort, podVariables, type StackVariable } from "../helper/shared/environment.ts";
import { basicAuthNames, regionsOf } from "../helper/shared/names.ts";
import { staticNamespaces, type NamespaceRules } from "../helper/shared/namespace-rules.ts";
import { Rbac } from "./rbac.ts";
import { Admission } from "./admission/policies.ts";
import type { ClusterProviders, EksCluster } from "./cluster.ts";
import { app, type StackConfig } from "./config/stack.ts";
import { namespaceAnnotations, podCredentials } from "./pod-credentials.ts";
import { FirstPull } from "./first-pull.ts";
import type { AccessKeyPair, Identity } from "./identity.ts";
import type { RegistryLogin } from "./image.ts";
import { networkPolicySpec } from "./network-policy.ts";

export interface WorkloadArgs {
  readonly config: StackConfig;
  readonly providers: ClusterProviders;
  readonly imageRef: pulumi.Input<string>;
  readonly login: RegistryLogin;
  readonly identity: Identity;
  readonly eks: EksCluster | undefined;
  readonly region: pulumi.Input<string>;
  /** Hosts of all registries, the own one first. */
  readonly registries: pulumi.Input<readonly string[]>;
}

type EnvVar = input.core.v1.EnvVar;

const labels = { "app.kubernetes.io/name": app };
const nonRootUid = 65532;
/** How long a rollout may take, in seconds, until `pulumi up` says that it failed and why. */
const rolloutTimeout = 180;

/** The namespace's label that makes the API server refuse any pod that could do harm to its node. */
const restricted = { "pod-security.kubernetes.io/enforce": "restricted" };

/** The annotations by which most Prometheus set-ups find what to scrape. */
const prometheusAnnotations = {
  "prometheus.io/scrape": "true",
  "prometheus.io/port": String(helperPort),
  "prometheus.io/path": "/metrics",
};

export class Workload extends pulumi.ComponentResource {
  readonly namespace: pulumi.Output<string>;
  readonly deployment: pulumi.Output<string>;
  /** Of identity accessKey only. */
  readonly credentialsSecretName: pulumi.Output<string> | undefined;

  constructor(name: string, args: WorkloadArgs, opts?: pulumi.ComponentResourceOptions) {
    super("ecr-helper:index:Workload", name, {}, { ...opts, providers: { kubernetes: args.providers.objects } });
    const { config, identity } = args;
    const inside = { parent: this };

    const created = config.createNamespace
      ? new Namespace(
          name,
          {
            metadata: {
              name: config.namespace,
              labels: restricted,
              annotations: namespaceAnnotations(config.identity, identity),
            },
          },
          inside,
        )
      : undefined;
    const namespace = created?.metadata.name ?? pulumi.output(config.namespace);
    const metadata = { name: app, namespace, labels };

    const serviceAccount = new ServiceAccount(name, { metadata, automountServiceAccountToken: false }, inside);
    const basicAuthSecrets = pulumi
      .output(args.registries)
      .apply((hosts) => [...basicAuthNames(config.basicAuthSecret, regionsOf(hosts)).values()]);
    const inCluster = {
      name: `${pulumi.getProject()}-${pulumi.getStack()}`,
      subject: { name: serviceAccount.metadata.name, namespace },
    };
    const access = new Rbac(
      name,
      {
        ...inCluster,
        targets: config,
        ownNamespace: config.namespace,
        namespace,
        deployment: app,
        basicAuthSecrets,
        pullSecret: config.pullSecret,
        keepsLogins: config.pushRole !== undefined,
        serviceAccount: config.serviceAccount,
      },
      inside,
    );

    const credentials =
      identity.accessKey === undefined
        ? undefined
        : new Secret(name, { metadata, stringData: keyData(identity.accessKey) }, inside);
    const aws = podCredentials(config.identity, identity, args.eks, credentials?.metadata.name);
    const firstPullArgs = {
      metadata: { namespace, labels },
      login: args.login,
      pullSecret: config.pullSecret,
      path: config.path,
    };
    const firstPull = new FirstPull(`${name}-image`, firstPullArgs, this);

    // No pod of the helper is without it for a moment, not even the last one.
    const policies =
      config.networkPolicy !== "none"
        ? [new NetworkPolicy(name, { metadata, spec: networkPolicySpec(config, args.eks, labels, helperPort) }, inside)]
        : [];
    const kept = { targets: config, basicAuthSecrets, pullSecret: config.pullSecret, owner: access.owner };
    const admission = config.admissionPolicy ? [new Admission(name, { ...inCluster, ...kept }, inside)] : [];

    const deployment = new Deployment(
      name,
      {
        metadata: { ...metadata, annotations: awaitAnnotations(config) },
        spec: {
          replicas: 1,
          // The next helper is ready, its token in hand, before the last one ends, and with it what belonged to that one.
          strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
          progressDeadlineSeconds: rolloutTimeout,
          selector: { matchLabels: labels },
          template: {
            metadata: {
              labels,
              annotations: {
                ...keyAnnotation(identity),
                ...firstPull.annotations,
                ...aws.annotations,
                ...prometheusAnnotations,
              },
            },
            spec: {
              serviceAccountName: serviceAccount.metadata.name,
              automountServiceAccountToken: true,
              enableServiceLinks: false,
              // A helper ends within a second, but where the stack is destroyed it has something to take back.
              terminationGracePeriodSeconds: 30,
              imagePullSecrets: [{ name: firstPull.secretName }, { name: config.pullSecret }],
              securityContext: {
                runAsNonRoot: true,
                runAsUser: nonRootUid,
                runAsGroup: nonRootUid,
                seccompProfile: { type: "RuntimeDefault" },
              },
              volumes: aws.volumes,
              containers: [
                {
                  name: app,
                  image: args.imageRef,
                  env: [...environment(args, access), ...aws.env],
                  volumeMounts: aws.volumeMounts,
                  ports: [{ name: "http", containerPort: helperPort }],
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
      { ...inside, dependsOn: [access, identity, ...policies, ...admission] },
    );

    // With identity node nothing waits for the pull.
    if (config.identity.mode !== "node") firstPull.emptyAfter(deployment, args.providers.patches);

    // Made when all stands, and so the first that destroy deletes.
    new ClusterRole(`${name}-stack`, { metadata: { name: access.marker } }, { ...inside, dependsOn: deployment });

    this.namespace = namespace;
    this.deployment = deployment.metadata.name;
    this.credentialsSecretName = credentials?.metadata.name;
    this.registerOutputs({ namespace: this.namespace, deployment: this.deployment });
  }
}

/**
 * Measured: 135 MB for 10,000 namespaces that are meant by pattern. In each that is named the helper has to watch its
 * objects one by one, a connection each: up to 0.8 MB more.
 */
const memoryLimit = (targets: NamespaceRules): string => `${String(160 + staticNamespaces(targets).length)}Mi`;

/** The helper's configuration, as helper/config/helper-config.ts reads it. */
function environment({ config, identity, region, registries }: WorkloadArgs, access: Rbac): EnvVar[] {
  const forSdk: Record<string, pulumi.Input<string>> = {
    AWS_REGION: region,
    ...(config.awsEndpointUrl === undefined ? {} : { AWS_ENDPOINT_URL: config.awsEndpointUrl }),
    ...(config.stsEndpointUrl === undefined ? {} : { AWS_ENDPOINT_URL_STS: config.stsEndpointUrl }),
  };
  const values: Record<StackVariable, pulumi.Input<string>> = {
    ECR_HELPER_IDENTITY: config.identity.mode,
    ECR_HELPER_PRINCIPAL: identity.userName ?? identity.roleArn ?? "",
    ECR_HELPER_PUSH_ROLE: identity.pushRoleArn ?? "",
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
    ECR_HELPER_MARKER: access.marker,
    ECR_HELPER_LOG_FORMAT: config.logFormat,
    ECR_HELPER_LOG_LEVEL: config.logLevel,
    ECR_HELPER_PORT: String(helperPort),
  };
  const fieldOf = (fieldPath: string): input.core.v1.EnvVarSource => ({ fieldRef: { fieldPath } });
  return [
    ...Object.entries({ ...forSdk, ...values }).map(([name, value]) => ({ name, value })),
    ...Object.entries(podVariables).map(([name, fieldPath]) => ({ name, valueFrom: fieldOf(fieldPath) })),
  ];
}

const keyData = ({ id, secret }: AccessKeyPair): Record<string, pulumi.Output<string>> => ({
  aws_access_key_id: id,
  aws_secret_access_key: secret,
});

/** The key is read at start: another key has to be another pod. */
const keyAnnotation = ({ accessKey }: Identity): Record<string, pulumi.Output<string>> =>
  accessKey === undefined ? {} : { "ecr-helper/access-key": accessKey.id.apply(fingerprint) };

/** Identity node gets its rights by hand, for which the policy has to be there: what makes it cannot wait for them. */
const awaitAnnotations = ({ identity }: StackConfig): Record<string, string> =>
  identity.mode === "node"
    ? { "pulumi.com/skipAwait": "true" }
    : { "pulumi.com/timeoutSeconds": String(rolloutTimeout) };

const fingerprint = (id: string): string => createHash("sha256").update(id).digest("hex").slice(0, 16);
