// The helper's RBAC: it may keep its objects, by name, in the build namespaces, and nothing else.
import { createHash } from "node:crypto";
import { ClusterRole } from "@pulumi/kubernetes/rbac/v1/clusterRole.js";
import { ClusterRoleBinding } from "@pulumi/kubernetes/rbac/v1/clusterRoleBinding.js";
import { Role } from "@pulumi/kubernetes/rbac/v1/role.js";
import { RoleBinding } from "@pulumi/kubernetes/rbac/v1/roleBinding.js";
import type { input } from "@pulumi/kubernetes/types/index.js";
import * as pulumi from "@pulumi/pulumi";
import type { AccountRules } from "../helper/shared/account-rules.ts";
import { isDynamic, staticNamespaces, type NamespaceRules } from "../helper/shared/namespace-rules.ts";
import { ownerNames } from "../helper/shared/ownership.ts";
import { keepAccounts, keepSecrets, recordEvents, rule, watchNamespaces, type PolicyRule } from "./rbac-rules.ts";

/** Arguments of Rbac. */
export interface RbacArgs {
  /** Prefix of the roles' names. Cluster-scoped roles must be unique to the stack. */
  readonly name: string;
  /** The helper's service account. */
  readonly subject: { readonly name: pulumi.Input<string>; readonly namespace: pulumi.Input<string> };
  readonly namespaceRules: NamespaceRules;
  /** Name of the helper's own namespace, where it keeps its tokens for the next helper. */
  readonly ownNamespace: string;
  /** The same name, which resolves when the namespace exists. */
  readonly namespace: pulumi.Input<string>;
  /** Name of the helper's Deployment, which the helper watches to see what happens to it, and of the Lease. */
  readonly deployment: string;
  /** Names of the secrets in a build namespace; undefined for those that any of them may have. */
  readonly secretsIn: (namespace: string | undefined) => pulumi.Output<string[]>;
  /** Names of the secrets that the helper keeps in its own namespace for the next helper. */
  readonly ownSecrets: pulumi.Output<string[]>;
  readonly accountRules: AccountRules;
  /** What the names of all objects come from, in the configuration. */
  readonly objects: readonly string[];
}

const apiGroup = "rbac.authorization.k8s.io";

/**
 * The name of a stack's roles for objects of the given names. It contains a hash of the names: other names, another
 * role.
 */
export const roleName = (prefix: string, objects: readonly string[]): string =>
  `${prefix}-${createHash("sha256").update(JSON.stringify(objects)).digest("hex").slice(0, 8)}`;

/** The roles of the helper's service account, and their bindings. */
export class Rbac extends pulumi.ComponentResource {
  /**
   * Name of the first of two ClusterRoles that own everything that the helper creates: when the stack is destroyed,
   * Kubernetes garbage-collects it all. Either can be lost without any effect: the other one keeps the objects, and
   * grants the same, which is to follow both and to look up the marker.
   */
  readonly owner: pulumi.Output<string>;
  /**
   * Name of a ClusterRole that grants nothing. Only `destroy` deletes it before the Deployment, so a helper that stops
   * and does not find it knows that the stack is being destroyed.
   */
  readonly marker: string;
  readonly #name: string;
  readonly #args: RbacArgs;
  readonly #childOptions = { parent: this };
  /**
   * Name of the roles that depend on the objects' names, in the cluster and, in the other one, in the stack. Under other
   * names they are new resources: Pulumi creates them before the rollout and deletes the old ones after it, so that the
   * old helper can still clean up the objects of the old names. After a rollout that failed both are there, and a
   * `pulumi up` that goes back has nothing to create.
   */
  readonly #roleName: string;
  readonly #resourceName: string;

