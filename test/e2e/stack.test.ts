/* eslint-disable max-lines -- One stack goes through these states in order; a second set-up takes 15 to 25 seconds. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { text } from "node:stream/consumers";
import { CreateRepositoryCommand, DeleteRepositoryCommand, ECRClient } from "@aws-sdk/client-ecr";
import { CreateAccessKeyCommand, DeleteAccessKeyCommand, IAMClient } from "@aws-sdk/client-iam";
import { createKubeClient, type KubeOptions } from "../../helper/kube/client.ts";
import { KubeError } from "../../helper/kube/errors.ts";
import { identities } from "../../helper/shared/names.ts";
import type { AwsPrincipal } from "../../infra/identity.ts";
import { networkPolicySpec } from "../../infra/network-policy.ts";
import { cloudEnvironment } from "../local/cloud.ts";
import { readKubeconfig } from "../local/kubeconfig.ts";
import { rootCredentials } from "../local/root-key.ts";
import { account, aws, backend, kubeconfig, ports, url } from "../local/settings.ts";
import { waitForObject } from "../local/watch.ts";
import { stackExists } from "../local/pulumi/stack-commands.ts";
import { defaultRoleName } from "../support/role-name.ts";
import { passwordFor } from "../support/registry-client.ts";
import { changesOf, makeCheckout, noChanges, type CommandResult } from "../support/commands.ts";
import { isRefused, isRunning, podsWhen, pushApp, runPod, waitingOf, type Pod } from "./pods.ts";
import { pullPassword, pullUntil } from "./pulls.ts";

const id = randomBytes(3).toString("hex");
const stack = `e2e-${id}`;
const build = `build-${id}`;
const { folder: project, start, command, runShell, remove } = await makeCheckout(stack);

/** The name of the helper's roles in the stack. */
const roles = defaultRoleName("ecr-helper");

/** Unique names, so that the stack can exist beside the user's. */
const settings = [
  `repositoryName=${stack}`,
  `policyName=${stack}`,
  `userName=${stack}`,
  `namespace=${stack}`,
  `buildNamespaces=["${build}"]`,
  "networkPolicy=all",
].flatMap((setting) => ["-c", setting]);

