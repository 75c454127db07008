import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as pulumi from "@pulumi/pulumi";
import { isSecret } from "../local/pulumi/values.ts";
import { firstPullName } from "../../infra/first-pull.ts";
import { pullActions } from "../support/ecr-actions.ts";
import { defaultConfig } from "../local/stack.ts";
import {
  account,
  digest,
  failedCall,
  password,
  runProgram,
  type Program,
  type Registered,
} from "../support/program.ts";

const cluster = { kubeconfig: "Pulumi.yaml" };
const { find, resources, outputs, secretOutputs } = await runProgram({
  ...cluster,
  buildNamespaces: '["team-a","team-b"]',
  registries: '["444455556666.dkr.ecr.us-east-1.amazonaws.com"]',
  awsEndpointUrl: "https://vpce.example",
});
const registry = `${account}.dkr.ecr.eu-central-1.amazonaws.com`;

const firstPull = firstPullName(registry, "ecr-creds-pull");

interface Statement {
  Sid: string;
  Effect: string;
  Principal?: unknown;
  Action: string[];
}

const policyOf = (inputs: Record<string, unknown>): { Version: string; Statement: Statement[] } =>
  JSON.parse(String(inputs["policy"])) as { Version: string; Statement: Statement[] };

interface PodTemplate {
  metadata: { annotations: Record<string, string> };
  spec: {
    imagePullSecrets: { name: string }[];
    containers: { image: string; env: { name: string; value?: string; valueFrom?: object }[] }[];
  };
}

const deployment = find("kubernetes:apps/v1:Deployment").inputs as {
  metadata: { namespace: string; annotations: Record<string, string> };
  spec: { replicas: number; strategy: object; template: PodTemplate };
};
const pod = deployment.spec.template.spec;
const [container] = pod.containers;

describe("the repository", () => {
  it("scans what is pushed, and keeps its images at destroy unless told otherwise", () => {
    const { inputs } = find("aws:ecr/repository:Repository");
    assert.deepEqual(inputs, {
      name: "ecr-helper",
      forceDelete: false,
      imageTagMutability: "MUTABLE",
      imageScanningConfiguration: { scanOnPush: true },
      encryptionConfigurations: [{ encryptionType: "AES256" }],
      tags: {},
    });
  });

  it("is what guard rails demand: tags that stay, a key of one's own, another scan", async () => {
    const kmsKey = `arn:aws:kms:eu-central-1:${account}:key/mrk-1234abcd12ab34cd56ef1234567890ab`;
    const encryptions = {
      AES256: { encryptionType: "AES256" },
      KMS: { encryptionType: "KMS" },
      [kmsKey]: { encryptionType: "KMS", kmsKey },
    };
    for (const [encryption, given] of Object.entries(encryptions)) {
      const program = await runProgram({ ...cluster, encryption, tagMutability: "IMMUTABLE", scanOnPush: "false" });
      const { inputs } = program.find("aws:ecr/repository:Repository");
      assert.deepEqual(inputs["encryptionConfigurations"], [given]);
      assert.equal(inputs["imageTagMutability"], "IMMUTABLE");
      assert.deepEqual(inputs["imageScanningConfiguration"], { scanOnPush: false });
    }
  });

  it("may be pulled from, and by the own account only", () => {
    const { Version, Statement } = policyOf(find("aws:ecr/repositoryPolicy:RepositoryPolicy").inputs);
    assert.equal(Version, "2008-10-17");
    const Principal = { AWS: [`arn:aws:iam::${account}:root`] };
    assert.deepEqual(Statement, [{ Sid: "new policy", Effect: "Allow", Principal, Action: pullActions }]);
  });

  it("keeps the last 10 images", () => {
    const { rules } = JSON.parse(String(find("aws:ecr/lifecyclePolicy:LifecyclePolicy").inputs["policy"])) as {
      rules: object[];
    };
    const selection = { tagStatus: "any", countType: "imageCountMoreThan", countNumber: 10 };
    assert.deepEqual(rules, [
      { rulePriority: 1, description: "keep the last 10 images", selection, action: { type: "expire" } },
    ]);
  });

  it("is open to the principals that are named, or to all as the origin's", async () => {
    const named = await runProgram({ ...cluster, repositoryPrincipals: '["444455556666"]' });
    const all = await runProgram({ ...cluster, repositoryPrincipals: '["*"]' });
    const principal = (program: typeof named): unknown =>
      policyOf(program.find("aws:ecr/repositoryPolicy:RepositoryPolicy").inputs).Statement[0]?.Principal;
    assert.deepEqual(principal(named), { AWS: ["444455556666"] });
    assert.equal(principal(all), "*");
  });
});

