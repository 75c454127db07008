import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { after, describe, it } from "node:test";
import {
  AttachRolePolicyCommand,
  CreateAccessKeyCommand,
  CreateRoleCommand,
  DeleteAccessKeyCommand,
  DeleteRoleCommand,
  DetachRolePolicyCommand,
  IAMClient,
} from "@aws-sdk/client-iam";
import type { KubeError } from "../../helper/kube/errors.ts";
import { webIdentityTrust } from "../../infra/trust-policy.ts";
import { freePort } from "../support/api-server.ts";
import type { LogLine } from "../support/helper-process.ts";
import { account, issuer, roleArn } from "../local/settings.ts";
import { isTokenRequest } from "../support/counted-gateway.ts";
import { answer, abort, hang, type ReceivedRequest, type Fault } from "../support/fault.ts";
import { assertNoPasswordLogged, createProxiedHelper, reportOutcome, type ProxiedHelper } from "./proxied-helper.ts";

const id = randomBytes(3).toString("hex");
const iam = new IAMClient();
const assertLoginKept = async (proxied: ProxiedHelper, namespace: string, login: string): Promise<void> => {
  assert.equal(await proxied.login(namespace), login);
  assert.ok(await proxied.isAccepted(login));
};
/** Whether a request's signature is more than five minutes off, which AWS does not accept. */
const isSkewed = ({ headers, receivedAt }: ReceivedRequest): boolean => {
  const parts = /^(....)(..)(..)T(..)(..)(..)Z$/.exec(String(headers["x-amz-date"]))?.slice(1).map(Number) ?? [];
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = parts;
  return Math.abs(Date.UTC(year, month - 1, day, hour, minute, second) - receivedAt) > 300_000;
};
const skewed = answer(400, { __type: "InvalidSignatureException", message: "Signature expired: it is another time" });
const asksSts = ({ body }: ReceivedRequest): boolean => body.includes("Action=AssumeRoleWithWebIdentity");

