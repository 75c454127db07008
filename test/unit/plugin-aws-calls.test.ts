// The AWS calls that an update takes, where the emulator has not got them: recorded by a server that speaks IAM's protocol.
import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { after, afterEach, before, describe, it } from "node:test";
import { awsSession } from "../local/pulumi/aws/session.ts";
import { awsTypes } from "../local/pulumi/aws/types.ts";
import { sesSmtpPassword } from "../local/pulumi/aws/access-key.ts";
import { InitFailedError } from "../local/pulumi/resource-type.ts";
import { isSecret, plainProperties, type Properties } from "../local/pulumi/values.ts";

let server: Server;
let session: ReturnType<typeof awsSession>;
let calls: Record<string, string>[] = [];
/** What an action answers, in XML; an error's code where it is to fail. */
let answers: Record<string, string | { code: string }> = {};

before(async () => {
  server = createServer((request, response) => {
    void text(request).then((body) => {
      const parameters = [...new URLSearchParams(body)].filter(([key]) => key !== "Version");
      const call = Object.fromEntries(parameters) as Partial<Record<string, string>>;
      calls.push(call as Record<string, string>);
      const action = call["Action"] ?? "";
      const answer = answers[action] ?? "";
      response.setHeader("content-type", "text/xml").setHeader("x-amzn-requestid", "r-1");
      if (typeof answer === "string") {
        response.end(`<${action}Response><${action}Result>${answer}</${action}Result></${action}Response>`);
      } else {
        response.statusCode = 400;
        const error = `<Error><Type>Sender</Type><Code>${answer.code}</Code><Message>no</Message></Error>`;
        response.end(`<ErrorResponse>${error}</ErrorResponse>`);
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const endpoint = `http://127.0.0.1:${String(port)}`;
  const keys = { accessKey: "AKIA", secretKey: "s3cret" };
  session = awsSession({ region: "us-east-1", ...keys, endpoints: [{ iam: endpoint }], maxRetries: 0 });
});
after(() => server.close());
afterEach(() => {
  calls = [];
  answers = {};
});

const changing = (): Record<string, string>[] => calls.filter(({ Action = "" }) => !/^(Get|List)/.test(Action));

describe("updates by the AWS stand-in", () => {
  it("rename a user by UpdateUser, and continue with its new name", async () => {
    const user = (name: string): string =>
      `<User><UserName>${name}</UserName><Path>/x/</Path><UserId>AIDA</UserId><Arn>arn:${name}</Arn></User>`;
    answers = { GetUser: user("new") };
    const state = { name: "old", path: "/", tags: { a: "1" }, tagsAll: { a: "1" }, forceDestroy: false };
    const inputs = { name: "new", path: "/x/", tags: { b: "2" } };
    const live = await awsTypes["aws:iam/user:User"].update("old", state, inputs, session);
    assert.deepEqual(changing(), [
      { Action: "UpdateUser", UserName: "old", NewUserName: "new", NewPath: "/x/" },
      { Action: "UntagUser", UserName: "new", "TagKeys.member.1": "a" },
      { Action: "TagUser", UserName: "new", "Tags.member.1.Key": "b", "Tags.member.1.Value": "2" },
    ]);
    assert.deepEqual([live.id, live.outputs["arn"]], ["new", "arn:new"]);
    // The engine keeps the old id; the state knows the name.
    calls = [];
    await awsTypes["aws:iam/user:User"].delete("old", live.outputs, session);
    assert.deepEqual(changing(), [{ Action: "DeleteUser", UserName: "new" }]);
  });

  it("change an OIDC provider's audiences one by one, and its thumbprints as a whole", async () => {
    answers = { GetOpenIDConnectProvider: "<Url>x.example.com</Url><ClientIDList><member>a</member></ClientIDList>" };
    const type = awsTypes["aws:iam/openIdConnectProvider:OpenIdConnectProvider"];
    const state = { url: "x.example.com", clientIdLists: ["a", "b"], thumbprintLists: ["1".repeat(40)], tagsAll: {} };
    const thumbprint = "2".repeat(40);
    const inputs = { url: "https://x.example.com", clientIdLists: ["c", "a"], thumbprintLists: [thumbprint] };
    await type.update("arn", state, inputs, session);
    const provider = { OpenIDConnectProviderArn: "arn" };
    assert.deepEqual(changing(), [
      { Action: "UpdateOpenIDConnectProviderThumbprint", ...provider, "ThumbprintList.member.1": thumbprint },
      { Action: "AddClientIDToOpenIDConnectProvider", ...provider, ClientID: "c" },
      { Action: "RemoveClientIDFromOpenIDConnectProvider", ...provider, ClientID: "b" },
    ]);
    calls = [];
    await type.update("arn", state, { ...inputs, clientIdLists: ["b", "a"], thumbprintLists: [] }, session);
    assert.deepEqual(changing(), []);
  });

  it("wait before a policy's new version becomes the default if delayAfterPolicyCreationInMs is set", async () => {
    answers = {
      CreatePolicyVersion: "<PolicyVersion><VersionId>v2</VersionId></PolicyVersion>",
      GetPolicy: "<Policy><Arn>arn</Arn><PolicyName>p</PolicyName></Policy>",
      GetPolicyVersion: "<PolicyVersion><Document>%7B%22Statement%22%3A%5B%5D%7D</Document></PolicyVersion>",
    };
    const inputs = { policy: '{"Statement":[]}', delayAfterPolicyCreationInMs: 1 };
    const type = awsTypes["aws:iam/policy:Policy"];
    const { outputs } = await type.update(
      "arn",
      { name: "p", policy: '{"Version":"2012-10-17"}', path: "/" },
      inputs,
      session,
    );
    assert.deepEqual(
      changing().map(({ Action, SetAsDefault, VersionId }) => [Action, SetAsDefault ?? VersionId]),
      [
        ["CreatePolicyVersion", "false"],
        ["SetDefaultPolicyVersion", "v2"],
      ],
    );
    assert.equal(outputs["policy"], '{"Statement":[]}');
  });

  it("send no request if nothing differs", async () => {
    answers = { GetUser: "<User><UserName>u</UserName><Path>/</Path></User>" };
    const state = { name: "u", path: "/", tagsAll: {}, forceDestroy: false };
    await awsTypes["aws:iam/user:User"].update("u", state, { name: "u", forceDestroy: true }, session);
    assert.deepEqual(changing(), []);
  });
});

describe("creations by the AWS stand-in that fail halfway", () => {
  const created =
    "<AccessKey><UserName>u</UserName><AccessKeyId>AKIANEW</AccessKeyId><Status>Active</Status>" +
    "<SecretAccessKey>n3w-s3cret</SecretAccessKey></AccessKey>";
  const type = awsTypes["aws:iam/accessKey:AccessKey"];
  const failure = async (inputs: Properties): Promise<InitFailedError> =>
    type.create(inputs, session).then(
      () => assert.fail("the creation succeeds"),
      (error: unknown) => (error instanceof InitFailedError ? error : assert.fail(String(error))),
    );

  it("keep a key that could not be deactivated, with its secret, and print neither", async () => {
    answers = { CreateAccessKey: created, UpdateAccessKey: { code: "AccessDenied" } };
    const { message, live } = await failure({ user: "u", status: "Inactive" });
    assert.match(
      message,
      /^deactivating IAM Access Key \(AKIANEW\): operation error IAM: UpdateAccessKey, .*AccessDenied: no$/,
    );
    assert.equal(live.id, "AKIANEW");
    assert.ok(isSecret(live.outputs["secret"]) && isSecret(live.outputs["sesSmtpPasswordV4"]));
    assert.equal(plainProperties(live.outputs)["secret"], "n3w-s3cret");
    // The state says what the key is, so that the next run deactivates it.
    const { detailed } = type.diff({ state: live.outputs, inputs: { user: "u", status: "Inactive" } }, session);
    assert.deepEqual(detailed, { status: "UPDATE" });
  });

  it("keep a key that could not be read", async () => {
    answers = { CreateAccessKey: created, ListAccessKeys: { code: "ServiceFailure" } };
    const { message, live } = await failure({ user: "u" });
    assert.match(message, /^reading IAM Access Key \(AKIANEW\): operation error IAM: ListAccessKeys, .*ServiceFailure/);
    assert.equal(plainProperties(live.outputs)["secret"], "n3w-s3cret");
    assert.doesNotMatch(message, /s3cret/);
  });

  it("keep nothing that AWS refused to create", async () => {
    answers = { CreateAccessKey: { code: "LimitExceeded" } };
    await assert.rejects(type.create({ user: "u" }, session), (error: unknown) => {
      assert.ok(error instanceof Error && !(error instanceof InitFailedError));
      assert.match(error.message, /StatusCode: 400, RequestID: r-1, LimitExceeded: no$/);
      return true;
    });
  });
});

describe("a key's password for SES", () => {
  it("is what the AWS documentation's own script gives", () => {
    // Of terraform-provider-aws: TestSessmTPPasswordFromSecretKeySigV4 in internal/service/iam/access_key_test.go.
    const cases = [
      ["eu-central-1", "some+secret+key", "BMXhUYlu5Z3gSXVQORxlVa7XPaz91aGWdfHxvkOZdWZ2"],
      ["eu-central-1", "another+secret+key", "BBbphbrQmrKMx42d1N6+C7VINYEBGI5v9VsZeTxwskfh"],
      ["us-west-1", "some+secret+key", "BH+jbMzper5WwlwUar9E1ySBqHa9whi0GPo+sJ0mVYJj"],
    ] as const;
    for (const [region, key, password] of cases) assert.equal(sesSmtpPassword(key, region), password);
  });
});