  constructor(name: string, args: RbacArgs, opts: pulumi.ComponentResourceOptions) {
    super("ecr-helper:index:Access", name, {}, opts);
    [this.#name, this.#args] = [name, args];
    const { namespaceRules, ownNamespace } = args;
    this.marker = `${args.name}-stack`;
    [this.#roleName, this.#resourceName] = [roleName(args.name, args.objects), roleName(name, args.objects)];
    const [first, second] = ownerNames({ owner: args.name });
    this.owner = this.#owner(name, first);
    this.#owner(`${name}-owner`, second);
    // RBAC has no narrower right for namespaces that are not known in advance.
    if (isDynamic(namespaceRules))
      this.#grantEverywhere([...this.#keepObjects(args.secretsIn(undefined)), recordEvents, watchNamespaces]);
    const buildNamespaces = staticNamespaces(namespaceRules);
    for (const namespace of buildNamespaces.filter((one) => one !== ownNamespace)) {
      this.#grant(`-${namespace}`, namespace, [...this.#keepObjects(args.secretsIn(namespace)), recordEvents]);
    }
    this.#grantInOwnNamespace(buildNamespaces.includes(ownNamespace));
    this.registerOutputs({});
  }

  /** The rules to keep the objects of a build namespace that has these secrets. */
  #keepObjects(secrets: pulumi.Output<string[]>): PolicyRule[] {
    return [keepSecrets(secrets), ...keepAccounts(this.#args.accountRules)];
  }

  #owner(resourceName: string, name: string): pulumi.Output<string> {
    const metadata = { name };
    const rules = [
      rule("clusterroles", [this.marker], ["get"], apiGroup),
      rule("clusterroles", [...ownerNames({ owner: this.#args.name })], ["list", "watch"], apiGroup),
    ];
    const role = new ClusterRole(resourceName, { metadata, rules }, this.#childOptions);
    this.#bindEverywhere(resourceName, metadata, role, this.#childOptions);
    return role.metadata.name;
  }

  /** A role apart from the owners': when it is no longer needed it is deleted after the rollout. */
  #grantEverywhere(rules: PolicyRule[]): void {
    const suffix = "-everywhere";
    const [resourceName, options] = [`${this.#resourceName}${suffix}`, this.#optionsOf(suffix)];
    const metadata = { name: `${this.#roleName}${suffix}` };
    const role = new ClusterRole(resourceName, { metadata, rules }, options);
    this.#bindEverywhere(resourceName, metadata, role, options);
  }

  #bindEverywhere(
    resourceName: string,
    metadata: input.meta.v1.ObjectMeta,
    role: ClusterRole,
    options: pulumi.CustomResourceOptions,
  ): void {
    const roleRef = { apiGroup, kind: "ClusterRole", name: role.metadata.name };
    new ClusterRoleBinding(resourceName, { metadata, roleRef, subjects: this.#subjects() }, options);
  }

  /** `hasBuilds` says whether it is a build namespace, too. */
  #grantInOwnNamespace(hasBuilds: boolean): void {
    const { deployment, namespace, ownNamespace, ownSecrets, secretsIn } = this.#args;
    const all = pulumi.all([secretsIn(ownNamespace), ownSecrets]).apply((lists) => [...new Set(lists.flat())]);
    this.#grant("", namespace, [
      ...(hasBuilds ? this.#keepObjects(all) : [keepSecrets(ownSecrets)]),
      // A new helper continues with the tokens that the old one kept there.
      rule("secrets", ownSecrets, ["get"]),
      recordEvents,
      rule("deployments", [deployment], ["get", "list", "watch"], "apps"),
      // A PUT creates the Lease where there is none, so that this right, too, is for the one name.
      rule("leases", [deployment], ["get", "list", "watch", "create", "update"], "coordination.k8s.io"),
    ]);
  }

  #grant(suffix: string, namespace: pulumi.Input<string>, rules: PolicyRule[]): void {
    const [resourceName, options] = [`${this.#resourceName}${suffix}`, this.#optionsOf(suffix)];
    const metadata = { name: this.#roleName, namespace };
    const role = new Role(resourceName, { metadata, rules }, options);
    const roleRef = { apiGroup, kind: "Role", name: role.metadata.name };
    new RoleBinding(resourceName, { metadata, roleRef, subjects: this.#subjects() }, options);
  }

  /** Earlier versions had no hash in the names of these resources. */
  #optionsOf(suffix: string): pulumi.CustomResourceOptions {
    return { ...this.#childOptions, aliases: [{ name: `${this.#name}${suffix}` }] };
  }

  #subjects(): input.rbac.v1.Subject[] {
    return [{ kind: "ServiceAccount", ...this.#args.subject }];
  }
}
