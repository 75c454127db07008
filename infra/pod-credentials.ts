// How the helper's pod gets AWS credentials: what each identity needs in the pod and in its namespace. The AWS SDK uses
// the first credentials that it finds:
// https://docs.aws.amazon.com/sdk-for-javascript/v3/developer-guide/setting-credentials-node.html
import { createHash } from "node:crypto";
import type { input } from "@pulumi/kubernetes/types/index.js";
import type * as pulumi from "@pulumi/pulumi";
import type { EksCluster } from "./cluster.ts";
import type { AccessKeyPair, AwsPrincipal } from "./identity.ts";
import { audience } from "./trust-policy.ts";

/** The parts of a pod by which it gets AWS credentials. */
export interface PodCredentials {
  readonly env: input.core.v1.EnvVar[];
  readonly volumes: input.core.v1.Volume[];
  readonly volumeMounts: input.core.v1.VolumeMount[];
  /** Annotations of the pod. */
  readonly annotations: Annotations;
}

type Annotations = Readonly<Record<string, pulumi.Input<string>>>;

const nothing: PodCredentials = { env: [], volumes: [], volumeMounts: [], annotations: {} };

/** The address of the EKS Pod Identity agent on every node. */
export const podIdentityAgent = ({ isIpv6 }: EksCluster): string => (isIpv6 ? "fd00:ec2::23" : "169.254.170.23");

/** The credentials of identity accessKey, from the secret of the given name in the pod's namespace. */
export function accessKeyCredentials({ id }: AccessKeyPair, secretName: pulumi.Input<string>): PodCredentials {
  const from = (key: string): input.core.v1.EnvVarSource => ({ secretKeyRef: { name: secretName, key } });
  return {
    ...nothing,
    env: [
      { name: "AWS_ACCESS_KEY_ID", valueFrom: from("aws_access_key_id") },
      { name: "AWS_SECRET_ACCESS_KEY", valueFrom: from("aws_secret_access_key") },
    ],
    // The helper reads the key only when it starts, so a new key needs a new pod.
    annotations: { "ecr-helper/access-key": id.apply(fingerprint) },
  };
}

const fingerprint = (id: string): string => createHash("sha256").update(id).digest("hex").slice(0, 16);

/** The credentials of the identities without an access key. */
export function podCredentials(principal: Exclude<AwsPrincipal, { mode: "accessKey" }>): PodCredentials {
  switch (principal.mode) {
    case "irsa": {
      const session = { AWS_ROLE_ARN: principal.roleArn, AWS_ROLE_SESSION_NAME: "ecr-helper" };
      return withToken(audience, (file) => ({ ...session, AWS_WEB_IDENTITY_TOKEN_FILE: file }));
    }
    case "podIdentity": {
      // The EKS webhook would add the same to the pod, but only once it knows of the association.
      const agent = podIdentityAgent(principal.eks);
      return withToken("pods.eks.amazonaws.com", (file) => ({
        AWS_CONTAINER_CREDENTIALS_FULL_URI: `http://${agent.includes(":") ? `[${agent}]` : agent}/v1/credentials`,
        AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: file,
      }));
    }
    case "kube2iam":
      return { ...nothing, annotations: { "iam.amazonaws.com/role": principal.roleArn } };
    case "node":
      return nothing;
  }
}

/**
 * The namespace's annotations by which kube2iam and kiam, where they restrict roles by namespace, allow the helper's
 * role.
 */
export function namespaceAnnotations(principal: AwsPrincipal): Annotations {
  if (principal.mode !== "kube2iam") return {};
  const name = principal.roleName.replaceAll(/[.+]/g, "\\$&");
  return {
    "iam.amazonaws.com/allowed-roles": principal.roleArn.apply((arn) => JSON.stringify([arn])),
    // kiam matches this regular expression against the role's name or ARN.
    "iam.amazonaws.com/permitted": `^(.*/)?${name}$`,
  };
}

/** A token of the pod's service account for the audience. The kubelet renews it, and lets the pod's user read it. */
function withToken(
  tokenAudience: string,
  variablesFor: (file: string) => Record<string, pulumi.Input<string>>,
): PodCredentials {
  const [name, mountPath, path] = ["aws-token", "/var/run/secrets/ecr-helper", "token"];
  const sources = [{ serviceAccountToken: { audience: tokenAudience, expirationSeconds: 3600, path } }];
  return {
    env: Object.entries(variablesFor(`${mountPath}/${path}`)).map(([variable, value]) => ({ name: variable, value })),
    volumes: [{ name, projected: { sources } }],
    volumeMounts: [{ name, mountPath, readOnly: true }],
    annotations: {},
  };
}
