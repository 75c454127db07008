// What the API servers write to their audit logs.
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { apiServerAudits } from "./audit-log.ts";

/** Requests of service accounts and the responses to them, except for the service accounts of Kubernetes itself. */
const auditPolicy = {
  apiVersion: "audit.k8s.io/v1",
  kind: "Policy",
  omitStages: ["RequestReceived"],
  omitManagedFields: true,
  rules: [
    // Bodies of pods and Events are searched for secrets; those of RBAC objects show which rights were granted, and when.
    {
      level: "Request",
      verbs: ["create", "update", "patch"],
      resources: [
        { group: "", resources: ["events", "pods"] },
        { group: "apps", resources: ["deployments"] },
      ],
    },
    {
      level: "Request",
      verbs: ["create", "update", "patch", "delete"],
      resources: [{ group: "rbac.authorization.k8s.io" }],
    },
    { level: "Metadata", verbs: ["delete"], resources: [{ group: "", resources: ["namespaces"] }] },
    { level: "None", userGroups: ["system:serviceaccounts:kube-system"] },
    { level: "Metadata", userGroups: ["system:serviceaccounts"] },
  ],
};

/** The path of the audit policy. */
export const auditPolicyFile = join(apiServerAudits, "policy.json");

/** Writes the audit policy, which an API server needs when it starts. */
export async function writeAuditPolicy(): Promise<void> {
  await mkdir(apiServerAudits, { recursive: true });
  await writeFile(auditPolicyFile, JSON.stringify(auditPolicy));
}