describe("the image", () => {
  const { raw, inputs } = find("docker:index/image:Image");

  it("is built for the platform on the base image, from paths that no checkout changes", () => {
    const args = { BASE_IMAGE: defaultConfig()["ecr-helper:baseImage"] ?? "" };
    assert.match(args.BASE_IMAGE, /^gcr\.io\/distroless\/nodejs24-debian13:nonroot@sha256:[0-9a-f]{64}$/);
    const build = { context: "build/helper", dockerfile: "helper/Dockerfile", platform: "linux/amd64", args };
    assert.deepEqual(inputs["build"], build);
  });

  it("is pushed to the repository under a tag of its content, with the token as a secret", () => {
    assert.match(String(inputs["imageName"]), new RegExp(`^${registry}/ecr-helper:[0-9a-f]{12}$`));
    assert.deepEqual(inputs["registry"], { server: registry, username: "AWS", password });
    assert.ok(isSecret(raw["registry"]) || isSecret((raw["registry"] as Record<string, unknown>)["password"]));
  });

  it("is deployed by its digest", () => {
    assert.equal(container?.image, `${registry}/ecr-helper@${digest}`);
    assert.equal(outputs["imageRef"], `${registry}/ecr-helper@${digest}`);
  });

  it("is pulled with a secret made from the same login, until the helper keeps one", () => {
    const { raw: given, inputs: secret } = find("kubernetes:core/v1:Secret", "ecr-helper-image");
    assert.ok(
      isSecret(given["stringData"]) || isSecret((given["stringData"] as Record<string, unknown>)[".dockerconfigjson"]),
    );
    const config = (secret["stringData"] as Record<string, string>)[".dockerconfigjson"] ?? "";
    const auth = Buffer.from(`AWS:${password}`).toString("base64");
    assert.deepEqual(JSON.parse(config), { auths: { [registry]: { auth } } });
    assert.deepEqual(pod.imagePullSecrets, [{ name: firstPull }, { name: "ecr-creds-pull" }]);
  });

  it("has that login in the cluster no longer than the rollout takes, where one is waited for", async () => {
    const type = "kubernetes:core/v1:SecretPatch";
    const { inputs } = find(type, "ecr-helper-image-emptied");
    const { data, metadata } = inputs as {
      data: Record<string, string>;
      metadata: { name: string; annotations: object };
    };
    assert.equal(Buffer.from(data[".dockerconfigjson"] ?? "", "base64").toString(), '{"auths":{}}');
    assert.equal(metadata.name, firstPull);
    assert.deepEqual(metadata.annotations, { "pulumi.com/patchForce": "true", "ecr-helper/emptied": "the-uid" });
    assert.ok(resources.indexOf(find("kubernetes:apps/v1:Deployment")) < resources.indexOf(find(type)));
    const node = await runProgram({ ...cluster, identity: "node" });
    assert.ok(!node.resources.some((one) => one.type === type));
  });

  it("is pushed to a repository that is as the configuration has it by then, also where only its host is known", async () => {
    const { resources } = await runProgram({ ...cluster, registryHost: "registry.example:5000" });
    const order = resources.map(({ type }) => type.split(":").at(-1));
    const made = ["Repository", "RepositoryPolicy"].map((type) => order.indexOf(type));
    const pushed = order.indexOf("Image");
    assert.ok(
      made.every((index) => index >= 0 && index < pushed),
      order.join(", "),
    );
  });

  it("is pushed to another host where the registry has one", async () => {
    const program = await runProgram({ ...cluster, registryHost: "registry.example:5000" });
    assert.match(
      String(program.find("docker:index/image:Image").inputs["imageName"]),
      /^registry\.example:5000\/ecr-helper:/,
    );
    const env = (program.find("kubernetes:apps/v1:Deployment").inputs as typeof deployment).spec.template.spec
      .containers[0]?.env;
    assert.equal(env?.find(({ name }) => name === "ECR_HELPER_REGISTRY_HOST")?.value, "registry.example:5000");
    assert.equal(env.find(({ name }) => name === "ECR_HELPER_REGISTRIES")?.value, registry);
  });
});

