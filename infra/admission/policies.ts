// What the API server holds the helper to, beyond its rights: these say which names it may write, and not what.
// https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/
import { ValidatingAdmissionPolicy } from "@pulumi/kubernetes/admissionregistration/v1/validatingAdmissionPolicy.js";
import { ValidatingAdmissionPolicyBinding } from "@pulumi/kubernetes/admissionregistration/v1/validatingAdmissionPolicyBinding.js";
import * as pulumi from "@pulumi/pulumi";
import type { NamespaceRules } from "../../helper/shared/namespace-rules.ts";
import { accountRules } from "./service-accounts.ts";
import type { KeptObjects, Rules, Validation, Variable } from "./rules.ts";
import { secretRules } from "./secrets.ts";
import { literal } from "./cel.ts";

interface Subject {
  readonly name: string;
  readonly namespace: string;
}

export interface AdmissionArgs {
  /** Begins the names of the policies, which are cluster-scoped: the stack's own. */
  readonly name: string;
  /** The helper's service account. */
  readonly subject: { readonly name: pulumi.Input<string>; readonly namespace: pulumi.Input<string> };
  readonly targets: NamespaceRules;
  readonly basicAuthSecrets: pulumi.Input<string[]>;
  readonly pullSecret: string;
  readonly owner: { readonly name: pulumi.Input<string>; readonly uid: pulumi.Input<string> };
}

export interface PolicySpec {
  readonly failurePolicy: "Fail";
  readonly matchConstraints: { readonly resourceRules: { [key: string]: string[] }[] };
  readonly matchConditions: { readonly name: string; readonly expression: string }[];
  readonly variables: Variable[];
  readonly validations: (Validation & { readonly reason: "Forbidden" })[];
}

/** The rules for one resource. They are evaluated for the helper's requests alone: nobody else's can fail, or wait, by them. */
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

/** The specifications of the policies, by the resource that each is for. */
export const policySpecs = (
  subject: Subject,
  kept: KeptObjects,
): Record<"secrets" | "serviceaccounts", PolicySpec> => ({
  secrets: policySpec("secrets", subject, secretRules(kept)),
  serviceaccounts: policySpec("serviceaccounts", subject, accountRules(kept)),
});

/** Changed in place, before the rollout: the helper that ends may go on with its own names, and take back everywhere. */
export class Admission extends pulumi.ComponentResource {
  constructor(name: string, args: AdmissionArgs, opts: pulumi.ComponentResourceOptions) {
    super("ecr-helper:index:Admission", name, {}, opts);
    const childOptions = { parent: this };
    const { targets, pullSecret } = args;
    const specs = pulumi
      .all([args.subject, args.basicAuthSecrets, args.owner])
      .apply(([subject, basicAuthSecrets, owner]) =>
        policySpecs(subject, { targets, basicAuthSecrets, pullSecret, owner }),
      );
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
