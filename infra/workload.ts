// The helper in the cluster: its namespace, service account, RBAC, secrets, network and admission policies, Deployment
// and PodDisruptionBudget.
import { Deployment } from "@pulumi/kubernetes/apps/v1/deployment.js";
import { DeploymentPatch } from "@pulumi/kubernetes/apps/v1/deploymentPatch.js";
import { Namespace } from "@pulumi/kubernetes/core/v1/namespace.js";
import { Secret } from "@pulumi/kubernetes/core/v1/secret.js";
import { ServiceAccount } from "@pulumi/kubernetes/core/v1/serviceAccount.js";
import { NetworkPolicy } from "@pulumi/kubernetes/networking/v1/networkPolicy.js";
import { PodDisruptionBudget } from "@pulumi/kubernetes/policy/v1/podDisruptionBudget.js";
import { ClusterRole } from "@pulumi/kubernetes/rbac/v1/clusterRole.js";
import type { input } from "@pulumi/kubernetes/types/index.js";
import * as pulumi from "@pulumi/pulumi";
import { helperPort } from "../helper/shared/environment.ts";
import { Admission, type AdmissionArgs } from "./admission/policies.ts";
import type { ClusterProviders } from "./cluster.ts";
import { createCaBundle } from "./ca-bundle.ts";
import { app, clusterName, type StackConfig } from "./config/stack.ts";
import { FirstPull } from "./first-pull.ts";
import { networkPolicySpec } from "./network-policy.ts";
import { accessKeyCredentials, namespaceAnnotations, podCredentials, type PodCredentials } from "./pod-credentials.ts";
import { podLabels, podTemplate, type HelperArgs, type PodArgs } from "./pod.ts";
import { objectNames } from "./rbac-rules.ts";
import { Rbac, type RbacArgs } from "./rbac.ts";
import type { RegistryLogin } from "./registry-login.ts";
import { keptNames, ownSecretNames, secretNamesIn, type Logins } from "./secret-names.ts";

/** Arguments of Workload. */
export interface WorkloadArgs extends HelperArgs {
  readonly providers: ClusterProviders;
  /** The login that pulls the image for the first pod; undefined where the stack has none. */
  readonly login: RegistryLogin | undefined;
}

/** Makes the API server reject any pod in the namespace that could harm its node. */
const restricted = { "pod-security.kubernetes.io/enforce": "restricted" };

/** Metadata of the objects that have the helper's own name. */
interface Metadata {
  readonly name: string;
  readonly namespace: pulumi.Output<string>;
  readonly labels: typeof podLabels;
}

/** Everything that the stack has in the cluster. */
export class Workload extends pulumi.ComponentResource {
  readonly namespace: pulumi.Output<string>;
  readonly deployment: pulumi.Output<string>;
  /** Only for identity accessKey. */
  readonly credentialsSecretName: pulumi.Output<string> | undefined;
  readonly #name: string;
  readonly #args: WorkloadArgs;
  readonly #childOptions = { parent: this };

