/* eslint-disable max-lines -- One stack goes through these states in order; a second set-up takes 15 to 25 seconds. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { CreateRepositoryCommand, DeleteRepositoryCommand, ECRClient } from "@aws-sdk/client-ecr";
import {
  AssociateAccessPolicyCommand,
  CreateAccessEntryCommand,
  DeleteAccessEntryCommand,
  EKSClient,
} from "@aws-sdk/client-eks";
import { AttachRolePolicyCommand, DetachRolePolicyCommand, IAMClient } from "@aws-sdk/client-iam";
import { AssumeRoleWithWebIdentityCommand, STSClient } from "@aws-sdk/client-sts";
import { createKubeClient, type KubeOptions } from "../../helper/kube/client.ts";
import { firstPullResource } from "../../infra/first-pull.ts";
import { Proxy } from "../support/proxy.ts";
import { cloudEnvironment } from "../local/cloud.ts";
import { recordSecrets } from "../local/audit-log.ts";
import { docker } from "../local/docker.ts";
import { readKubeconfig } from "../local/kubeconfig.ts";
import { account, aws, cluster, issuer, kubeconfig, nodeRole, ports, roleArn, url } from "../local/settings.ts";
import { waitForObject } from "../local/watch.ts";
import { RegistryClient } from "../support/registry-client.ts";
import { makeBaseImage } from "../support/base-image.ts";
import { boundaryArn, deployerPolicy, createDeployer, type Deployer } from "../support/deployer.ts";
import { changesOf, makeCheckout, noChanges, type CommandResult } from "../support/commands.ts";

const id = randomBytes(3).toString("hex");
const stack = `id-${id}`;
const build = `build-${id}`;
const deployer = `deployer-${id}`;
const [builds, refused] = [`${stack}/builds`, `refused-${id}/app`];
/** The node pulls all its layers with the deployer's login, which needs each right for that. */
const baseImage = `ecr-helper-base:${stack}`;
const { command, remove } = await makeCheckout(stack);

interface Deployment {
  spec: { template: { spec: { containers: { image: string }[] } } };
}

interface Secret {
  metadata: { annotations: Record<string, string> };
  data: Record<string, string>;
}

