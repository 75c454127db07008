// How the helper's pod comes by credentials of AWS: what each identity needs in the cluster. The SDK in the helper takes
// the first that it finds: https://docs.aws.amazon.com/sdk-for-javascript/v3/developer-guide/setting-credentials-node.html
import type { input } from "@pulumi/kubernetes/types/index.js";
import * as pulumi from "@pulumi/pulumi";
import type { EksCluster } from "./cluster.ts";
import type { IdentityConfig } from "./config/identity.ts";
import type { Identity } from "./identity.ts";
import { audience } from "./trust-policy.ts";

export interface PodCredentials {
  readonly env: input.core.v1.EnvVar[];
  readonly volumes: input.core.v1.Volume[];
  readonly volumeMounts: input.core.v1.VolumeMount[];
  /** Of the pod. */
  readonly annotations: Readonly<Record<string, pulumi.Input<string>>>;
}

const nothing: PodCredentials = { env: [], volumes: [], volumeMounts: [], annotations: {} };

const variables = (values: Readonly<Record<string, pulumi.Input<string>>>): input.core.v1.EnvVar[] =>
  Object.entries(values).map(([name, value]) => ({ name, value }));

/** The address of EKS' agent on every node. */
export const podIdentityAgent = (eks: EksCluster | undefined): string =>
  eks?.isIpv6 === true ? "fd00:ec2::23" : "169.254.170.23";

/** The name of the credentials secret; where there is none the identity has no key. */
export function podCredentials(
  { mode }: IdentityConfig,
  { roleArn = pulumi.output("") }: Identity,
  eks: EksCluster | undefined,
  credentialsSecret: pulumi.Input<string> | undefined,
): PodCredentials {
  switch (mode) {
    case "accessKey":
      return credentialsSecret === undefined ? nothing : { ...nothing, env: keyVariables(credentialsSecret) };
    case "irsa": {
      const session = { AWS_ROLE_ARN: roleArn, AWS_ROLE_SESSION_NAME: "ecr-helper" };
      return withToken(audience, (file) => ({ ...session, AWS_WEB_IDENTITY_TOKEN_FILE: file }));
    }
    case "podIdentity": {
      // EKS' webhook would put the same into the pod, unless it has not heard of the association yet.
      const agent = podIdentityAgent(eks);
      return withToken("pods.eks.amazonaws.com", (file) => ({
        AWS_CONTAINER_CREDENTIALS_FULL_URI: `http://${agent.includes(":") ? `[${agent}]` : agent}/v1/credentials`,
        AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: file,
      }));
    }
    case "kube2iam":
      return { ...nothing, annotations: { "iam.amazonaws.com/role": roleArn } };
    case "node":
      return nothing;
  }
}

/** What namespaces have to say for kube2iam and for kiam, where these limit which roles the pods of a namespace may have. */
export function namespaceAnnotations(
  identity: IdentityConfig,
  { roleArn = pulumi.output("") }: Identity,
): Readonly<Record<string, pulumi.Input<string>>> {
  if (identity.mode !== "kube2iam") return {};
  const name = identity.roleName.replaceAll(/[.+]/g, "\\$&");
  return {
    "iam.amazonaws.com/allowed-roles": roleArn.apply((arn) => JSON.stringify([arn])),
    // A regular expression that kiam matches with the role's name or ARN.
    "iam.amazonaws.com/permitted": `^(.*/)?${name}$`,
  };
}

function keyVariables(name: pulumi.Input<string>): input.core.v1.EnvVar[] {
  const from = (key: string): input.core.v1.EnvVarSource => ({ secretKeyRef: { name, key } });
  return [
    { name: "AWS_ACCESS_KEY_ID", valueFrom: from("aws_access_key_id") },
    { name: "AWS_SECRET_ACCESS_KEY", valueFrom: from("aws_secret_access_key") },
  ];
}

/** A token of the pod's service account that is meant for AWS. The kubelet renews it, and lets the pod's user read it. */
function withToken(meantFor: string, env: (file: string) => Record<string, pulumi.Input<string>>): PodCredentials {
  const [name, mountPath, path] = ["aws-token", "/var/run/secrets/ecr-helper", "token"];
  const sources = [{ serviceAccountToken: { audience: meantFor, expirationSeconds: 3600, path } }];
  return {
    env: variables(env(`${mountPath}/${path}`)),
    volumes: [{ name, projected: { sources } }],
    volumeMounts: [{ name, mountPath, readOnly: true }],
    annotations: {},
  };
}