describe("the helper's rights in the cluster", () => {
  const keeping = ["list", "watch", "create", "patch", "delete"];
  const rule = (resource: string, resourceNames: string[], verbs: string[], apiGroups = [""]): object => ({
    apiGroups,
    resources: [resource],
    resourceNames,
    verbs,
  });
  const builds = (...further: string[]): object[] => [
    rule("secrets", ["ecr-creds", ...further, "ecr-creds-pull"], keeping),
    rule("serviceaccounts", ["builder-sa"], ["get", ...keeping]),
  ];
  const recordEvents = { apiGroups: [""], resources: ["events"], verbs: ["create"] };
  const own = [
    rule("secrets", ["ecr-creds-pull"], ["get"]),
    recordEvents,
    rule("deployments", ["ecr-helper"], ["get", "list", "watch"], ["apps"]),
  ];
  const rbac = "kubernetes:rbac.authorization.k8s.io/v1";
  const subjects = [{ kind: "ServiceAccount", name: "ecr-helper", namespace: "ecr-helper" }];
  const roleRef = (kind: string, name = "ecr-helper-test"): object => ({
    apiGroup: "rbac.authorization.k8s.io",
    kind,
    name,
  });

  const nameOf = ({ inputs }: Registered): string => (inputs["metadata"] as { name: string }).name;

  for (const namespace of ["team-a", "team-b"]) {
    it(`are its objects by name in ${namespace}, and to record Events there`, () => {
      const { metadata, rules } = find(`${rbac}:Role`, `ecr-helper-${namespace}`).inputs;
      const { name } = metadata as { name: string };
      assert.match(name, /^ecr-helper-test-[0-9a-f]{8}$/);
      assert.deepEqual(metadata, { name, namespace });
      assert.deepEqual(rules, [...builds("ecr-creds-us-east-1"), recordEvents]);
      const binding = find(`${rbac}:RoleBinding`, `ecr-helper-${namespace}`).inputs;
      assert.deepEqual(binding["metadata"], { name, namespace });
      assert.deepEqual(binding["roleRef"], roleRef("Role", name));
      assert.deepEqual(binding["subjects"], subjects);
    });
  }

  it("are the pull secret in its own namespace, and to read it and its Deployment there", () => {
    const { inputs } = find(`${rbac}:Role`, "ecr-helper");
    assert.deepEqual(inputs["rules"], [rule("secrets", ["ecr-creds-pull"], keeping), ...own]);
  });

  /** It owns what the helper creates, and lets it see whether the stack is still there. */
  const ownerRules = [
    {
      apiGroups: ["rbac.authorization.k8s.io"],
      resources: ["clusterroles"],
      resourceNames: ["ecr-helper-test-stack"],
      verbs: ["get"],
    },
  ];

  it("are to see the stack's marker, and nothing else, in the whole cluster while each namespace is named", () => {
    assert.deepEqual(find(`${rbac}:ClusterRole`, "ecr-helper").inputs["rules"], ownerRules);
    const { metadata, rules } = find(`${rbac}:ClusterRole`, "ecr-helper-stack").inputs;
    assert.deepEqual([metadata, rules], [{ name: "ecr-helper-test-stack" }, undefined]);
    const binding = find(`${rbac}:ClusterRoleBinding`).inputs;
    assert.deepEqual([binding["roleRef"], binding["subjects"]], [roleRef("ClusterRole"), subjects]);
    assert.equal(container?.env.find(({ name }) => name === "ECR_HELPER_OWNER_UID")?.value, "the-uid");
  });

  it("are the same objects by name everywhere, and the namespaces, where these are meant by pattern or selector", async () => {
    for (const targets of [
      { buildNamespaces: '["team-*","default"]' },
      { buildNamespaces: "[]", namespaceSelector: "team" },
    ]) {
      const program = await runProgram({ ...cluster, ...targets });
      const watchNamespaces = { apiGroups: [""], resources: ["namespaces"], verbs: ["list", "watch"] };
      assert.deepEqual(program.find(`${rbac}:ClusterRole`, "ecr-helper-everywhere").inputs["rules"], [
        ...builds(),
        recordEvents,
        watchNamespaces,
      ]);
      const binding = program.find(`${rbac}:ClusterRoleBinding`, "ecr-helper-everywhere").inputs;
      assert.deepEqual(
        [binding["roleRef"], binding["subjects"]],
        [roleRef("ClusterRole", nameOf(program.find(`${rbac}:ClusterRole`, "ecr-helper-everywhere"))), subjects],
      );
      assert.match(
        nameOf(program.find(`${rbac}:ClusterRole`, "ecr-helper-everywhere")),
        /^ecr-helper-test-[0-9a-f]{8}-everywhere$/,
      );
      assert.deepEqual(program.find(`${rbac}:ClusterRole`, "ecr-helper").inputs["rules"], ownerRules);
      const roles = program.resources.filter(({ type }) => type.endsWith(":Role")).map(({ name }) => name);
      assert.deepEqual(roles, ["ecr-helper"], "no Role in any build namespace");
    }
  });

  it("are another Role for other names: the helper that ends still has its own, to take back what had the last ones", async () => {
    const nameFor = async (config: Record<string, string>): Promise<string> =>
      nameOf((await runProgram({ ...cluster, ...config })).find(`${rbac}:Role`, "ecr-helper-default"));
    const usual = await nameFor({});
    for (const config of [
      { pullSecret: "pulls" },
      { basicAuthSecret: "logins" },
      { serviceAccount: "builders" },
      { registries: '["444455556666.dkr.ecr.us-east-1.amazonaws.com"]' },
    ]) {
      assert.notEqual(await nameFor(config), usual);
    }
    assert.equal(await nameFor({ logLevel: "debug", buildNamespaces: '["default","team"]' }), usual);
  });

  it("are none in a namespace that is excluded", async () => {
    const targets = { buildNamespaces: '["team-a","team-b"]', excludeNamespaces: '["*-b"]' };
    const { resources: all } = await runProgram({ ...cluster, ...targets });
    const roles = all.filter(({ type }) => type.endsWith(":Role")).map(({ name }) => name);
    assert.deepEqual(roles.sort(), ["ecr-helper", "ecr-helper-team-a"]);
  });

  it("are one Role where builds run in its own namespace", async () => {
    const program = await runProgram({ ...cluster, buildNamespaces: '["ecr-helper"]' });
    const { inputs } = program.find(`${rbac}:Role`);
    assert.deepEqual(inputs["rules"], [...builds(), ...own]);
  });

  it("are given where the stack's own namespace is there already", async () => {
    for (const buildNamespaces of ['["ecr-helper"]', '["default"]']) {
      const { resources: all } = await runProgram({ ...cluster, buildNamespaces });
      const made = all.findIndex(({ type }) => type.endsWith(":Namespace"));
      const inside = all.filter(
        ({ inputs }) => (inputs["metadata"] as { namespace?: string } | undefined)?.namespace === "ecr-helper",
      );
      assert.ok(inside.length >= 6);
      for (const resource of inside) assert.ok(all.indexOf(resource) > made, `${resource.type} ${resource.name}`);
    }
  });
});

