// What each identity creates in AWS, what its pod gets, and the outputs of its stack, in each partition.
import { firstPullResource } from "../../infra/first-pull.ts";
import { createHash } from "node:crypto";
import { account, accessKeyId, issuer, oidcProvider } from "./program.ts";
import { cluster } from "./example-stack.ts";

type Values = Record<string, unknown>;

/** The partition and region of most tests. */
export const home = { partition: "aws", region: "eu-central-1" };
/** A place in AWS China. */
export const china = { partition: "aws-cn", region: "cn-north-1" };
/** A place in AWS GovCloud. */
export const government = { partition: "aws-us-gov", region: "us-gov-west-1" };
/** A place in the AWS European Sovereign Cloud. */
export const sovereign = { partition: "aws-eusc", region: "eusc-de-east-1" };
/** The configuration of a cluster in EKS. */
export const eks = { eksCluster: "main" };
const tokenFile = "/var/run/secrets/ecr-helper/token";

/** The document of the helper's policy, as JSON. */
export const policyIn = ({ partition, region }: typeof home): string =>
  '{"Version":"2012-10-17","Statement":[{"Sid":"ECRKnativeToken","Effect":"Allow","Resource":["*"],' +
  '"Action":["ecr:GetAuthorizationToken"]},{"Sid":"PullImages","Effect":"Allow",' +
  `"Resource":["arn:${partition}:ecr:${region}:${account}:repository/*"],` +
  '"Action":["ecr:BatchCheckLayerAvailability","ecr:BatchGetImage","ecr:GetDownloadUrlForLayer"]}]}';
const trustPolicy = (statement: object): string => JSON.stringify({ Version: "2012-10-17", Statement: [statement] });
/** The ARN of the helper's policy. */
export const policyArnIn = (partition: string): string => `arn:${partition}:iam::${account}:policy/ecr-helper-policy`;
const roleArnIn = (partition: string, name = "ecr-helper"): string => `arn:${partition}:iam::${account}:role/${name}`;
/** The trust policy of identity irsa, as JSON. */
export const trustOfTokens = (partition: string): string =>
  trustPolicy({
    Effect: "Allow",
    Principal: { Federated: oidcProvider({ partition })["arn"] },
    Action: "sts:AssumeRoleWithWebIdentity",
    Condition: {
      StringEquals: {
        "oidc.example/id/MAIN:aud": "sts.amazonaws.com",
        "oidc.example/id/MAIN:sub": "system:serviceaccount:tools:ecr-helper",
      },
    },
  });

const roleWith = (partition: string, assumeRolePolicy: string, name = "ecr-helper"): Values => ({
  [`Role ${name}`]: { name, description: "Helper to access to ECR", assumeRolePolicy, tags: {} },
  [`RolePolicyAttachment ${name}-ecr-helper-policy`]: { role: name, policyArn: policyArnIn(partition) },
});

const tokenFor = (audience: string): Values => {
  const sources = [{ serviceAccountToken: { audience, expirationSeconds: 3600, path: "token" } }];
  return {
    volumes: [{ name: "aws-token", projected: { sources } }],
    volumeMounts: [{ name: "aws-token", mountPath: "/var/run/secrets/ecr-helper", readOnly: true }],
  };
};

/** By identity: its configuration, its resources in IAM and EKS beside the policy, what its pod gets, and its outputs. */
export const identities: Record<
  string,
  (place: typeof home) => { config: Record<string, string>; made: Values; env: Values; pod: Values; outputs: Values }
