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
import { isIn, type SecretDefinition } from "../helper/shared/secret-definition.ts";
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
  /** Names of the secrets that builds log in with. */
  readonly basicAuthSecrets: pulumi.Input<string[]>;
  readonly pullSecret: string;
  readonly furtherSecrets: readonly Pick<SecretDefinition, "name" | "namespaces">[];
  /** Whether the helper also keeps the builds' logins in its own namespace, beside its pull secret. */
  readonly keepsLogins: boolean;
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
  /** Names of the secrets that the helper keeps in every build namespace. */
  readonly #secrets: pulumi.Output<string[]>;
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
    const { pullSecret, namespaceRules, ownNamespace } = args;
    this.marker = `${args.name}-stack`;
    this.#secrets = pulumi.output(args.basicAuthSecrets).apply((logins) => [...logins, pullSecret]);
    [this.#roleName, this.#resourceName] = [roleName(args.name, args.objects), roleName(name, args.objects)];
    const [first, second] = ownerNames({ owner: args.name });
    this.owner = this.#owner(name, first);
    this.#owner(`${name}-owner`, second);
    // RBAC has no narrower right for namespaces that are not known in advance.
    if (isDynamic(namespaceRules))
      this.#grantEverywhere([...this.#keepObjects(undefined), recordEvents, watchNamespaces]);
    const buildNamespaces = staticNamespaces(namespaceRules);
    for (const namespace of buildNamespaces.filter((one) => one !== ownNamespace)) {
      this.#grant(`-${namespace}`, namespace, [...this.#keepObjects(namespace), recordEvents]);
    }
    this.#grantInOwnNamespace(buildNamespaces.includes(ownNamespace) ? this.#keepObjects(ownNamespace) : undefined);
    this.registerOutputs({});
  }

  /** The rules to keep the objects of a build namespace, or of all when undefined. */
  #keepObjects(namespace: string | undefined): PolicyRule[] {
    const { furtherSecrets, accountRules } = this.#args;
    const further = furtherSecrets.filter((one) => namespace === undefined || isIn(one, namespace));
    const secrets = this.#secrets.apply((names) => [...names, ...further.map(({ name }) => name)]);
    return [keepSecrets(secrets), ...keepAccounts(accountRules)];
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

  /** `keepObjects` are the rules of a build namespace, if builds run in the helper's own namespace too. */
  #grantInOwnNamespace(keepObjects: readonly PolicyRule[] | undefined): void {
    const { deployment, keepsLogins, namespace, pullSecret } = this.#args;
    const ownSecrets = keepsLogins ? this.#secrets : [pullSecret];
    this.#grant("", namespace, [
      ...(keepObjects ?? [keepSecrets(ownSecrets)]),
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