describe("the connection to AWS", { concurrency: true }, () => {
  const lives = { unreachable: 14_000, dns: 600_000, key: 14_000, ahead: 3_600_000, behind: 3_600_000, sts: 24_000 };
  const all: ProxiedHelper[] = [];
  const proxied = async (name: keyof typeof lives): Promise<ProxiedHelper> => {
    const made = await createProxiedHelper([`${name}-${id}`], lives[name]);
    all.push(made);
    return made;
  };

  after(async () => {
    for (const one of all) await one.close();
  });

  it("may fail at STS: the last login stays, and no token of the service account is logged", async (t) => {
    const [own, namespace] = [await proxied("sts"), `sts-${id}`];
    const folder = await mkdtemp(join(tmpdir(), "ecr-helper-sts-"));
    const identity = await webIdentity(own, folder);
    try {
      const helper = own.run(identity.env);
      await helper.line(/the secret will expire/);
      const login = await own.login(namespace);
      const from = helper.lines.length;
      const errorsSince = (line: number): LogLine[] =>
        helper.lines.slice(line).filter(({ level }) => level === "error");
      // At the next refresh AWS denies the credentials, so that the helper requests new ones, which fails in every way.
      const expired = answer(400, { __type: "ExpiredTokenException", message: "The security token is expired" });
      own.aws.inject(isTokenRequest, expired, 1);
      const faults: Fault[] = [abort, answer(500), answer(200, "<html>"), hang];
      for (const [index, fault] of faults.entries()) {
        const injected = own.aws.inject(asksSts, fault);
        await injected.reached(1);
        await assertLoginKept(own, namespace, login);
        while (errorsSince(from).length < index + 2) await helper.line(/no authorization token/, helper.lines.length);
        injected.lift();
        assert.ok(injected.hits.length <= 3, "the SDK's own attempts");
      }
      const since = Date.now();
      const renewed = await own.waitForNewLogin(namespace, login);
      const lines = errorsSince(from);
      assert.equal(lines.length, 1 + faults.length);
      for (const { message } of lines)
        assert.match(message, /^no authorization token for us-east-1: [^;].*the last good/);
      assertNoPasswordLogged(helper.lines, [login, renewed]);
      assert.ok(!JSON.stringify(helper.lines).includes(identity.token.slice(-40)));
      const held = "the last login stayed and was taken";
      reportOutcome(t, "STS breaks off, answers 500, answers HTML, hangs", held, since);
    } finally {
      await identity.remove();
      await rm(folder, { recursive: true });
    }
  });

  it("may be refused, at the start and later: nothing is written, and existing logins stay", async (t) => {
    const [own, namespace] = [await proxied("unreachable"), `unreachable-${id}`];
    const port = String(await freePort());
    const ask = async (path: string): Promise<number> => (await fetch(`http://127.0.0.1:${port}${path}`)).status;
    await own.aws.stopListening();
    const helper = own.run({ ECR_HELPER_PORT: port });
    await helper.line(/no authorization token for us-east-1: connect ECONNREFUSED .*; trying again in/);
    await assert.rejects(own.login(namespace), (error: KubeError) => error.status === 404);
    assert.deepEqual([await ask("/healthz"), await ask("/readyz")], [200, 503]);
    let since = Date.now();
    await own.aws.listen();
    await helper.line(/the secret will expire/);
    const login = await own.login(namespace);
    assert.equal(await ask("/readyz"), 200);
    reportOutcome(t, "ECR is unreachable at the start", "nothing was written, alive, not ready", since);

    const from = helper.lines.length;
    await own.aws.stopListening();
    await helper.line(/no authorization token for us-east-1: connect ECONNREFUSED .*the last good token stays/, from);
    await assertLoginKept(own, namespace, login);
    assert.deepEqual([await ask("/healthz"), await ask("/readyz")], [200, 200]);
    since = Date.now();
    await own.aws.listen();
    await own.waitForNewLogin(namespace, login);
    reportOutcome(t, "ECR is unreachable at a refresh", "the last login stayed and was taken", since);
  });

  it("may fail because a name does not resolve: existing logins stay, and the log says why", async (t) => {
    const [own, namespace] = [await proxied("dns"), `dns-${id}`];
    const first = own.run();
    await first.line(/the secret will expire/);
    await first.stop();
    const login = await own.login(namespace);
    // A helper with another identity requests a token at once, not at half of the last one's life.
    const lost = own.run({ AWS_ENDPOINT_URL: `http://ecr-${id}.invalid`, ECR_HELPER_PRINCIPAL: "other" });
    await lost.line(
      /no authorization token for us-east-1: getaddrinfo \w+ ecr-\w+\.invalid; the last good token stays/,
    );
    await assertLoginKept(own, namespace, login);
    await lost.stop();
    const since = Date.now();
    own.run({ ECR_HELPER_PRINCIPAL: "other" });
    await own.waitForNewLogin(namespace, login);
    reportOutcome(t, "ECR's name does not resolve", "the last login stayed and was taken", since);
  });

  it("may lose its key: the last login stays, the log says what to check, and a new key works at once", async (t) => {
    const [own, namespace] = [await proxied("key"), `key-${id}`];
    const [UserName, AccessKeyId] = [own.parts.env["ECR_HELPER_NAMESPACE"], own.parts.env["AWS_ACCESS_KEY_ID"]];
    const helper = own.run();
    await helper.line(/the secret will expire/);
    const login = await own.login(namespace);
    await iam.send(new DeleteAccessKeyCommand({ UserName, AccessKeyId }));
    const refused =
      /no authorization token for us-east-1: The security token .*is invalid.*; check that .*the last good token stays/;
    assert.equal((await helper.line(refused)).level, "error");
    await assertLoginKept(own, namespace, login);
    const { AccessKey } = await iam.send(new CreateAccessKeyCommand({ UserName }));
    const key = {
      AWS_ACCESS_KEY_ID: AccessKey?.AccessKeyId ?? "",
      AWS_SECRET_ACCESS_KEY: AccessKey?.SecretAccessKey ?? "",
    };
    try {
      const since = Date.now();
      await helper.stop();
      const next = own.run(key);
      const renewed = await own.waitForNewLogin(namespace, login);
      reportOutcome(t, "the key is deleted and replaced", "the last login stayed and was taken", since);
      assertNoPasswordLogged([...helper.lines, ...next.lines], [login, renewed, key.AWS_SECRET_ACCESS_KEY]);
    } finally {
      await iam.send(new DeleteAccessKeyCommand({ UserName, AccessKeyId: key.AWS_ACCESS_KEY_ID }));
    }
  });

  for (const [name, minutes] of [
    ["ahead", 10],
    ["behind", -10],
  ] as const) {
    it(`works with a clock that is ten minutes ${name}: the helper uses AWS' time from the second request on`, async (t) => {
      const [own, namespace] = [await proxied(name), `${name}-${id}`];
      const refusals = own.aws.inject(isSkewed, skewed);
      const shift = {
        NODE_OPTIONS: `--import ${pathToFileURL(join(import.meta.dirname, "shifted-clock.ts")).href}`,
        TEST_CLOCK_SHIFT: String(minutes * 60_000),
      };
      const since = Date.now();
      const helper = own.run(shift);
      await helper.line(/no authorization token for us-east-1 yet: Signature expired/);
      await helper.line(/the secret will expire/);
      const login = await own.login(namespace);
      assert.ok(await own.isAccepted(login));
      assert.equal(refusals.hits.length, 1);
      reportOutcome(t, `the clock is ten minutes ${name}`, "1 refusal", since);
      await helper.stop();
      const right = own.run();
      await right.line(/the secret will expire/);
      if (minutes < 0) return assertLoginKept(own, namespace, login);
      // To the right clock the token is from the future: its times are not trusted, and it is replaced at once.
      const renewed = await own.waitForNewLogin(namespace, login);
      for (const one of [login, renewed]) assert.ok(await own.isAccepted(one));
    });
  }
});

