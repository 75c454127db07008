import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, it } from "node:test";
import * as pulumi from "@pulumi/pulumi";
import { isSecret } from "../local/pulumi/values.ts";
import * as mocks from "../support/program.ts";
import {
  account,
  issuer,
  oidcProvider,
  runProgram,
  secretAccessKey,
  type Program,
  type Registered,
} from "../support/program.ts";

type Values = Record<string, unknown>;

const home = { partition: "aws", region: "eu-central-1" };
const china = { partition: "aws-cn", region: "cn-north-1" };
const government = { partition: "aws-us-gov", region: "us-gov-west-1" };
const cluster = { kubeconfig: "Pulumi.yaml" };
const eks = { eksCluster: "main" };
const getCluster = "aws:eks/getCluster:getCluster";
const getProvider = "aws:iam/getOpenIdConnectProvider:getOpenIdConnectProvider";
const tokenFile = "/var/run/secrets/ecr-helper/token";

const policyIn = ({ partition, region }: typeof home): string =>
  '{"Version":"2012-10-17","Statement":[{"Sid":"ECRKnativeToken","Effect":"Allow","Resource":["*"],' +
  '"Action":["ecr:GetAuthorizationToken"]},{"Sid":"PullImages","Effect":"Allow",' +
  `"Resource":["arn:${partition}:ecr:${region}:${account}:repository/*"],` +
  '"Action":["ecr:BatchCheckLayerAvailability","ecr:BatchGetImage","ecr:GetDownloadUrlForLayer"]}]}';
const trustPolicy = (statement: object): string => JSON.stringify({ Version: "2012-10-17", Statement: [statement] });
const policyArnIn = (partition: string): string => `arn:${partition}:iam::${account}:policy/ecr-helper-policy`;
const roleArnIn = (partition: string, name = "ecr-helper"): string => `arn:${partition}:iam::${account}:role/${name}`;
const trustOfTokens = (partition: string): string =>
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

/** What each identity's own keys make in IAM and EKS beside the policy, what its pod gets, and its outputs. */
const identities: Record<
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
        "ecr-helper/access-key": createHash("sha256").update(mocks.accessKeyId).digest("hex").slice(0, 16),
      },
      secrets: ["ecr-helper", "ecr-helper-image"],
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

const noPod = {
  volumes: [],
  volumeMounts: [],
  annotations: {},
  namespaceAnnotations: {},
  secrets: ["ecr-helper-image"],
  keyIn: [],
  deploymentAnnotations: { "pulumi.com/timeoutSeconds": "180" },
};

interface Deployment {
  metadata: { annotations: object };
  spec: { template: { metadata: { annotations: object }; spec: { volumes: object; containers: [Container] } } };
}
interface Container {
  env: { name: string; value?: string; valueFrom?: unknown }[];
  volumeMounts: object;
}

const labelOf = ({ type, name }: Registered): string => `${type.split(":").at(-1) ?? ""} ${name}`;
const pick = (values: object, wanted: (key: string) => boolean): Values =>
  Object.fromEntries(Object.entries(values).filter(([key, value]) => wanted(key) && value !== undefined));

/** What the pod gets for the sake of AWS, and what else an identity changes in the cluster. */
function podOf({ find, resources }: Program): typeof noPod & { env: Values } {
  const { metadata, spec } = find("kubernetes:apps/v1:Deployment").inputs as unknown as Deployment;
  const [{ env, volumeMounts }] = spec.template.spec.containers;
  const namespace = find("kubernetes:core/v1:Namespace").inputs["metadata"] as { annotations: object };
  const found = {
    env: pick(Object.fromEntries(env.map(({ name, value, valueFrom }) => [name, value ?? valueFrom])), (name) =>
      name.startsWith("AWS_"),
    ),
    volumes: spec.template.spec.volumes,
    volumeMounts,
    annotations: pick(
      spec.template.metadata.annotations,
      (key) => !/^(prometheus\.io\/|ecr-helper\/first-pull$)/.test(key),
    ),
    namespaceAnnotations: namespace.annotations,
    secrets: resources.filter(({ type }) => type.endsWith("v1:Secret")).map(({ name }) => name),
    keyIn: resources.filter(({ inputs }) => JSON.stringify(inputs).includes(secretAccessKey)).map(labelOf),
    deploymentAnnotations: metadata.annotations,
  };
  return { ...found, secrets: found.secrets.sort() } as typeof noPod & { env: Values };
}

