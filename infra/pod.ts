// The helper's pod: its containers, environment, probes and security context.
import type { input } from "@pulumi/kubernetes/types/index.js";
import * as pulumi from "@pulumi/pulumi";
import { encodeList, helperPort, podVariables, type StackVariable } from "../helper/shared/environment.ts";
import type { Group } from "../helper/shared/groups.ts";
import type { RegistryLogin } from "../helper/shared/registry-logins.ts";
import { caFile, type CaBundle } from "./ca-bundle.ts";
import { app, type StackConfig } from "./config/stack.ts";
import type { FirstPull } from "./first-pull.ts";
import type { AwsPrincipal, Identity } from "./identity.ts";
import type { PodCredentials } from "./pod-credentials.ts";
import type { Rbac } from "./rbac.ts";

/** What the helper runs, as whom, and for which registries. */
export interface HelperArgs {
  readonly config: StackConfig;
  readonly imageRef: pulumi.Input<string>;
  readonly identity: Identity;
  readonly region: pulumi.Input<string>;
  /** The logins of all registries, that of the stack's own first. */
  readonly registries: pulumi.Input<readonly RegistryLogin[]>;
  readonly groups: pulumi.Input<readonly Group[]>;
}

/** Arguments of podTemplate. */
export interface PodArgs extends HelperArgs {
  readonly serviceAccountName: pulumi.Input<string>;
  readonly credentials: PodCredentials;
  readonly caBundle: CaBundle;
  /** Undefined if the image is pulled without a login of the stack. */
  readonly firstPull: FirstPull | undefined;
  readonly rbac: Pick<Rbac, "owner" | "marker">;
}

/** The labels by which the Deployment and the NetworkPolicy select the pod. */
export const podLabels = { "app.kubernetes.io/name": app };

/**
 * How long a pod stays on a node that is lost, in seconds, instead of Kubernetes' 300. The control plane has then missed
 * the node for 40 to 50 seconds already, so that a kubelet that restarts evicts nothing; a helper that is evicted in
 * vain costs little, as a restart writes nothing and requests no token.
 */
const lostNodeToleration = 30;

const lostNode: input.core.v1.Toleration[] = ["not-ready", "unreachable"].map((condition) => ({
  key: `node.kubernetes.io/${condition}`,
  operator: "Exists",
  effect: "NoExecute",
  tolerationSeconds: lostNodeToleration,
}));

/** Spreads the replicas over nodes, also during a rollout; where there is one node, they all run there. */
const topologySpreadConstraints: input.core.v1.TopologySpreadConstraint[] = [
  {
    maxSkew: 1,
    topologyKey: "kubernetes.io/hostname",
    whenUnsatisfiable: "ScheduleAnyway",
    labelSelector: { matchLabels: podLabels },
    matchLabelKeys: ["pod-template-hash"],
  },
];

/** The annotations that most Prometheus installations look for. */
const prometheusAnnotations = {
  "prometheus.io/scrape": "true",
  "prometheus.io/port": String(helperPort),
  "prometheus.io/path": "/metrics",
};

/** The Deployment's pod template. It passes the restricted Pod Security Standard. */
export function podTemplate(args: PodArgs): input.core.v1.PodTemplateSpec {
  const { config, credentials, caBundle, firstPull } = args;
  return {
    metadata: {
      labels: { ...config.podLabels, ...podLabels },
      annotations: {
        ...config.podAnnotations,
        ...firstPull?.annotations,
        ...credentials.annotations,
        ...caBundle.annotations,
        ...prometheusAnnotations,
      },
    },
    spec: {
      serviceAccountName: args.serviceAccountName,
      automountServiceAccountToken: true,
      enableServiceLinks: false,
      // A helper stops within a second, except when the stack is destroyed: then it has to clean up first.
      terminationGracePeriodSeconds: 30,
      nodeSelector: { ...config.nodeSelector, ...platformLabels(config) },
      tolerations: [...lostNode, ...config.tolerations],
      priorityClassName: config.priorityClassName,
      // For one replica too, so that another number of replicas changes no pod.
      topologySpreadConstraints,
      // Without any, Kubernetes takes those of the service account.
      ...(firstPull && { imagePullSecrets: [{ name: firstPull.secretName }, { name: config.pullSecret }] }),
      securityContext: {
        runAsNonRoot: true,
        ...userOf(config),
        seccompProfile: { type: "RuntimeDefault" },
      },
      volumes: [...credentials.volumes, ...caBundle.volumes],
      containers: [container(args)],
    },
  };
}