describe("the Deployment", () => {
  it("passes the restricted Pod Security Standard, which its namespace enforces", () => {
    const { metadata } = find("kubernetes:core/v1:Namespace").inputs as { metadata: { name: string; labels: object } };
    const labels = { "pod-security.kubernetes.io/enforce": "restricted" };
    assert.deepEqual(metadata, { name: "ecr-helper", labels, annotations: {} });
    const { securityContext } = pod as unknown as { securityContext: object };
    const user = { runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532 };
    assert.deepEqual(securityContext, { ...user, seccompProfile: { type: "RuntimeDefault" } });
    const own = (container as unknown as { securityContext: object }).securityContext;
    assert.deepEqual(own, {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ["ALL"] },
    });
  });

  it("is one replica that ends when the next one is ready, and whose rollout is not awaited for ever", () => {
    assert.equal(deployment.spec.replicas, 1);
    const rollingUpdate = { maxSurge: 1, maxUnavailable: 0 };
    assert.deepEqual(deployment.spec.strategy, { type: "RollingUpdate", rollingUpdate });
    assert.equal(deployment.metadata.annotations["pulumi.com/timeoutSeconds"], "180");
  });

  it("has memory for the namespaces that it watches one by one", async () => {
    const limitOf = (program: Pick<Program, "find">): unknown => {
      const { spec } = program.find("kubernetes:apps/v1:Deployment").inputs as unknown as {
        spec: { template: { spec: { containers: { resources: { limits: object } }[] } } };
      };
      return spec.template.spec.containers[0]?.resources.limits;
    };
    assert.deepEqual(limitOf({ find }), { memory: "162Mi" });
    const many = JSON.stringify(Array.from({ length: 200 }, (_, index) => `team-${String(index)}`));
    assert.deepEqual(limitOf(await runProgram({ ...cluster, buildNamespaces: many })), { memory: "360Mi" });
    assert.deepEqual(limitOf(await runProgram({ ...cluster, buildNamespaces: '["team-*"]' })), { memory: "160Mi" });
  });

  it("gives the helper its configuration, and the key by reference only", () => {
    const env = Object.fromEntries(
      (container?.env ?? []).map(({ name, value, valueFrom }) => [name, value ?? valueFrom]),
    );
    assert.deepEqual(env, {
      AWS_REGION: "eu-central-1",
      AWS_ENDPOINT_URL: "https://vpce.example",
      AWS_ACCESS_KEY_ID: { secretKeyRef: { name: "ecr-helper", key: "aws_access_key_id" } },
      AWS_SECRET_ACCESS_KEY: { secretKeyRef: { name: "ecr-helper", key: "aws_secret_access_key" } },
      ECR_HELPER_IDENTITY: "accessKey",
      ECR_HELPER_PRINCIPAL: "ecr-helper",
      ECR_HELPER_PUSH_ROLE: "",
      ECR_HELPER_REGISTRIES: `${registry},444455556666.dkr.ecr.us-east-1.amazonaws.com`,
      ECR_HELPER_REGISTRY_HOST: "",
      ECR_HELPER_BUILD_NAMESPACES: "team-a,team-b",
      ECR_HELPER_EXCLUDE_NAMESPACES: "",
      ECR_HELPER_NAMESPACE_SELECTOR: "",
      ECR_HELPER_DEPLOYMENT: "ecr-helper",
      ECR_HELPER_BASIC_AUTH_SECRET: "ecr-creds",
      ECR_HELPER_PULL_SECRET: "ecr-creds-pull",
      ECR_HELPER_SERVICE_ACCOUNT: "builder-sa",
      ECR_HELPER_OWNER_NAME: "ecr-helper-test",
      ECR_HELPER_OWNER_UID: "the-uid",
      ECR_HELPER_MARKER: "ecr-helper-test-stack",
      ECR_HELPER_NAMESPACE: { fieldRef: { fieldPath: "metadata.namespace" } },
      ECR_HELPER_POD: { fieldRef: { fieldPath: "metadata.name" } },
      ECR_HELPER_LOG_FORMAT: "text",
      ECR_HELPER_LOG_LEVEL: "info",
      ECR_HELPER_PORT: "8080",
    });
  });

  it("is another pod when the key is another, without showing the key, and is found by Prometheus", () => {
    const { annotations } = deployment.spec.template.metadata;
    const { "ecr-helper/access-key": fingerprint, "ecr-helper/first-pull": secret, ...others } = annotations;
    assert.equal(secret, "the-uid", "of the secret that the first pull takes");
    assert.match(fingerprint ?? "", /^[0-9a-f]{16}$/);
    const scraped = { "prometheus.io/scrape": "true", "prometheus.io/port": "8080", "prometheus.io/path": "/metrics" };
    assert.deepEqual(others, scraped);
  });

  it("runs in a namespace that exists, when told so", async () => {
    const program = await runProgram({ ...cluster, createNamespace: "false", namespace: "tools" });
    assert.equal(program.resources.filter(({ type }) => type.endsWith(":Namespace")).length, 0);
    assert.equal(
      (program.find("kubernetes:apps/v1:Deployment").inputs as typeof deployment).metadata.namespace,
      "tools",
    );
  });
});