> = {
  accessKey: ({ partition }) => ({
    config: { ...cluster, accessKeyGeneration: "3" },
    made: {
      "User ecr-helper": { name: "ecr-helper", tags: {} },
      "UserPolicyAttachment ecr-helper-ecr-helper-policy": { user: "ecr-helper", policyArn: policyArnIn(partition) },
      "AccessKey ecr-helper-3": { user: "ecr-helper" },
    },
    env: {
      AWS_ACCESS_KEY_ID: { secretKeyRef: { name: "ecr-helper", key: "aws_access_key_id" } },
      AWS_SECRET_ACCESS_KEY: { secretKeyRef: { name: "ecr-helper", key: "aws_secret_access_key" } },
    },
    pod: {
      annotations: {
        "ecr-helper/access-key": createHash("sha256").update(accessKeyId).digest("hex").slice(0, 16),
      },
      secrets: ["ecr-helper", firstPullResource("ecr-creds-pull")],
      keyIn: ["Secret ecr-helper"],
    },
    outputs: { userName: "ecr-helper", credentialsSecretName: "ecr-helper" },
  }),

  irsa: ({ partition }) => ({
    config: { ...eks, createOidcProvider: "true" },
    made: {
      "OpenIdConnectProvider ecr-helper": { url: issuer, clientIdLists: ["sts.amazonaws.com"], tags: {} },
      ...roleWith(partition, trustOfTokens(partition)),
    },
    env: {
      AWS_ROLE_ARN: roleArnIn(partition),
      AWS_ROLE_SESSION_NAME: "ecr-helper",
      AWS_WEB_IDENTITY_TOKEN_FILE: tokenFile,
    },
    pod: tokenFor("sts.amazonaws.com"),
    outputs: { roleArn: roleArnIn(partition) },
  }),

  podIdentity: ({ partition, region }) => {
    const tagged = {
      "aws:RequestTag/eks-cluster-arn": `arn:${partition}:eks:${region}:${account}:cluster/main`,
      "aws:RequestTag/kubernetes-namespace": "tools",
      "aws:RequestTag/kubernetes-service-account": "ecr-helper",
    };
    const trust = {
      Effect: "Allow",
      Principal: { Service: "pods.eks.amazonaws.com" },
      Action: ["sts:AssumeRole", "sts:TagSession"],
      Condition: { StringEquals: tagged },
    };
    const [roleArn, subject] = [roleArnIn(partition), { namespace: "tools", serviceAccount: "ecr-helper" }];
    return {
      config: eks,
      made: {
        ...roleWith(partition, trustPolicy(trust)),
        "PodIdentityAssociation ecr-helper": { clusterName: "main", ...subject, roleArn, tags: {} },
      },
      env: {
        AWS_CONTAINER_CREDENTIALS_FULL_URI: "http://169.254.170.23/v1/credentials",
        AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: tokenFile,
      },
      pod: tokenFor("pods.eks.amazonaws.com"),
      outputs: { roleArn },
    };
  },

  kube2iam: ({ partition }) => {
    const roleName = "ecr.helper+x";
    const [roleArn, AWS] = [roleArnIn(partition, roleName), [roleArnIn(partition, "nodes"), "444455556666"]];
    const trust = trustPolicy({ Effect: "Allow", Principal: { AWS }, Action: "sts:AssumeRole" });
    return {
      config: { ...cluster, roleName, trustedPrincipals: JSON.stringify(AWS) },
      made: roleWith(partition, trust, roleName),
      env: {},
      pod: {
        annotations: { "iam.amazonaws.com/role": roleArn },
        namespaceAnnotations: {
          "iam.amazonaws.com/allowed-roles": JSON.stringify([roleArn]),
          "iam.amazonaws.com/permitted": "^(.*/)?ecr\\.helper\\+x$",
        },
      },
      outputs: { roleArn },
    };
  },

  node: () => ({
    config: cluster,
    made: {},
    env: {},
    pod: { deploymentAnnotations: { "pulumi.com/skipAwait": "true" } },
    outputs: {},
  }),
};

/** What the cluster has with an identity that adds nothing to it. */
export const noPod = {
  volumes: [],
  volumeMounts: [],
  annotations: {},
  namespaceAnnotations: {},
  secrets: [firstPullResource("ecr-creds-pull")],
  keyIn: [],
  deploymentAnnotations: { "pulumi.com/timeoutSeconds": "180" },
};