/** An image that the stack builds has one platform: on any other node it would not start. */
function platformLabels({ image }: StackConfig): Record<string, string> {
  if ("ref" in image) return { "kubernetes.io/os": "linux" };
  const [os = "", arch = ""] = image.platform.split("/");
  return { "kubernetes.io/os": os, "kubernetes.io/arch": arch };
}

/** Empty where the cluster chooses: OpenShift refuses any id outside the namespace's range, and sets one that is unset. */
const userOf = ({ runAsUser }: StackConfig): input.core.v1.PodSecurityContext =>
  runAsUser === undefined ? {} : { runAsUser, runAsGroup: runAsUser };

function container(args: PodArgs): input.core.v1.Container {
  return {
    name: app,
    image: args.imageRef,
    // A helper that does not start says why in the pod's status, which `pulumi up` shows.
    terminationMessagePolicy: "FallbackToLogsOnError",
    env: [...environment(args), ...args.credentials.env],
    volumeMounts: [...args.credentials.volumeMounts, ...args.caBundle.volumeMounts],
    ports: [{ name: "http", containerPort: helperPort }],
    readinessProbe: { httpGet: { path: "/readyz", port: "http" }, periodSeconds: 2 },
    livenessProbe: { httpGet: { path: "/healthz", port: "http" }, periodSeconds: 10, timeoutSeconds: 5 },
    resources: args.config.resources,
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
    },
  };
}

/** The helper's configuration, which helper/config/helper-config.ts reads. */
function environment({ config, identity, region, registries, groups, rbac }: PodArgs): input.core.v1.EnvVar[] {
  const sdkVariables: Record<string, pulumi.Input<string>> = {
    AWS_REGION: region,
    ...(config.awsEndpointUrl === undefined ? {} : { AWS_ENDPOINT_URL: config.awsEndpointUrl }),
    ...(config.stsEndpointUrl === undefined ? {} : { AWS_ENDPOINT_URL_STS: config.stsEndpointUrl }),
  };
  const stackVariables: Record<StackVariable, pulumi.Input<string>> = {
    ECR_HELPER_IDENTITY: config.identity.mode,
    ECR_HELPER_PRINCIPAL: principalName(identity.principal) ?? "",
    ECR_HELPER_PUSH_ROLE: identity.pushRoleArn ?? "",
    ECR_HELPER_REGISTRIES: pulumi
      .output(registries)
      .apply((all) => [...new Set(all.map(({ host }) => host))].join(",")),
    ECR_HELPER_REGISTRY_ROLES: encodeList(config.registryRoles),
    ECR_HELPER_GROUPS: pulumi.output(groups).apply(encodeList),
    ECR_HELPER_REGISTRY_HOST: config.registryHost ?? "",
    ECR_HELPER_PROXY: config.proxy ?? "",
    ECR_HELPER_NO_PROXY: config.noProxy.join(","),
    ECR_HELPER_CA_FILE: config.caBundle === undefined ? "" : caFile,
    ECR_HELPER_BUILD_NAMESPACES: config.buildNamespaces.join(","),
    ECR_HELPER_EXCLUDE_NAMESPACES: config.excludeNamespaces.join(","),
    ECR_HELPER_NAMESPACE_SELECTOR: config.namespaceSelector,
    ECR_HELPER_BASIC_AUTH_SECRET: config.basicAuthSecret,
    ECR_HELPER_PULL_SECRET: config.pullSecret,
    ECR_HELPER_SECRETS: encodeList(config.secrets),
    ECR_HELPER_SERVICE_ACCOUNTS: config.serviceAccounts.join(","),
    ECR_HELPER_SERVICE_ACCOUNT_SELECTOR: config.serviceAccountSelector,
    ECR_HELPER_DEPLOYMENT: app,
    ECR_HELPER_OWNER_NAME: rbac.owner,
    ECR_HELPER_MARKER: rbac.marker,
    ECR_HELPER_LOG_FORMAT: config.logFormat,
    ECR_HELPER_LOG_LEVEL: config.logLevel,
    ECR_HELPER_PORT: String(helperPort),
  };
  const fieldOf = (fieldPath: string): input.core.v1.EnvVarSource => ({ fieldRef: { fieldPath } });
  return [
    ...Object.entries({ ...sdkVariables, ...stackVariables }).map(([name, value]) => ({ name, value })),
    ...Object.entries(podVariables).map(([name, fieldPath]) => ({ name, valueFrom: fieldOf(fieldPath) })),
  ];
}

/** The user's name or the role's ARN; undefined for the nodes' role. */
function principalName(principal: AwsPrincipal): pulumi.Output<string> | undefined {
  if ("userName" in principal) return principal.userName;
  return "roleArn" in principal ? principal.roleArn : undefined;
}