describe("the identities, one after the other, for a deployer with the rights of infra/deployer-policy.json", () => {
  Object.assign(process.env, cloudEnvironment());
  const options: KubeOptions = readKubeconfig(kubeconfig);
  const kube = createKubeClient(options);
  const iam = new IAMClient({ endpoint: aws.AWS_ENDPOINT_URL });
  const ecr = new ECRClient({ endpoint: aws.AWS_ENDPOINT_URL });
  const eks = new EKSClient({ endpoint: aws.AWS_ENDPOINT_URL });
  const principalArn = `arn:aws:iam::${account}:user/${deployer}`;
  const policyArn = `arn:aws:iam::${account}:policy/${stack}`;
  const boundary = `permissionsBoundary=${boundaryArn(stack)}`;
  /** The keys and tokens that no output may contain. */
  const secrets = new Set<string>();
  const outputs: string[] = [];
  let user: Deployer;

  const up = async (...settings: string[]): Promise<CommandResult> => {
    const ended = await command("up", ...settings.flatMap((setting) => ["-c", setting]));
    assert.equal(ended.code, 0, ended.stderr);
    outputs.push(ended.stdout, ended.stderr);
    return ended;
  };

  before(async () => {
    await kube({ method: "POST", path: "/api/v1/namespaces", body: { metadata: { name: build } } });
    for (const repositoryName of [builds, refused]) await ecr.send(new CreateRepositoryCommand({ repositoryName }));
    await makeBaseImage(baseImage);
    user = await createDeployer(iam, deployer, stack);
    await user.allow(await deployerPolicy(stack));
    secrets.add(user.key.SecretAccessKey);
    await eks.send(new CreateAccessEntryCommand({ clusterName: cluster, principalArn }));
    const admin = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy";
    const access = { policyArn: admin, accessScope: { type: "cluster" as const } };
    await eks.send(new AssociateAccessPolicyCommand({ clusterName: cluster, principalArn, ...access }));
  });

  after(async () => {
    await iam.send(new DetachRolePolicyCommand({ RoleName: nodeRole, PolicyArn: policyArn })).catch(() => undefined);
    await command("down");
    await eks.send(new DeleteAccessEntryCommand({ clusterName: cluster, principalArn }));
    await user.remove();
    await docker(["image", "rm", baseImage]);
    for (const repositoryName of [builds, refused]) {
      await ecr.send(new DeleteRepositoryCommand({ repositoryName, force: true }));
    }
    await kube({ method: "DELETE", path: `/api/v1/namespaces/${build}` });
    await remove();
  });

  const secretPath = (name: string): string =>
    `/api/v1/namespaces/${build}/secrets?fieldSelector=metadata.name%3D${name}`;
  /** Waits for a token that the helper requested after a point in time, which shows that its identity works. */
  const refreshedAfter = async (moment: number): Promise<void> => {
    const isNew = ({ metadata }: Secret): boolean =>
      Date.parse(metadata.annotations["ecr-helper/refreshed-at"] ?? "") >= Math.floor(moment / 1000) * 1000;
    await waitForObject(options, secretPath("ecr-creds-pull"), isNew, 30_000);
    const secret = await waitForObject<Secret>(options, secretPath("ecr-creds"), () => true, 30_000);
    const password = Buffer.from(secret.data["password"] ?? "", "base64").toString();
    secrets.add(password);
    await opensWhatIsConfigured(password);
  };
  /** Asserts that a password pushes and pulls where the configuration says so, pulls the helper's image, and nothing else. */
  const opensWhatIsConfigured = async (password: string): Promise<void> => {
    const client = new RegistryClient(ports.registry, password);
    await client.push(builds, "1", randomBytes(8));
    await client.pull(builds, "1");
    const path = `/apis/apps/v1/namespaces/${stack}/deployments/ecr-helper`;
    const { spec } = await kube<Deployment>({ method: "GET", path });
    const [, digest = ""] = spec.template.spec.containers[0]?.image.split("@") ?? [];
    await client.pull(stack, digest);
    await assert.rejects(
      client.pull(refused, "1"),
      /403 DENIED User: .* is not authorized to perform: ecr:BatchGetImage/,
    );
  };
  const unchanged = async (): Promise<void> =>
    assert.match((await up()).stderr, noChanges, "the second time nothing changes");
  const objects = async (): Promise<string> => {
    const kinds = [`/api/v1/namespaces/${stack}/pods`, `/apis/apps/v1/namespaces/${stack}/deployments`];
    return JSON.stringify(await Promise.all(kinds.map(async (path) => kube<object>({ method: "GET", path }))));
  };
  const tokenOf = async (serviceAccount: string, audience: string): Promise<string> => {
    const path = `/api/v1/namespaces/${stack}/serviceaccounts/${serviceAccount}/token`;
    const spec = { audiences: [audience] };
    const body = { apiVersion: "authentication.k8s.io/v1", kind: "TokenRequest", spec };
    const { token } = (await kube<{ status: { token: string } }>({ method: "POST", path, body })).status;
    recordSecrets([token]);
    return token;
  };

  /** Switches to an identity and checks that it works. Resolves with the changes, without components. */
  const switchTo = async (...settings: string[]): Promise<string[]> => {
    const since = Date.now();
    const ended = await up(...settings);
    await refreshedAfter(since);
    await unchanged();
    outputs.push(await objects(), (await command("logs")).stdout, (await command("output", "--json")).stdout);
    return changesOf(ended).sort();
  };

  it("accessKey, in the cluster that a kubeconfig names", async () => {
    const names = ["namespace", "repositoryName", "policyName", "userName", "roleName"].map((one) => `${one}=${stack}`);
    const provider = [`aws:accessKey=${user.key.AccessKeyId}`, `aws:secretKey=${user.key.SecretAccessKey}`];
    const opened = [`pullRepositories=["${stack}/*"]`, `pushRepositories=["${stack}/*"]`];
    const others = [`buildNamespaces=["${build}"]`, 'tags=["team=builds"]', boundary, `baseImage=${baseImage}`];
    const changes = await switchTo(...names, ...provider, ...opened, ...others);
    assert.ok(changes.includes("created AccessKey ecr-helper-1") && changes.includes("created Secret ecr-helper"));
    const { data } = await kube<Secret>({ method: "GET", path: `/api/v1/namespaces/${stack}/secrets/ecr-helper` });
    secrets.add(Buffer.from(data["aws_secret_access_key"] ?? "", "base64").toString());
  });

  it("accessKey in the same cluster by a context, at another address, and by its name in EKS, replaces nothing", async () => {
    const proxy = await Proxy.start({ upstream: options.server, ca: options.ca() });
    const folder = await mkdtemp(join(tmpdir(), "ecr-helper-kubeconfig-"));
    const elsewhere = join(folder, "kubeconfig");
    const config = JSON.parse(await readFile(kubeconfig, "utf8")) as { clusters: object[]; "current-context": string };
    const authority = Buffer.from(proxy.ca).toString("base64");
    const clusterThere = { server: proxy.url, "certificate-authority-data": authority };
    const there = { ...config, clusters: [{ name: "local", cluster: clusterThere }] };
    await writeFile(elsewhere, JSON.stringify(there), { mode: 0o600 });
    try {
      for (const way of [
        [`context=${config["current-context"]}`],
        [`kubeconfig=${elsewhere}`],
        ["kubeconfig=", "context=", `eksCluster=${cluster}`],
      ]) {
        const changes = changesOf(await up(...way));
        const replaced = changes.filter(
          (change) => !/^updated kubernetes cluster(-patches)?$| cluster-identity$/.test(change),
        );
        assert.deepEqual(replaced, []);
        await unchanged();
      }
    } finally {
      await proxy.close();
      await rm(folder, { recursive: true });
    }
  });

  it("is rejected before anything is created if there is no OIDC provider, or no such cluster", async () => {
    for (const [settings, expected] of [
      [
        ["identity=irsa"],
        /ecr-helper:oidcIssuer = "https:.*": expected an OIDC provider that IAM has.*createOidcProvider/,
      ],
      [
        ["eksCluster=refused-nowhere"],
        /ecr-helper:eksCluster = "refused-nowhere": expected the name of an EKS cluster/,
      ],
    ] as const) {
      const { code, stderr } = await command("up", ...settings.flatMap((setting) => ["-c", setting]));
      assert.equal(code, 1);
      assert.match(stderr, expected);
      assert.ok(!/created|updated|deleted|    at /.test(stderr), stderr);
    }
  });

  it("irsa, with an OIDC provider of the stack", async () => {
    assert.deepEqual(await switchTo("identity=irsa", "createOidcProvider=true", "tagMutability=IMMUTABLE"), [
      "created OpenIdConnectProvider ecr-helper",
      `created Role ${stack}`,
      `created RolePolicyAttachment ${stack}-${stack}`,
      "deleted AccessKey ecr-helper-1",
      "deleted Secret ecr-helper",
      `deleted User ${stack}`,
      `deleted UserPolicyAttachment ${stack}-${stack}`,
      "updated Deployment ecr-helper",
      `updated Repository ${stack}`,
      `updated Role ${stack}-push`,
    ]);
  });

  it("irsa allows its role only for tokens of the helper's service account, with AWS as audience, signed by the cluster", async () => {
    const sts = new STSClient({ endpoint: aws.AWS_ENDPOINT_URL });
    const assume = async (WebIdentityToken: string): Promise<string | undefined> => {
      const input = { RoleArn: roleArn(stack), RoleSessionName: "test", WebIdentityToken };
      const { Credentials } = await sts.send(new AssumeRoleWithWebIdentityCommand(input));
      return Credentials?.AccessKeyId;
    };
    const right = await tokenOf("ecr-helper", "sts.amazonaws.com");
    assert.ok(await assume(right));
    await assert.rejects(assume(await tokenOf("default", "sts.amazonaws.com")), { name: /^AccessDenied/ });
    await assert.rejects(assume(await tokenOf("ecr-helper", issuer)), { name: /^AccessDenied/ });
    const forged = [...right.split(".").slice(0, 2), randomBytes(64).toString("base64url")].join(".");
    await assert.rejects(assume(forged), { name: /^InvalidIdentityToken/ });
  });

  it("podIdentity, by an association", async () => {
    assert.deepEqual(await switchTo("identity=podIdentity", "createOidcProvider=false"), [
      "created PodIdentityAssociation ecr-helper",
      "deleted OpenIdConnectProvider ecr-helper",
      "updated Deployment ecr-helper",
      `updated Policy ${stack}`,
      `updated Role ${stack}`,
      `updated Role ${stack}-push`,
    ]);
  });

  it("podIdentity allows its role only for the right token file", async () => {
    const ask = async (token: string): Promise<Response> =>
      fetch(`${url(ports.nodeAgents)}/v1/credentials`, { headers: { authorization: token } });
    const answer = await ask(await tokenOf("ecr-helper", "pods.eks.amazonaws.com"));
    assert.equal(answer.status, 200);
    secrets.add(((await answer.json()) as { SecretAccessKey: string }).SecretAccessKey);
    const others = [
      tokenOf("default", "pods.eks.amazonaws.com"),
      tokenOf("ecr-helper", "sts.amazonaws.com"),
      Promise.resolve("nobody's"),
    ];
    for (const token of others) assert.equal((await ask(await token)).status, 403);
  });

  it("kube2iam, by annotations", async () => {
    const changes = await switchTo("identity=kube2iam", `trustedPrincipals=["${roleArn(nodeRole)}"]`);
    assert.deepEqual(changes, [
      "deleted PodIdentityAssociation ecr-helper",
      "updated Deployment ecr-helper",
      "updated Namespace ecr-helper",
      `updated Policy ${stack}`,
      `updated Role ${stack}`,
      `updated Role ${stack}-push`,
    ]);
  });

  it("node, as soon as the policy is attached to the nodes' role", async () => {
    const ended = await up("identity=node", "trustedPrincipals=[]");
    assert.equal((await command("output", "policyArn")).stdout, `${policyArn}\n`);
    assert.deepEqual(changesOf(ended).sort(), [
      `deleted Role ${stack}`,
      `deleted RolePolicyAttachment ${stack}-${stack}`,
      `deleted SecretPatch ${firstPullResource("ecr-creds-pull")}-emptied`,
      "updated Deployment ecr-helper",
      "updated DeploymentPatch ecr-helper-replicas",
      "updated Namespace ecr-helper",
      `updated Role ${stack}-push`,
    ]);
    await unchanged();
    const since = Date.now();
    await iam.send(new AttachRolePolicyCommand({ RoleName: nodeRole, PolicyArn: policyArn }));
    await refreshedAfter(since);
    await iam.send(new DetachRolePolicyCommand({ RoleName: nodeRole, PolicyArn: policyArn }));
  });

  it("accessKey again", async () => {
    assert.deepEqual(await switchTo("identity=accessKey"), [
      "created AccessKey ecr-helper-1",
      "created Secret ecr-helper",
      `created SecretPatch ${firstPullResource("ecr-creds-pull")}-emptied`,
      `created User ${stack}`,
      `created UserPolicyAttachment ${stack}-${stack}`,
      "updated Deployment ecr-helper",
      "updated DeploymentPatch ecr-helper-replicas",
      `updated Role ${stack}-push`,
    ]);
  });

  it("leave nothing, whatever they were", async () => {
    const { code, stderr } = await command("down");
    assert.equal(code, 0, stderr);
    assert.match(stderr, /is destroyed and left nothing in AWS, the registry or the cluster\./);
  });

  it("print none of their keys and tokens", () => {
    assert.ok(secrets.size >= 7, String(secrets.size));
    const all = outputs.join("\n");
    for (const secret of secrets) {
      assert.ok(secret.length > 20);
      for (const form of [secret, Buffer.from(secret).toString("base64")]) assert.ok(!all.includes(form));
    }
  });
});
