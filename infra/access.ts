// What the helper may do in the cluster: write its three objects in each build namespace, and nothing else.
import { ClusterRole } from "@pulumi/kubernetes/rbac/v1/clusterRole.js";
import { Role } from "@pulumi/kubernetes/rbac/v1/role.js";
import { RoleBinding } from "@pulumi/kubernetes/rbac/v1/roleBinding.js";
import type { input } from "@pulumi/kubernetes/types/index.js";
import * as pulumi from "@pulumi/pulumi";

type PolicyRule = input.rbac.v1.PolicyRule;

export interface AccessArgs {
  /** Name of the roles; the cluster-scoped one must be the stack's own. */
  readonly name: string;
  /** The helper's service account. */
  readonly subject: { readonly name: pulumi.Input<string>; readonly namespace: pulumi.Input<string> };
  readonly buildNamespaces: readonly string[];
  /** The helper's own namespace, where it keeps a pull secret for its own image: its name, and when it is there. */
  readonly ownNamespace: string;
  readonly namespace: pulumi.Input<string>;
  readonly basicAuthSecret: string;
  readonly pullSecret: string;
  readonly serviceAccount: string;
}

// A create by server-side apply carries the object's name, so that even create is limited by resourceNames.
const verbs = ["get", "create", "patch"];
const rule = (resource: string, resourceNames: string[]): PolicyRule => ({
  apiGroups: [""],
  resources: [resource],
  resourceNames,
  verbs,
});

// Events get their names when they are made: only making them can be allowed.
const recordEvents: PolicyRule = { apiGroups: [""], resources: ["events"], verbs: ["create"] };

export class Access extends pulumi.ComponentResource {
  /**
   * The cluster-scoped object that owns what the helper creates: Kubernetes collects it all when the stack is destroyed.
   * It grants nothing.
   */
  readonly owner: { readonly name: pulumi.Output<string>; readonly uid: pulumi.Output<string> };

  constructor(name: string, args: AccessArgs, opts: pulumi.ComponentResourceOptions) {
    super("ecr-helper:index:Access", name, {}, opts);
    const inside = { parent: this };

    const owner = new ClusterRole(name, { metadata: { name: args.name }, rules: [] }, inside);
    this.owner = { name: owner.metadata.name, uid: owner.metadata.uid };

    const grant = (resourceName: string, namespace: pulumi.Input<string>, rules: PolicyRule[]): void => {
      const role = new Role(
        resourceName,
        { metadata: { name: args.name, namespace }, rules: [...rules, recordEvents] },
        inside,
      );
      new RoleBinding(
        resourceName,
        {
          metadata: { name: args.name, namespace },
          roleRef: { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: role.metadata.name },
          subjects: [{ kind: "ServiceAccount", ...args.subject }],
        },
        inside,
      );
    };

    for (const namespace of args.buildNamespaces) {
      // Builds may run in the helper's own namespace, which this stack may be about to make.
      grant(`${name}-${namespace}`, namespace === args.ownNamespace ? args.namespace : namespace, [
        rule("secrets", [args.basicAuthSecret, args.pullSecret]),
        rule("serviceaccounts", [args.serviceAccount]),
      ]);
    }
    if (!args.buildNamespaces.includes(args.ownNamespace)) {
      grant(name, args.namespace, [rule("secrets", [args.pullSecret])]);
    }
    this.registerOutputs({});
  }
}