  constructor(name: string, args: WorkloadArgs, opts?: pulumi.ComponentResourceOptions) {
    super("ecr-helper:index:Workload", name, {}, { ...opts, providers: { kubernetes: args.providers.objects } });
    [this.#name, this.#args] = [name, args];
    const { config, identity } = args;
    const { principal } = identity;

    this.namespace = this.#namespace();
    const metadata: Metadata = { name: app, namespace: this.namespace, labels: podLabels };
    const account = { metadata, automountServiceAccountToken: false };
    const serviceAccountName = new ServiceAccount(name, account, this.#childOptions).metadata.name;
    const logins = pulumi.all([args.registries, args.groups]).apply(([registries, groups]) => ({ registries, groups }));
    const keptObjects = {
      name: clusterName(),
      subject: { name: serviceAccountName, namespace: this.namespace },
      namespaceRules: config,
      names: logins.apply((all) => keptNames(config, all)),
      furtherSecrets: config.secrets,
    };
    const rbac = this.#rbac(keptObjects, logins);
    let credentials: PodCredentials;
    if (principal.mode === "accessKey") {
      const { accessKey } = principal;
      const stringData = { aws_access_key_id: accessKey.id, aws_secret_access_key: accessKey.secret };
      this.credentialsSecretName = new Secret(name, { metadata, stringData }, this.#childOptions).metadata.name;
      credentials = accessKeyCredentials(accessKey, this.credentialsSecretName);
    } else {
      credentials = podCredentials(principal);
    }
    const firstPull = this.#firstPull();
    const policies = [...this.#networkPolicy(metadata), ...this.#admission({ ...keptObjects, owner: rbac.owner })];
    const caBundle = createCaBundle(name, config.caBundle, metadata, this.#childOptions);
    const pod = { ...args, serviceAccountName, credentials, caBundle, firstPull, rbac };
    const deployment = this.#deployment(metadata, pod, [rbac, identity, ...policies]);
    this.#scale(deployment);
    this.#disruptionBudget(metadata);

    // For identity node nothing waits for the rollout, so the login may still be needed.
    if (principal.mode !== "node") firstPull?.emptyAfter(deployment, args.providers.patches);

    // Created last, and therefore deleted first by destroy.
    const marker = { metadata: { name: rbac.marker } };
    new ClusterRole(`${name}-stack`, marker, { ...this.#childOptions, dependsOn: deployment });

    this.deployment = deployment.metadata.name;
    this.registerOutputs({ namespace: this.namespace, deployment: this.deployment });
  }

  /** The name of the helper's namespace; if the stack creates it, the name resolves once it exists. */
  #namespace(): pulumi.Output<string> {
    const { config, identity } = this.#args;
    if (!config.createNamespace) return pulumi.output(config.namespace);
    const annotations = namespaceAnnotations(identity.principal);
    const metadata = { name: config.namespace, labels: restricted, annotations };
    return new Namespace(this.#name, { metadata }, this.#childOptions).metadata.name;
  }

  #rbac(keptObjects: Omit<AdmissionArgs, "owner">, logins: pulumi.Output<Logins>): Rbac {
    const { config } = this.#args;
    const args: RbacArgs = {
      ...keptObjects,
      secretsIn: (build) => logins.apply((all) => secretNamesIn(config, all, build)),
      ownSecrets: logins.apply((all) => ownSecretNames(config, all)),
      ownNamespace: config.namespace,
      namespace: this.namespace,
      deployment: app,
      accountRules: config,
      objects: objectNames(config),
    };
    return new Rbac(this.#name, args, this.#childOptions);
  }

  #firstPull(): FirstPull | undefined {
    const { config, login } = this.#args;
    if (login === undefined) return undefined;
    const metadata = { namespace: this.namespace, labels: podLabels };
    const { image, pullSecret, path } = config;
    return new FirstPull({ metadata, login, pullSecret, path, host: "ref" in image ? image.host : undefined }, this);
  }

  #networkPolicy(metadata: Metadata): pulumi.Resource[] {
    const { config, identity } = this.#args;
    if (config.networkPolicy === "none") return [];
    const spec = networkPolicySpec(config, identity.principal, podLabels, helperPort);
    return [new NetworkPolicy(this.#name, { metadata, spec }, this.#childOptions)];
  }

  #admission(args: AdmissionArgs): pulumi.Resource[] {
    return this.#args.config.admissionPolicy ? [new Admission(this.#name, args, this.#childOptions)] : [];
  }

  /**
   * Lets nodes be drained one helper at a time. One replica needs none: to allow its eviction protects nothing, and to
   * forbid it blocks every drain.
   */
  #disruptionBudget(metadata: Metadata): void {
    if (this.#args.config.replicas === 1) return;
    const spec: input.policy.v1.PodDisruptionBudgetSpec = {
      maxUnavailable: 1,
      selector: { matchLabels: podLabels },
      // A helper that is not ready protects nothing, and must not keep a node from being drained.
      unhealthyPodEvictionPolicy: "AlwaysAllow",
    };
    new PodDisruptionBudget(this.#name, { metadata, spec }, this.#childOptions);
  }

  /**
   * Sets the number of replicas once the rollout is over. Together, Kubernetes scales first, and Pulumi takes that for
   * the end of the rollout: what only the old helper uses would be deleted before the next one is ready.
   */
  #scale(deployment: Deployment): void {
    const { config, providers } = this.#args;
    const { name, namespace } = deployment.metadata;
    // By force, as the API server gives the default to who creates the Deployment.
    const annotations = { ...awaitAnnotations(config), "pulumi.com/patchForce": "true" };
    const metadata = { name, namespace, annotations };
    // Deleting the patch would scale to one, just before the Deployment is deleted.
    const opts = { ...this.#childOptions, provider: providers.patches, dependsOn: deployment, retainOnDelete: true };
    new DeploymentPatch(`${this.#name}-replicas`, { metadata, spec: { replicas: config.replicas } }, opts);
  }

  /** It depends on the policies so that no pod of the helper ever runs without them, not even the last one. */
  #deployment(metadata: Metadata, pod: PodArgs, dependsOn: pulumi.Resource[]): Deployment {
    const spec: input.apps.v1.DeploymentSpec = {
      // The new helper is ready and holds a token before the old one stops; what only the old one used is deleted later.
      strategy: { type: "RollingUpdate", rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
      progressDeadlineSeconds: this.#args.config.rolloutTimeout,
      selector: { matchLabels: podLabels },
      template: podTemplate(pod),
    };
    const annotations = awaitAnnotations(this.#args.config);
    return new Deployment(
      this.#name,
      { metadata: { ...metadata, annotations }, spec },
      { ...this.#childOptions, dependsOn },
    );
  }
}

/** With identity node the stack's policy is attached to the nodes' role by hand, later: `pulumi up` cannot wait for that. */
const awaitAnnotations = ({ identity, rolloutTimeout }: StackConfig): Record<string, string> =>
  identity.mode === "node"
    ? { "pulumi.com/skipAwait": "true" }
    : { "pulumi.com/timeoutSeconds": String(rolloutTimeout) };