describe("the stack, end to end", () => {
  const options: KubeOptions = readKubeconfig(kubeconfig);
  const kube = createKubeClient(options);
  let up: CommandResult;
  const namespaces: string[] = [];
  const imageOf = ({ stderr }: Pick<CommandResult, "stderr">): string | undefined =>
    /imageRef +: (?:"\S+" => )?"(\S+)"/.exec(stderr)?.[1];
  /** The pods of the helper that are not terminating. */
  const helperPods = async (): Promise<Pod[]> => {
    const { items } = await kube<{ items: Pod[] }>({ method: "GET", path: `/api/v1/namespaces/${stack}/pods` });
    return items.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
  };
  const makeNamespace = async (name: string): Promise<void> => {
    await kube({ method: "POST", path: "/api/v1/namespaces", body: { metadata: { name } } });
    namespaces.push(name);
  };

  before(async () => {
    Object.assign(process.env, cloudEnvironment());
    await makeNamespace(build);
    const account = { metadata: { name: "builder-sa" }, secrets: [{ name: "theirs" }] };
    await kube({ method: "POST", path: `/api/v1/namespaces/${build}/serviceaccounts`, body: account });
  });

  after(async () => {
    await command("down");
    for (const name of namespaces) await kube({ method: "DELETE", path: `/api/v1/namespaces/${name}` });
    await remove();
  });

  it("rejects an invalid configuration before it creates anything", async () => {
    const { code, stderr } = await command("up", "-c", "logLevel=loud", "-c", "identity=irsa", ...settings);
    assert.equal(code, 1);
    assert.match(stderr, /ecr-helper:logLevel = "loud": expected debug, info, warn, error/);
    assert.match(
      stderr,
      /ecr-helper:oidcIssuer = "": expected the issuer of the cluster's tokens, or oidcProviderArn, /,
    );
    assert.ok(!stderr.includes("    at "), "no stack trace");
    await assert.rejects(kube({ method: "GET", path: `/api/v1/namespaces/${stack}` }), KubeError);
  });

  it("can be interrupted by Ctrl-C, and continues from there", async () => {
    const { child, ended } = start("up", ...settings);
    let seen = "";
    const interrupt = (chunk: Buffer): void => {
      seen += String(chunk);
      if (!/aws:iam:User \S+ created/.test(seen) || child.pid === undefined) return;
      child.stderr?.off("data", interrupt);
      process.kill(-child.pid, "SIGINT");
    };
    child.stderr?.on("data", interrupt);
    const { code, stderr } = await ended;
    assert.equal(code, 1);
    assert.match(stderr, /pulumi up --refresh ended with .*Remedy: .*run the command again: it goes on from there\./);
    assert.ok(stackExists(stack));
  });

  it("comes up, and shows what changed, the outputs and the origin's log lines", async () => {
    up = await command("up", ...settings);
    assert.equal(up.code, 0, up.stderr);
    assert.ok(changesOf(up).includes("created Deployment ecr-helper"));
    assert.ok(!changesOf(up).includes(`created User ${stack}`), "it was there");
    assert.match(up.stderr, /Resources:\n +\+ \d+ created\n +\d+ unchanged/);
    assert.match(up.stderr, new RegExp(`imageRef +: "127.77.77.1:5000/${stack}@sha256:[0-9a-f]{64}"`));
    assert.match(up.stdout, /Deployment: ecr-helper-[0-9a-z]+-[0-9a-z]+/);
    for (const object of ["serviceaccount/builder-sa", "secret/ecr-creds", "secret/ecr-creds-pull"]) {
      assert.match(up.stdout, new RegExp(`${object} configured in namespace ${build}`));
    }
    assert.match(up.stdout, /the secret will expire at \w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d UTC \d{4}\./);
  });

  it("keeps its state where only its owner reads it", async () => {
    assert.equal((await stat(backend)).mode & 0o777, 0o700);
  });

  it("changes nothing when it comes up again", async () => {
    const { code, stderr } = await command("up");
    assert.equal(code, 0, stderr);
    assert.match(stderr, noChanges);
    assert.deepEqual(changesOf({ stderr }), []);
    assert.match(stderr, new RegExp(`namespace +: "${stack}"`), "the overrides of the first run are kept");
  });

  it("runs without privileges on a read-only file system, in a namespace that accepts no other pods", async () => {
    const { metadata } = await kube<{ metadata: { labels: Record<string, string> } }>({
      method: "GET",
      path: `/api/v1/namespaces/${stack}`,
    });
    assert.equal(metadata.labels["pod-security.kubernetes.io/enforce"], "restricted");
    const refused = await runShell(`kubectl run root --image=root --namespace ${stack} --dry-run=server`);
    assert.match(refused.stderr, /violates PodSecurity "restricted:latest".*runAsNonRoot != true/);

    // The kernel's view of the running process, and an attempt to write.
    const look = `
      const { readFileSync, writeFileSync } = require("node:fs");
      const attempt = (file) => { try { writeFileSync(file, ""); return "written"; } catch ({ code }) { return code; } };
      const files = ["/new", "/helper/main.js", "/var/run/secrets/kubernetes.io/serviceaccount/token"];
      const root = readFileSync("/proc/1/mounts", "utf8").split("\\n").find((line) => line.split(" ")[1] === "/");
      console.log(JSON.stringify({ status: readFileSync("/proc/1/status", "utf8"), root, files: files.map(attempt) }));`;
    const { stdout: env } = await command("env");
    const exec = `kubectl exec -n ${stack} deployment/ecr-helper -- /nodejs/bin/node -e "$LOOK"`;
    const shell = spawn("sh", ["-c", `${env}\n${exec}`], {
      env: { ...process.env, LOOK: look },
      stdio: ["ignore", "pipe", "inherit"],
    });
    const seen = JSON.parse(await text(shell.stdout)) as { status: string; root: string; files: string[] };
    for (const [field, value] of Object.entries({
      Uid: "65532\\t65532\\t65532\\t65532",
      Gid: "65532\\t65532\\t65532\\t65532",
      CapInh: "0{16}",
      CapPrm: "0{16}",
      CapEff: "0{16}",
      CapBnd: "0{16}",
      CapAmb: "0{16}",
      NoNewPrivs: "1",
      Seccomp: "2",
    })) {
      assert.match(seen.status, new RegExp(`^${field}:\\t${value}$`, "m"));
    }
    assert.match(seen.root.split(" ")[3] ?? "", /^ro(,|$)/, "the root file system is mounted read-only");
    assert.deepEqual(seen.files, ["EROFS", "EROFS", "EROFS"]);
  });

  it("has a NetworkPolicy, which this cluster stores but does not enforce, and so do the other identities", async () => {
    const path = `/apis/networking.k8s.io/v1/namespaces/${stack}/networkpolicies`;
    const { spec } = await kube<{ spec: object }>({ method: "GET", path: `${path}/ecr-helper` });
    const labels = { "app.kubernetes.io/name": "ecr-helper" };
    const specOf = (mode: AwsPrincipal["mode"], isIpv6 = false): object => {
      const config = {
        networkPolicy: "all" as const,
        monitoringNamespaces: [],
        awsEndpointUrl: url(ports.gateway),
        stsEndpointUrl: undefined,
        proxy: undefined,
      };
      return networkPolicySpec(config, { mode, eks: { isIpv6 } } as AwsPrincipal, labels, 8080);
    };
    assert.deepEqual(spec, specOf("accessKey"));
    const others = [...identities.map((mode) => specOf(mode)), specOf("podIdentity", true)];
    for (const [index, other] of others.entries()) {
      const body = { metadata: { name: `other-${String(index)}` }, spec: other };
      const kept = await kube<{ spec: object }>({ method: "POST", path: `${path}?dryRun=All`, body });
      assert.deepEqual(kept.spec, other);
    }
  });

  it("prints its outputs, one or all, as text or JSON", async () => {
    assert.equal((await command("output", "namespace")).stdout, `${stack}\n`);
    const all = JSON.parse((await command("output", "--json")).stdout) as Record<string, unknown>;
    assert.deepEqual(all["buildNamespaces"], [build]);
    const { code, stderr } = await command("output", "nothing");
    assert.equal(code, 1);
    assert.match(stderr, /has no output nothing; it has basicAuthSecretName, /);
  });

  it("shows the helper's log, and an environment in which kubectl and aws work", async () => {
    assert.match((await command("logs")).stdout, /the secret will expire at/);
    const { stdout } = await command("env");
    assert.match(stdout, /^export AWS_ENDPOINT_URL='http:\/\/10\.214\.0\.1:4566'$/m);
    const commands = `kubectl get secret ecr-creds -n ${build} -o name; aws sts get-caller-identity --query Account --output text`;
    const shell = spawn("sh", ["-c", `${stdout}\n${commands}`], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    assert.equal(await text(shell.stdout), `secret/ecr-creds\n${account}\n`);
  });

  describe("a private image", () => {
    const repository = `app-${id}`;
    const image = `${ports.registry.address}:${String(ports.registry.port)}/${repository}:1`;
    const ecr = new ECRClient({ endpoint: aws.AWS_ENDPOINT_URL, credentials: rootCredentials(account) });

    before(async () => {
      await ecr.send(new CreateRepositoryCommand({ repositoryName: repository }));
      await pushApp(image, await passwordFor(rootCredentials(account), { api: ports.gateway }));
    });

    after(async () => void (await ecr.send(new DeleteRepositoryCommand({ repositoryName: repository, force: true }))));

    it("is refused to a pod with the default service account", async () => {
      const pod = { name: "refused", image, serviceAccountName: "default" };
      const { message = "" } = waitingOf(await runPod(options, build, pod, isRefused));
      assert.match(message, /401|authorization failed|no basic auth credentials/i);
    });

    it("is pulled by a pod with builder-sa, which starts", async () => {
      const pod = { name: "allowed", image, serviceAccountName: "builder-sa" };
      assert.equal((await runPod(options, build, pod, isRunning)).status.phase, "Running");
    });
  });

  it("rolls the Deployment to a new digest when a source file in a folder of the helper changes", async () => {
    const file = join(project, "helper/observability/http-server.ts");
    await writeFile(file, (await readFile(file, "utf8")).replace('"only /healthz', '"just /healthz'));
    const { code, stderr } = await command("up");
    assert.equal(code, 0, stderr);
    assert.deepEqual(changesOf({ stderr }).sort(), ["updated Deployment ecr-helper", "updated Image ecr-helper"]);
    const digest = imageOf({ stderr });
    assert.ok(digest !== undefined && digest !== imageOf(up));
    // Pulumi's provider may report the rollout as complete by the status of the last one, so this checks the pods.
    const isRolled = ([pod, ...others]: readonly Pod[]): boolean =>
      others.length === 0 && pod?.spec.containers[0]?.image === digest;
    await podsWhen(options, stack, isRolled, 30_000);
  });

  it("reports why a rollout fails, while the last helper keeps running, and recovers once it is fixed", async () => {
    const file = join(project, "helper/main.ts");
    const source = await readFile(file, "utf8");
    await writeFile(file, `throw new Error("broken on purpose");\n${source}`);
    const before = (await helperPods()).map(({ metadata }) => metadata.name);
    const { child, ended } = start("up");
    let seen = "";
    child.stderr?.on("data", (chunk: Buffer) => {
      seen += String(chunk);
      // The message has the pod's own error; after it only the rollout's timeout has to pass.
      if (!/CrashLoopBackOff/.test(seen) || child.pid === undefined) return;
      child.stderr?.removeAllListeners("data").resume();
      process.kill(-child.pid, "SIGINT");
    });
    const broken = await ended;
    await writeFile(file, source);
    assert.equal(broken.code, 1);
    assert.match(seen, /\[Pod \S+\]: containers with unready status: \[ecr-helper\]\[CrashLoopBackOff\]/);
    const running = (await helperPods()).filter(({ status }) => status.containerStatuses?.[0]?.ready === true);
    assert.deepEqual(
      running.map(({ metadata }) => metadata.name),
      before,
    );
    const mended = await command("up");
    assert.equal(mended.code, 0, mended.stderr);
    const remaining = (await helperPods()).map(({ metadata }) => metadata.name);
    assert.deepEqual(remaining, before, "the pod that could not start is gone");
  });

  it("rotates the access key: deletes the old one only after a pod uses the new one, while pulls succeed", async () => {
    const { ended } = start("up", "-c", "accessKeyGeneration=2");
    const image = imageOf(up) ?? "";
    const { pulled, refused } = await pullUntil(ended, image, async () => pullPassword(options, build));
    assert.deepEqual(refused, []);
    assert.ok(pulled > 20, String(pulled));
    const rotated = await ended;
    assert.equal(rotated.code, 0, rotated.stderr);
    assert.deepEqual(changesOf(rotated), [
      "created AccessKey ecr-helper-2",
      "updated Secret ecr-helper",
      "updated Deployment ecr-helper",
      "deleted AccessKey ecr-helper-1",
    ]);
    assert.match(rotated.stdout, /the secret will expire at/);
  });

  it("cannot rotate while a foreign access key exists, and can once it is deleted", async () => {
    const iam = new IAMClient({ endpoint: aws.AWS_ENDPOINT_URL });
    const { AccessKey } = await iam.send(new CreateAccessKeyCommand({ UserName: stack }));
    const foreign = { UserName: stack, AccessKeyId: AccessKey?.AccessKeyId ?? "" };
    const blocked = await command("up", "-c", "accessKeyGeneration=3");
    assert.equal(blocked.code, 1);
    assert.match(blocked.stderr, new RegExp("AccessKey ecr-helper-3 .*Cannot exceed quota for AccessKeysPerUser"));
    await iam.send(new DeleteAccessKeyCommand(foreign));
    const rotated = await command("up", "-c", "accessKeyGeneration=3");
    assert.equal(rotated.code, 0, rotated.stderr);
    assert.equal(changesOf(rotated).at(-1), "deleted AccessKey ecr-helper-2");
  });

  it("switches to namespaces by pattern, which includes later ones, and back to names, which clears the others", async () => {
    const late = `${build}-late`;
    const secrets = `/api/v1/namespaces/${late}/secrets`;
    const wider = await command("up", "-c", `buildNamespaces=["${build}*"]`);
    assert.equal(wider.code, 0, wider.stderr);
    assert.deepEqual(changesOf(wider).sort(), [
      `created ClusterRole ${roles}-everywhere`,
      `created ClusterRoleBinding ${roles}-everywhere`,
      `deleted Role ${roles}-${build}`,
      `deleted RoleBinding ${roles}-${build}`,
      "updated Deployment ecr-helper",
      "updated ValidatingAdmissionPolicy ecr-helper-secrets",
      "updated ValidatingAdmissionPolicy ecr-helper-serviceaccounts",
    ]);
    await makeNamespace(late);
    const isLogin = ({ type }: { type: string }): boolean => type === "kubernetes.io/basic-auth";
    await waitForObject(options, `${secrets}?fieldSelector=metadata.name%3Decr-creds`, isLogin, 20_000);
    const narrower = await command("up", "-c", `buildNamespaces=["${build}"]`);
    assert.equal(narrower.code, 0, narrower.stderr);
    const remaining = await kube<{ items: object[] }>({ method: "GET", path: secrets });
    assert.deepEqual(remaining.items, [], "by the helper that ended, before its rights did");
    await kube({ method: "GET", path: `/api/v1/namespaces/${build}/secrets/ecr-creds` });
  });

  it("restores by up --refresh what was deleted outside of Pulumi", async () => {
    const path = `/apis/rbac.authorization.k8s.io/v1/namespaces/${build}/roles`;
    const { items } = await kube<{ items: { metadata: { name: string } }[] }>({ method: "GET", path });
    const [role] = items.filter(({ metadata }) => metadata.name.startsWith(`ecr-helper-${stack}-`));
    await kube({ method: "DELETE", path: `${path}/${role?.metadata.name ?? ""}` });
    const { code, stdout, stderr } = await runShell("pulumi up --refresh --yes --skip-preview --non-interactive");
    assert.equal(code, 0, stderr);
    assert.ok(changesOf({ stderr: stdout }).includes(`created Role ${roles}-${build}`), stdout);
  });

  it("reports a helper that does not bundle", async () => {
    const file = join(project, "helper/main.ts");
    const source = await readFile(file, "utf8");
    await writeFile(file, "import '");
    const { code, stderr } = await command("up");
    await writeFile(file, source);
    assert.equal(code, 1);
    assert.match(
      stderr,
      /The helper does not bundle\. Build failed with 1 error:\n +helper\/main\.ts:1:\d+: ERROR: Unterminated string literal/,
    );
  });

  it("shows no token or key in its output, in the pod or in the outputs", async () => {
    const secret = await kube<{ data: Record<string, string> }>({
      method: "GET",
      path: `/api/v1/namespaces/${build}/secrets/ecr-creds`,
    });
    const key = await kube<{ data: Record<string, string> }>({
      method: "GET",
      path: `/api/v1/namespaces/${stack}/secrets/ecr-helper`,
    });
    const values = [secret.data["password"], key.data["aws_secret_access_key"], key.data["aws_access_key_id"]];
    const pods = await kube<object>({ method: "GET", path: `/api/v1/namespaces/${stack}/pods` });
    const texts = [
      up.stdout,
      up.stderr,
      (await command("logs")).stdout,
      (await command("output", "--json")).stdout,
      JSON.stringify(pods),
    ].join("\n");
    for (const value of values) {
      assert.ok(value !== undefined && value.length > 10);
      assert.ok(!texts.includes(value) && !texts.includes(Buffer.from(value, "base64").toString()));
    }
  });

  it("reports a name that is taken, and can destroy the stack that failed for it", async () => {
    const other = `other-${id}`;
    const names = ["namespace", "repositoryName", "policyName", "userName"].flatMap((key) => ["-c", `${key}=${stack}`]);
    const { code, stderr } = await start("up", "--stack", other, ...names).ended;
    assert.equal(code, 1);
    assert.match(stderr, /EntityAlreadyExists: .*already exists/);
    const down = await start("down", "--stack", other).ended;
    assert.equal(down.code, 0, down.stderr);
    assert.match(down.stderr, new RegExp(`The local cloud goes on for .*${stack}`));
    assert.equal((await command("up")).code, 0, "the other stack is untouched");
  });

  it("is destroyed and leaves nothing", async () => {
    const { code, stderr } = await command("down");
    assert.equal(code, 0, stderr);
    assert.match(stderr, /is destroyed and left nothing in AWS, the registry or the cluster\./);
    await assert.rejects(
      kube({ method: "GET", path: `/api/v1/namespaces/${build}/secrets/ecr-creds` }),
      (error: KubeError) => error.status === 404,
    );
    const account = await kube<object>({
      method: "GET",
      path: `/api/v1/namespaces/${build}/serviceaccounts/builder-sa`,
    });
    assert.ok("secrets" in account && !("imagePullSecrets" in account));
    assert.deepEqual(account.secrets, [{ name: "theirs" }], "what was there before is as it was");
    assert.match((await command("output")).stderr, /There is no stack|does not run/);
  });
});
