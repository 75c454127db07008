// The admission policies for the helper's writes: RBAC restricts which names it may write, these restrict the content.
// https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/
import { ValidatingAdmissionPolicy } from "@pulumi/kubernetes/admissionregistration/v1/validatingAdmissionPolicy.js";
import { ValidatingAdmissionPolicyBinding } from "@pulumi/kubernetes/admissionregistration/v1/validatingAdmissionPolicyBinding.js";
import * as pulumi from "@pulumi/pulumi";
import type { NamespaceRules } from "../../helper/shared/namespace-rules.ts";
import type { SecretDefinition } from "../../helper/shared/secret-definition.ts";
import type { KeptNames } from "../secret-names.ts";
import { accountRules } from "./service-accounts.ts";
import type { KeptObjects, Rules, Validation, Variable } from "./rules.ts";
import { secretRules } from "./secrets.ts";
import { literal } from "./cel.ts";

interface Subject {
  readonly name: string;
  readonly namespace: string;
}

/** Arguments of Admission. */
export interface AdmissionArgs {
  /** Prefix of the policies' names. They are cluster-scoped, so it must be unique to the stack. */
  readonly name: string;
  /** The helper's service account. */
  readonly subject: { readonly name: pulumi.Input<string>; readonly namespace: pulumi.Input<string> };
  readonly namespaceRules: NamespaceRules;
  readonly names: pulumi.Input<KeptNames>;
  readonly furtherSecrets: readonly SecretDefinition[];
  readonly owner: pulumi.Input<string>;
}

/** The spec of a ValidatingAdmissionPolicy. */
export interface PolicySpec {
  readonly failurePolicy: "Fail";
  readonly matchConstraints: { readonly resourceRules: { [key: string]: string[] }[] };
  readonly matchConditions: { readonly name: string; readonly expression: string }[];
  readonly variables: Variable[];
  readonly validations: (Validation & { readonly reason: "Forbidden" })[];
}

/**
 * The policy for one resource. It is evaluated only for the helper's requests, so it can neither fail nor delay any
 * other.
 */
function policySpec(resource: string, { name, namespace }: Subject, { variables, validations }: Rules): PolicySpec {
  const user = `system:serviceaccount:${namespace}:${name}`;
  const operations = ["CREATE", "UPDATE", "DELETE"];
  return {
    failurePolicy: "Fail",
    matchConstraints: {
      resourceRules: [{ apiGroups: [""], apiVersions: ["v1"], operations, resources: [resource] }],
    },
    matchConditions: [{ name: "helper", expression: `request.userInfo.username == ${literal(user)}` }],
    variables: [...variables],
    validations: validations.map((one) => ({ ...one, reason: "Forbidden" })),
  };
}

/** The specs of the policies, by resource. */
export const policySpecs = (
  subject: Subject,
  kept: KeptObjects,
): Record<"secrets" | "serviceaccounts", PolicySpec> => ({
  secrets: policySpec("secrets", subject, secretRules(kept)),
  serviceaccounts: policySpec("serviceaccounts", subject, accountRules(kept)),
});

/**
 * The policies and their bindings. An update changes them in place before the rollout, so their rules let the old
 * helper continue with its own names, and clean up in all namespaces.
 */
export class Admission extends pulumi.ComponentResource {
  constructor(name: string, args: AdmissionArgs, opts: pulumi.ComponentResourceOptions) {
    super("ecr-helper:index:Admission", name, {}, opts);
    const childOptions = { parent: this };
    const { namespaceRules, furtherSecrets } = args;
    const specs = pulumi
      .all([args.subject, args.names, args.owner])
      .apply(([subject, names, owner]) => policySpecs(subject, { namespaceRules, ...names, furtherSecrets, owner }));
    for (const resource of ["secrets", "serviceaccounts"] as const) {
      const metadata = { name: `${args.name}-${resource}` };
      const policy = new ValidatingAdmissionPolicy(
        `${name}-${resource}`,
        { metadata, spec: specs.apply((all) => all[resource]) },
        childOptions,
      );
      new ValidatingAdmissionPolicyBinding(
        `${name}-${resource}`,
        { metadata, spec: { policyName: policy.metadata.name, validationActions: ["Deny"] } },
        childOptions,
      );
    }
    this.registerOutputs({});
  }
}
