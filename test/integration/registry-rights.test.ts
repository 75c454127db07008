// The local cloud's registry authorizes as AWS does: every request by the principal whose token it carries.
import assert from "node:assert/strict";
import { once } from "node:events";
import { request, type IncomingMessage } from "node:http";
import { describe, it } from "node:test";
import * as iam from "@aws-sdk/client-iam";
import * as sts from "@aws-sdk/client-sts";
import { recordSecrets } from "../local/audit-log.ts";
import { startGateway } from "../local/gateway/main.ts";
import { account, loopback, otherAccount, ports, registryHost, url } from "../local/settings.ts";
import { rootCredentials } from "../local/root-key.ts";
import { passwordFor, RegistryClient, sha256, type Credentials } from "../support/registry-client.ts";
import {
  allow,
  arnOf,
  client,
  clients,
  deny,
  document,
  gateway,
  id,
  inline,
  noIdentity,
  ofRepository,
  opened,
  other,
  pull,
  pulling,
  push,
  pushing,
  refused,
  repository,
  roleArn,
  type Statement,
  useRegistryFixture,
  user,
  userArn,
  withForeignRepository,
} from "./registry-fixture.ts";

describe("the registry of the local cloud", () => {
  useRegistryFixture();

  it("denies everything to a token without further rights", async () => {
    await inline();
    assert.equal((await (await client()).send("GET", "/v2/")).status, 200);
    assert.equal(await pull(), refused("ecr:BatchGetImage", noIdentity("ecr:BatchGetImage")));
    assert.equal(await push(), "403 HEAD of a blob");
  });

  it("requires exactly the actions that ECR requires", async () => {
    const asks: readonly (readonly [action: string, method: string, path: string])[] = [
      ["BatchCheckLayerAvailability", "HEAD", `blobs/${sha256("x")}`],
      ["GetDownloadUrlForLayer", "GET", `blobs/${sha256("x")}`],
      ["InitiateLayerUpload", "POST", "blobs/uploads/"],
      ["UploadLayerPart", "PATCH", "blobs/uploads/1"],
      ["CompleteLayerUpload", "PUT", `blobs/uploads/1?digest=${sha256("x")}`],
      ["BatchGetImage", "HEAD", "manifests/1"],
      ["BatchGetImage", "GET", "manifests/none"],
      ["PutImage", "PUT", "manifests/new"],
      ["BatchDeleteImage", "DELETE", `manifests/${sha256("x")}`],
      ["ListImages", "GET", "tags/list"],
    ];
    for (const [action, method, path] of asks) {
      await inline(allow("ecr:*"), deny(`ecr:${action}`));
      const denied = await (await client()).send(method, `/v2/${repository}/${path}`);
      assert.equal(denied.status, 403, `${method} ${path} without ecr:${action}`);
      const also = action === "CompleteLayerUpload" ? ["ecr:UploadLayerPart"] : [];
      await inline(allow([`ecr:${action}`, ...also]));
      const allowed = await (await client()).send(method, `/v2/${repository}/${path}`);
      assert.notEqual(allowed.status, 403, `${method} ${path} with ecr:${action}`);
    }
  });

  it("allows pulls and pushes in the repositories that a policy names", async () => {
    await inline(allow(pulling));
    assert.equal(await pull(), "pulled");
    assert.equal(await push(), "403 HEAD of a blob");
    await inline(allow([...pulling, ...pushing]));
    assert.equal(await push(), "pushed");
    const elsewhere = (await client()).pull(other, "1");
    const why = refused("ecr:BatchGetImage", noIdentity("ecr:BatchGetImage"), userArn, arnOf(other));
    await assert.rejects(elsewhere, { message: why });
  });

  it("evaluates wildcards, conditions, explicit denials, attached policies, groups and boundaries", async () => {
    await inline(allow("ecr:*Get*", `arn:aws:ecr:*:${account}:repository/${id}/*`), allow("ecr:GetDownload*"));
    assert.equal(await pull(), "pulled");
    await inline(allow("*", "*"), deny("ecr:BatchGetImage"));
    assert.equal(await pull(), refused("ecr:BatchGetImage", "with an explicit deny in an identity-based policy"));
    const ofTeam = (team: string): Statement => ({ Condition: { StringEquals: { "aws:ResourceTag/team": team } } });
    await inline(allow(pulling, "*", ofTeam("b")));
    assert.equal(await pull(), refused("ecr:BatchGetImage", noIdentity("ecr:BatchGetImage")));
    await inline(allow(pulling, "*", ofTeam("a")));
    assert.equal(await pull(), "pulled");
    const guarded = {
      Bool: { "aws:ViaAWSService": "false", "aws:SecureTransport": "true" },
      IpAddress: { "aws:SourceIp": "127.0.0.0/8" },
      StringEquals: { "aws:PrincipalAccount": account, "aws:RequestedRegion": "us-east-1", "aws:username": id },
    };
    await inline(allow(pulling, "*", { Condition: guarded }));
    assert.equal(await pull(), "pulled");

    await inline();
    const made = await clients.iam.send(
      new iam.CreatePolicyCommand({ PolicyName: id, PolicyDocument: document(allow(pulling)) }),
    );
    const PolicyArn = made.Policy?.Arn ?? "";
    await clients.iam.send(new iam.AttachUserPolicyCommand({ UserName: id, PolicyArn }));
    assert.equal(await pull(), "pulled");
    await clients.iam.send(new iam.DetachUserPolicyCommand({ UserName: id, PolicyArn }));
    await clients.iam.send(new iam.CreateGroupCommand({ GroupName: id }));
    await clients.iam.send(new iam.AttachGroupPolicyCommand({ GroupName: id, PolicyArn }));
    await clients.iam.send(new iam.AddUserToGroupCommand({ GroupName: id, UserName: id }));
    assert.equal(await pull(), "pulled");
    await clients.iam.send(new iam.RemoveUserFromGroupCommand({ GroupName: id, UserName: id }));
    await clients.iam.send(new iam.DetachGroupPolicyCommand({ GroupName: id, PolicyArn }));
    await clients.iam.send(new iam.DeleteGroupCommand({ GroupName: id }));

    const bounded = document(allow(["ecr:GetAuthorizationToken", "ecr:Put*"], "*"));
    const version = { PolicyArn, PolicyDocument: bounded, SetAsDefault: true };
    await clients.iam.send(new iam.CreatePolicyVersionCommand(version));
    await clients.iam.send(new iam.PutUserPermissionsBoundaryCommand({ UserName: id, PermissionsBoundary: PolicyArn }));
    await inline(allow("ecr:*", "*"));
    assert.equal(
      await pull(),
      refused("ecr:BatchGetImage", "because no permissions boundary allows the ecr:BatchGetImage action"),
    );
    await clients.iam.send(new iam.DeleteUserPermissionsBoundaryCommand({ UserName: id }));
    assert.equal(await pull(), "pulled");
    await clients.iam.send(new iam.DeletePolicyVersionCommand({ PolicyArn, VersionId: "v1" }));
    await clients.iam.send(new iam.DeletePolicyCommand({ PolicyArn }));
  });

  it("evaluates sessions of roles and their session policies", async () => {
    await inline(allow("sts:AssumeRole", roleArn));
    const PolicyDocument = document(allow("ecr:*", "*"));
    await clients.iam.send(new iam.PutRolePolicyCommand({ RoleName: id, PolicyName: "inline", PolicyDocument }));
    const assumed = async (Policy?: string): Promise<Credentials> => {
      const client = new sts.STSClient({ endpoint: url(gateway.api), credentials: user });
      const answer = await client.send(new sts.AssumeRoleCommand({ RoleArn: roleArn, RoleSessionName: "pod", Policy }));
      const { AccessKeyId = "", SecretAccessKey = "", SessionToken = "" } = answer.Credentials ?? {};
      recordSecrets([SecretAccessKey, SessionToken]);
      return { accessKeyId: AccessKeyId, secretAccessKey: SecretAccessKey, sessionToken: SessionToken };
    };
    assert.equal(await pull(await assumed()), "pulled");
    const session = `arn:aws:sts::${account}:assumed-role/${id}/pod`;
    const limited = await assumed(document(allow(["ecr:GetAuthorizationToken", "ecr:PutImage"], "*")));
    const why = "because no session policy allows the ecr:BatchGetImage action";
    assert.equal(await pull(limited), refused("ecr:BatchGetImage", why, session));
    await clients.iam.send(
      new iam.PutRolePolicyCommand({
        RoleName: id,
        PolicyName: "inline",
        PolicyDocument: document(allow("ecr:GetAuthorizationToken", "*")),
      }),
    );
    const noRight = refused("ecr:BatchGetImage", noIdentity("ecr:BatchGetImage"), session);
    assert.equal(await pull(await assumed()), noRight);
    await ofRepository(opened({ AWS: roleArn }));
    assert.equal(await pull(await assumed()), "pulled");
    await ofRepository(undefined);
  });

  it("serves no blob of a repository that the token cannot read", async () => {
    await inline(allow([...pulling, ...pushing]));
    const secret = "only in the other repository";
    await (await client(rootCredentials(account))).push(other, "secret", secret);
    const digest = sha256(secret);
    const uploads = `/v2/${repository}/blobs/uploads/?mount=${digest}&from=${encodeURIComponent(other)}`;
    assert.equal((await (await client()).request("POST", uploads)).status, 202);
    assert.equal((await (await client()).send("HEAD", `/v2/${repository}/blobs/${digest}`)).status, 404);
    // A registry that the emulator would read otherwise: AWS knows it by the host.
    await withForeignRepository("theirs", async () => {
      const path = `/v2/${repository}/manifests/theirs?ns=${registryHost(account)}`;
      const authorization = `Basic ${Buffer.from(`AWS:${await passwordFor(user, { api: gateway.api })}`).toString("base64")}`;
      const headers = { authorization, host: registryHost(otherAccount) };
      const { address: host, port } = gateway.registry;
      const [answer] = (await once(request({ host, port, path, headers }).end(), "response")) as [IncomingMessage];
      answer.resume();
      assert.equal(answer.statusCode, 403);
    });
    // Names that the emulator would read otherwise.
    const escaped = `/v2/${repository}%2F..%2Fother/manifests/1`;
    for (const path of [escaped, `/v2/${id}%2fother/manifests/1`, `/v2//${other}/manifests/1`]) {
      assert.ok([403, 404].includes((await (await client()).send("GET", path)).status), path);
    }
  });

  it("has different errors for missing repositories and images, and for tokens that are wrong, expired or of another region", async () => {
    await inline(allow("ecr:*", `arn:aws:ecr:us-east-1:${account}:repository/${id}/*`));
    const there = await client();
    const unknown = `The repository with name '${id}/none' does not exist in the registry with id '${account}'`;
    await assert.rejects(there.pull(`${id}/none`, "1"), { message: `404 NAME_UNKNOWN ${unknown}` });
    await assert.rejects(there.pull(repository, "none"), { message: "404 MANIFEST_UNKNOWN Requested image not found" });
    for (const password of [undefined, "wrong", await passwordFor(user, { api: gateway.api, region: "eu-west-1" })]) {
      const answer = await new RegistryClient(gateway.registry, password).send("GET", `/v2/${repository}/manifests/1`);
      assert.equal(answer.status, 401);
      assert.match(answer.headers.get("www-authenticate") ?? "", /^Basic realm="http:.*",service="ecr.amazonaws.com"$/);
    }
    const any = { address: loopback, port: 0 };
    const brief = await startGateway({ emulator: ports.emulator, api: any, registry: any, tokenLife: 0 });
    const ended = new RegistryClient(brief.registry, await passwordFor(user, { api: brief.api }));
    const message = "403 DENIED Your authorization token has expired. Reauthenticate and try again.";
    await assert.rejects(ended.pull(repository, "1"), { message });
    await brief.close();
  });

  it("gives a recreated user neither the old one's tokens nor its rights from a repository's policy", async () => {
    const UserName = `${id}-again`;
    const make = async (): Promise<Credentials> => {
      await clients.iam.send(new iam.CreateUserCommand({ UserName }));
      const PolicyDocument = document(allow("ecr:*", "*"));
      await clients.iam.send(new iam.PutUserPolicyCommand({ UserName, PolicyName: "inline", PolicyDocument }));
      const { AccessKey: key } = await clients.iam.send(new iam.CreateAccessKeyCommand({ UserName }));
      return { accessKeyId: key?.AccessKeyId ?? "", secretAccessKey: key?.SecretAccessKey ?? "" };
    };
    const remove = async ({ accessKeyId: AccessKeyId }: Credentials): Promise<void> => {
      await clients.iam.send(new iam.DeleteAccessKeyCommand({ UserName, AccessKeyId }));
      await clients.iam.send(new iam.DeleteUserPolicyCommand({ UserName, PolicyName: "inline" }));
      await clients.iam.send(new iam.DeleteUserCommand({ UserName }));
    };
    const first = await make();
    const old = await client(first);
    await old.pull(repository, "1");
    const arn = `arn:aws:iam::${account}:user/${UserName}`;
    for (const principal of [{ AWS: arn }, "*"]) {
      await ofRepository(opened(principal));
      await old.pull(repository, "1");
    }
    await ofRepository(opened({ AWS: arn }));
    await remove(first);
    await assert.rejects(old.pull(repository, "1"), /403 DENIED/);
    const second = await make();
    await assert.rejects(old.pull(repository, "1"), /403 DENIED/);
    await clients.iam.send(
      new iam.PutUserPolicyCommand({
        UserName,
        PolicyName: "inline",
        PolicyDocument: document(allow("ecr:GetAuthorizationToken", "*")),
      }),
    );
    // The named user is deleted, and the name belongs to another one: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
    await assert.rejects((await client(second)).pull(repository, "1"), /403 DENIED/);
    await ofRepository(opened({ AWS: arn }));
    await (await client(second)).pull(repository, "1");
    await ofRepository(opened("*"));
    const last = await client(second);
    await last.pull(repository, "1");
    await remove(second);
    await assert.rejects(last.pull(repository, "1"), /403 DENIED/);
    await ofRepository(undefined);
  });
});
