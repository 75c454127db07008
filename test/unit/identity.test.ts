import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isSecret } from "../local/pulumi/values.ts";
import { cluster } from "../support/example-stack.ts";
import {
  china,
  eks,
  government,
  sovereign,
  home,
  identities,
  noPod,
  policyArnIn,
  policyIn,
  trustOfTokens,
} from "../support/expected-identities.ts";
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

/** What the pod has for AWS, and what else in the cluster depends on the identity. */
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
  for (const place of [home, china, government, sovereign]) {
    for (const [identity, expected] of Object.entries(identities)) {
      it(`${identity} in ${place.partition} creates its policies, what its pod needs, and nothing else`, async () => {
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

  it("with an access key keeps it a Pulumi secret up to the Secret in the cluster", async () => {
    const { find } = await runProgram(cluster);
    const { raw, inputs } = find("kubernetes:core/v1:Secret", "ecr-helper");
    const data = { aws_access_key_id: mocks.accessKeyId, aws_secret_access_key: secretAccessKey };
    assert.deepEqual(inputs["stringData"], data);
    const given = raw["stringData"] as Values;
    assert.ok(isSecret(given) || isSecret(given["aws_secret_access_key"]));
  });

  for (const [identity, expected] of Object.entries(identities)) {
    it(`${identity} is complete before the helper starts`, async () => {
      // In an existing namespace, because creating one takes as long in the mocks, and the Deployment would wait for it.
      const config = { ...expected(home).config, identity, createNamespace: "false" };
      const order = (await runProgram(config)).resources.map(labelOf);
      const rights = order.filter((one) => /PolicyAttachment|PodIdentityAssociation/.test(one));
      assert.equal(rights.length, { podIdentity: 2, node: 0 }[identity] ?? 1);
      for (const one of rights) assert.ok(order.indexOf("Deployment ecr-helper") > order.indexOf(one), one);
    });
  }

  it("irsa trusts the existing provider, whichever key finds it", async () => {
    const oidcProviderArn = String(oidcProvider(china)["arn"]);
    const sources = [eks, { ...cluster, oidcIssuer: issuer }, { ...cluster, oidcProviderArn }];
    for (const source of [...sources, { ...eks, oidcProviderArn }]) {
      const { find, resources } = await runProgram({ ...source, identity: "irsa", namespace: "tools" }, china);
      assert.equal(find("aws:iam/role:Role").inputs["assumeRolePolicy"], trustOfTokens(china.partition));
      assert.ok(!resources.some(({ type }) => type.endsWith("OpenIdConnectProvider")), "it exists already");
    }
  });

  it("irsa trusts the provider that the stack creates for the configured issuer", async () => {
    const config = { ...cluster, identity: "irsa", oidcIssuer: "https://other.example", createOidcProvider: "true" };
    const { find } = await runProgram(config);
    const { url } = find("aws:iam/openIdConnectProvider:OpenIdConnectProvider").inputs;
    const trust = String(find("aws:iam/role:Role").inputs["assumeRolePolicy"]);
    assert.equal(url, "https://other.example");
    assert.ok(trust.includes(`{"Federated":"arn:aws:iam::${account}:oidc-provider/other.example"}`));
    assert.ok(trust.includes('"other.example:sub":"system:serviceaccount:ecr-helper:ecr-helper"'));
  });

  it("irsa uses the configured STS endpoint", async () => {
    const endpoints = { awsEndpointUrl: "https://ecr.example", stsEndpointUrl: "https://sts.example" };
    const { env } = podOf(await runProgram({ ...eks, identity: "irsa", ...endpoints }));
    assert.equal(env["AWS_ENDPOINT_URL"], "https://ecr.example");
    assert.equal(env["AWS_ENDPOINT_URL_STS"], "https://sts.example");
  });

  it("podIdentity calls the agent by IPv6 in an IPv6 cluster", async () => {
    const ipv6 = { ...mocks.eksCluster(home), kubernetesNetworkConfigs: [{ ipFamily: "ipv6" }] };
    const program = await runProgram(
      { ...eks, identity: "podIdentity" },
      { answers: { "aws:eks/getCluster:getCluster": () => ipv6 } },
    );
    const uri = podOf(program).env["AWS_CONTAINER_CREDENTIALS_FULL_URI"];
    assert.equal(uri, "http://[fd00:ec2::23]/v1/credentials");
  });

  it("has the path, the boundary and the tags on every resource that supports them", async () => {
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