interface ClusterInputs {
  readonly kubeconfig?: string;
  readonly clusterIdentifier?: string;
  readonly enableSecretMutable?: string;
}

const clusterOf = (program: Pick<Program, "find">): ClusterInputs =>
  program.find("pulumi:providers:kubernetes", "cluster").inputs;

describe("the stack", () => {
  it("gives every Kubernetes resource the provider of the named cluster", () => {
    const inCluster = resources.filter(({ type }) => type.startsWith("kubernetes:"));
    assert.ok(inCluster.length > 8);
    for (const { provider, name, type } of inCluster) {
      const own = type.endsWith("Patch") ? "cluster-patches" : "cluster";
      assert.ok(provider.includes(`pulumi:providers:kubernetes::${own}::`), name);
    }
    assert.equal(clusterOf({ find }).kubeconfig, "Pulumi.yaml");
  });

  it("keeps the content of a kubeconfig a secret, which has keys in it, however it was set; a path is none", async () => {
    const content = '{"apiVersion":"v1","clusters":[],"users":[{"user":{"token":"hunter2"}}]}';
    for (const [kubeconfig, isKept] of [
      [content, true],
      ["Pulumi.yaml", false],
    ] as const) {
      const program = await runProgram({ kubeconfig });
      for (const name of ["cluster", "cluster-patches", "cluster-identity"]) {
        const { raw } = program.find("pulumi:providers:kubernetes", name);
        assert.equal(isSecret(raw["kubeconfig"]), isKept);
      }
      assert.equal(program.secretOutputs.length, 0);
    }
  });

  it("knows the cluster by its own uid, whichever way it is reached, and changes a secret in place", async () => {
    for (const way of [cluster, { context: "main" }, { eksCluster: "main" }]) {
      const { clusterIdentifier, enableSecretMutable } = clusterOf(await runProgram(way));
      assert.deepEqual([clusterIdentifier, enableSecretMutable], ["the-uid", "true"]);
      const patches = (await runProgram(way)).find("pulumi:providers:kubernetes", "cluster-patches").inputs;
      assert.deepEqual([patches["clusterIdentifier"], patches["enableServerSideApply"]], ["the-uid", "true"]);
    }
  });

  it("reads an EKS cluster by its name, with a token that is made at every use", async () => {
    const program = await runProgram({ eksCluster: "main" });
    const kubeconfig = JSON.parse(String(clusterOf(program).kubeconfig)) as {
      clusters: { cluster: object }[];
      users: { user: { exec: { command: string; args: string[] } } }[];
    };
    assert.deepEqual(kubeconfig.clusters[0]?.cluster, {
      server: "https://eks.example",
      "certificate-authority-data": "Q0E=",
    });
    const args = ["eks", "get-token", "--cluster-name", "main", "--region", "eu-central-1"];
    assert.deepEqual(kubeconfig.users[0]?.user.exec.args, args);
  });

  it("is right in China", async () => {
    const program = await runProgram(cluster, { partition: "aws-cn", region: "cn-north-1" });
    const [statement] = policyOf(program.find("aws:ecr/repositoryPolicy:RepositoryPolicy").inputs).Statement;
    assert.deepEqual(statement?.Principal, { AWS: [`arn:aws-cn:iam::${account}:root`] });
    assert.match(
      String(program.outputs["imageRef"]),
      new RegExp(`^${account}\\.dkr\\.ecr\\.cn-north-1\\.amazonaws\\.com\\.cn/`),
    );
  });

  it("has the outputs that infra/README.md names, and none of them is secret", () => {
    assert.deepEqual(outputs, {
      repositoryUrl: `${registry}/ecr-helper`,
      imageRef: `${registry}/ecr-helper@${digest}`,
      namespace: "ecr-helper",
      deployment: "ecr-helper",
      identity: "accessKey",
      policyArn: `arn:aws:iam::${account}:policy/ecr-helper-policy`,
      userName: "ecr-helper",
      credentialsSecretName: "ecr-helper",
      basicAuthSecretName: "ecr-creds",
      pullSecretName: "ecr-creds-pull",
      buildServiceAccountName: "builder-sa",
      buildNamespaces: ["team-a", "team-b"],
      crossAccountPolicy: {
        "444455556666.dkr.ecr.us-east-1.amazonaws.com": {
          "*": {
            Version: "2012-10-17",
            Statement: [
              {
                Sid: "EcrHelperPull",
                Effect: "Allow",
                Principal: { AWS: `arn:aws:iam::${account}:root` },
                Action: pullActions,
                Condition: { ArnEquals: { "aws:PrincipalArn": [`arn:aws:iam::${account}:user/ecr-helper`] } },
              },
            ],
          },
        },
      },
    });
    assert.deepEqual(secretOutputs, []);
  });

  it("asks nothing of other accounts where its registries are of its own", async () => {
    for (const registries of ["[]", `["${account}.dkr.ecr.us-east-1.amazonaws.com"]`]) {
      assert.ok(!("crossAccountPolicy" in (await runProgram({ ...cluster, registries })).outputs));
    }
  });

  it("knows its account and region before anything is made, or says what is missing in one error", async () => {
    for (const name of ["getCallerIdentity", "getPartition", "getRegion"]) {
      const made: Registered[] = [];
      const fail = (): never => {
        throw failedCall("no EC2 IMDS role found");
      };
      const options = { answers: { [`aws:index/${name}:${name}`]: fail }, resources: made };
      await assert.rejects(runProgram(cluster, options), (error: unknown) => {
        assert.ok(pulumi.RunError.isInstance(error), "an error that Pulumi shows without a stack trace");
        assert.match(
          error.message,
          /^The stack's AWS account and region are not known: expected .*Nothing was changed/,
        );
        return error.message.includes("no EC2 IMDS role found");
      });
      assert.deepEqual(
        made.map(({ type }) => type),
        ["pulumi:pulumi:Stack"],
      );
    }
  });
});