/** Creates a role for the helper as identity irsa does. Resolves with the environment that names it. */
async function webIdentity(
  { parts }: ProxiedHelper,
  folder: string,
): Promise<{ env: Record<string, string>; token: string; remove: () => Promise<void> }> {
  const namespace = String(parts.env["ECR_HELPER_NAMESPACE"]);
  const host = issuer.replace("https://", "");
  const [RoleName, PolicyArn] = [namespace, `arn:aws:iam::${account}:policy/${namespace}`];
  const trust = webIdentityTrust(`arn:aws:iam::${account}:oidc-provider/${host}`, host, {
    namespace,
    name: "ecr-helper",
  });
  await iam.send(new CreateRoleCommand({ RoleName, AssumeRolePolicyDocument: JSON.stringify(trust) }));
  await iam.send(new AttachRolePolicyCommand({ RoleName, PolicyArn }));
  const path = `/api/v1/namespaces/${namespace}/serviceaccounts/ecr-helper/token`;
  const body = { spec: { audiences: ["sts.amazonaws.com"] } };
  const { status } = await parts.admin<{ status: { token: string } }>({ method: "POST", path, body });
  const file = join(folder, "token");
  await writeFile(file, status.token);
  return {
    env: {
      ECR_HELPER_IDENTITY: "irsa",
      ECR_HELPER_PRINCIPAL: roleArn(RoleName),
      AWS_ACCESS_KEY_ID: "",
      AWS_SECRET_ACCESS_KEY: "",
      AWS_ROLE_ARN: roleArn(RoleName),
      AWS_WEB_IDENTITY_TOKEN_FILE: file,
    },
    token: status.token,
    remove: async () => {
      await iam.send(new DetachRolePolicyCommand({ RoleName, PolicyArn }));
      await iam.send(new DeleteRoleCommand({ RoleName }));
    },
  };
}