describe("an identity", () => {
  for (const place of [home, china, government]) {
    for (const [identity, expected] of Object.entries(identities)) {
      it(`${identity} in ${place.partition} is its documents, what its pod needs, and nothing else`, async () => {
        const { config, made, env, pod, outputs } = expected(place);
        const program = await runProgram({ ...config, identity, namespace: "tools" }, place);

        const all = program.resources.filter(({ type }) => /^aws:(iam|eks)\//.test(type));
        const description = "Helper to access to ECR";
        const policy = { name: "ecr-helper-policy", description, policy: policyIn(place) };
        assert.deepEqual(Object.fromEntries(all.map((one) => [labelOf(one), one.inputs])), {
          "Policy ecr-helper-policy": { ...policy, tags: {} },
          ...made,
        });
        assert.deepEqual(podOf(program), { ...noPod, ...pod, env: { AWS_REGION: place.region, ...env } });
        const own = ["identity", "policyArn", "userName", "roleArn", "credentialsSecretName"];
        assert.deepEqual(
          pick(program.outputs, (key) => own.includes(key)),
          { identity, policyArn: policyArnIn(place.partition), ...outputs },
        );
        assert.deepEqual(program.secretOutputs, []);
      });
    }
  }

  it("with an access key has it wrapped as a secret all the way to the cluster", async () => {
    const { find } = await runProgram(cluster);
    const { raw, inputs } = find("kubernetes:core/v1:Secret", "ecr-helper");
    const data = { aws_access_key_id: mocks.accessKeyId, aws_secret_access_key: secretAccessKey };
    assert.deepEqual(inputs["stringData"], data);
    const given = raw["stringData"] as Values;
    assert.ok(isSecret(given) || isSecret(given["aws_secret_access_key"]));
  });

  for (const [identity, expected] of Object.entries(identities)) {
    it(`${identity} is complete before the helper starts`, async () => {
      // In a namespace that is there already: else the helper would wait for that as long.
      const config = { ...expected(home).config, identity, createNamespace: "false" };
      const order = (await runProgram(config)).resources.map(labelOf);
      const rights = order.filter((one) => /PolicyAttachment|PodIdentityAssociation/.test(one));
      assert.equal(rights.length, { podIdentity: 2, node: 0 }[identity] ?? 1);
      for (const one of rights) assert.ok(order.indexOf("Deployment ecr-helper") > order.indexOf(one), one);
    });
  }

  it("irsa trusts the provider that IAM has, by whichever key it is found", async () => {
    const oidcProviderArn = String(oidcProvider(china)["arn"]);
    const sources = [eks, { ...cluster, oidcIssuer: issuer }, { ...cluster, oidcProviderArn }];
    for (const source of [...sources, { ...eks, oidcProviderArn }]) {
      const { find, resources } = await runProgram({ ...source, identity: "irsa", namespace: "tools" }, china);
      assert.equal(find("aws:iam/role:Role").inputs["assumeRolePolicy"], trustOfTokens(china.partition));
      assert.ok(!resources.some(({ type }) => type.endsWith("OpenIdConnectProvider")), "it is there");
    }
  });

  it("irsa trusts the provider that the stack makes for an issuer that is named", async () => {
    const config = { ...cluster, identity: "irsa", oidcIssuer: "https://other.example", createOidcProvider: "true" };
    const { find } = await runProgram(config);
    const { url } = find("aws:iam/openIdConnectProvider:OpenIdConnectProvider").inputs;
    const trust = String(find("aws:iam/role:Role").inputs["assumeRolePolicy"]);
    assert.equal(url, "https://other.example");
    assert.ok(trust.includes(`{"Federated":"arn:aws:iam::${account}:oidc-provider/other.example"}`));
    assert.ok(trust.includes('"other.example:sub":"system:serviceaccount:ecr-helper:ecr-helper"'));
  });

  it("irsa reaches STS where it is told to", async () => {
    const endpoints = { awsEndpointUrl: "https://ecr.example", stsEndpointUrl: "https://sts.example" };
    const { env } = podOf(await runProgram({ ...eks, identity: "irsa", ...endpoints }));
    assert.equal(env["AWS_ENDPOINT_URL"], "https://ecr.example");
    assert.equal(env["AWS_ENDPOINT_URL_STS"], "https://sts.example");
  });

  it("podIdentity asks the agent by IPv6 in a cluster that has nothing else", async () => {
    const ipv6 = { ...mocks.eksCluster(home), kubernetesNetworkConfigs: [{ ipFamily: "ipv6" }] };
    const program = await runProgram({ ...eks, identity: "podIdentity" }, { answers: { [getCluster]: () => ipv6 } });
    const uri = podOf(program).env["AWS_CONTAINER_CREDENTIALS_FULL_URI"];
    assert.equal(uri, "http://[fd00:ec2::23]/v1/credentials");
  });

  it("has the path, the boundary and the tags on everything that takes them", async () => {
    const [path, permissionsBoundary] = ["/builds/", `arn:aws:iam::${account}:policy/boundary`];
    const tags = { team: "build", "cost center": "a=b", empty: "" };
    const given = { path, tags: '["team=build","cost center=a=b","empty="]' };
    const takes: Record<string, Values> = {
      "aws:ecr/repository:Repository": { tags },
      "aws:iam/policy:Policy": { path, tags },
      "aws:iam/user:User": { path, permissionsBoundary, tags },
      "aws:iam/role:Role": { path, permissionsBoundary, tags },
      "aws:iam/openIdConnectProvider:OpenIdConnectProvider": { tags },
      "aws:eks/podIdentityAssociation:PodIdentityAssociation": { tags },
    };
    const seen = new Set<string>();
    for (const [identity, expected] of Object.entries(identities)) {
      const boundary = identity === "node" ? {} : { permissionsBoundary };
      const program = await runProgram({ ...expected(home).config, identity, ...given, ...boundary });
      for (const { type, inputs } of program.resources.filter((one) => one.type.startsWith("aws:"))) {
        const has = pick(inputs, (key) => ["path", "permissionsBoundary", "tags"].includes(key));
        assert.deepEqual(has, takes[type] ?? {}, `${identity}: ${type}`);
        seen.add(type);
      }
    }
    for (const type of Object.keys(takes)) assert.ok(seen.has(type), type);
  });
});

describe("a look-up before anything is made", () => {
  const notThere = (): never => {
    throw mocks.failedCall("ResourceNotFoundException");
  };
  const clientIdLists = ["kubernetes", "other"];
  const irsa = { ...cluster, identity: "irsa" };
  const oidcProviderArn = `arn:aws:iam::${account}:oidc-provider/gone.example`;
  const unknown = "expected an OIDC provider that IAM has in this account; createOidcProvider = true makes";
  const cases: [what: string, config: Record<string, string>, answers: mocks.Answers, message: string[]][] = [
    [
      "an EKS cluster that is not there",
      { ...eks, identity: "podIdentity" },
      { [getCluster]: notThere },
      ['eksCluster = "main": expected the name of an EKS cluster that', "aws:region", "ResourceNotFoundException"],
    ],
    [
      "an EKS cluster's issuer that IAM does not know",
      { ...eks, identity: "irsa" },
      { [getProvider]: notThere },
      [`oidcIssuer = "${issuer}": ${unknown}`, "ResourceNotFoundException"],
    ],
    [
      "an issuer that IAM does not know",
      { ...irsa, oidcIssuer: "https://gone.example" },
      {},
      [`oidcIssuer = "https://gone.example": ${unknown}`],
    ],
    [
      "an OIDC provider that is not there",
      { ...irsa, oidcProviderArn },
      {},
      [`oidcProviderArn = "${oidcProviderArn}": ${unknown}`],
    ],
    [
      "an OIDC provider that is not for AWS",
      { ...irsa, oidcProviderArn },
      { [getProvider]: () => ({ ...oidcProvider(home), clientIdLists }) },
      [
        `oidcProviderArn = "${oidcProviderArn}": expected`,
        "audience sts.amazonaws.com; this one has kubernetes, other",
      ],
    ],
  ];
  for (const [what, config, answers, told] of cases) {
    it(`finds ${what}, and says so in one error`, async () => {
      const resources: Registered[] = [];
      await assert.rejects(runProgram(config, { answers, resources }), (error: unknown) => {
        assert.ok(error instanceof pulumi.RunError, "an error that Pulumi shows without a stack trace");
        for (const text of [...told, "Nothing was changed"]) assert.ok(error.message.includes(text), error.message);
        return error.message.startsWith("ecr-helper:");
      });
      assert.deepEqual(resources.map(labelOf), ["Stack ecr-helper-test"]);
    });
  }
});
