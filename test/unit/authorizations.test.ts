import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseAwsRequest } from "../local/aws-requests.ts";
import { authorizationsOf, type Authorization } from "../local/gateway/authorizations.ts";
import { account } from "../local/settings.ts";

const arn = (resource: string): string => `arn:aws:iam::${account}:${resource}`;
const eksArn = (resource: string): string => `arn:aws:eks:us-east-1:${account}:${resource}`;

/** What a request signed for a service asks for. */
async function authorizationsFor(
  service: string,
  line: string,
  content: Readonly<Record<string, unknown>>,
): Promise<readonly Authorization[] | undefined> {
  const [method = "", url = ""] = line.split(" ");
  const authorization = `AWS4-HMAC-SHA256 Credential=AKIA1/20261126/us-east-1/${service}/aws4_request`;
  const form = new URLSearchParams(content as Record<string, string>).toString();
  const body = Buffer.from(service === "eks" ? JSON.stringify(content) : form);
  const request = parseAwsRequest({ method, url, headers: { authorization } }, body);
  return request && authorizationsOf(request, { url, body, account });
}
const iam = async (Action: string, content: Readonly<Record<string, string>> = {}) =>
  authorizationsFor("iam", "POST /", { Action, ...content });

describe("the authorization of a request", () => {
  it("to IAM is for the action on the named resource, with the condition keys of the request", async () => {
    const boundary = arn("policy/b");
    const tags = { "Tags.member.1.Key": "team", "Tags.member.1.Value": "builds" };
    const made = await iam("CreateUser", { UserName: "u", Path: "/p/", PermissionsBoundary: boundary, ...tags });
    const context = { "iam:PermissionsBoundary": boundary, "aws:RequestTag/team": "builds", "aws:TagKeys": ["team"] };
    const actions = ["iam:CreateUser", "iam:TagUser", "iam:PutUserPermissionsBoundary"];
    assert.deepEqual(
      made,
      actions.map((action) => ({ action, resource: arn("user/p/u"), context })),
    );
    assert.deepEqual(await iam("AttachRolePolicy", { RoleName: "r", PolicyArn: boundary }), [
      { action: "iam:AttachRolePolicy", resource: arn("role/r"), context: { "iam:PolicyARN": boundary } },
    ]);
    assert.deepEqual(await iam("UntagPolicy", { PolicyArn: boundary, "TagKeys.member.1": "team" }), [
      {
        action: "iam:UntagPolicy",
        resource: boundary,
        context: { "iam:PolicyARN": boundary, "aws:TagKeys": ["team"] },
      },
    ]);
    const provider = await iam("CreateOpenIDConnectProvider", { Url: "https://oidc.example/a" });
    assert.equal(provider?.[0]?.resource, arn("oidc-provider/oidc.example/a"));
    assert.equal((await iam("ListOpenIDConnectProviders"))?.[0]?.resource, "*");
  });

  it("to IAM for a rename is for the old name and the new one", async () => {
    const renamed = await iam("UpdateUser", { UserName: "a", NewUserName: "b", NewPath: "/p/" });
    assert.deepEqual(
      renamed?.map(({ resource }) => resource),
      [arn("user/a"), arn("user/p/b")],
    );
  });

  it("to EKS is for the resource in the path, and for the role that is passed", async () => {
    const path = "/clusters/c/pod-identity-associations";
    const content = { roleArn: arn("role/r"), tags: { team: "builds" } };
    assert.deepEqual(await authorizationsFor("eks", `POST ${path}`, content), [
      {
        action: "eks:CreatePodIdentityAssociation",
        resource: eksArn("cluster/c"),
        context: { "aws:RequestTag/team": "builds", "aws:TagKeys": ["team"] },
      },
      {
        action: "iam:PassRole",
        resource: arn("role/r"),
        context: { "iam:PassedToService": "pods.eks.amazonaws.com" },
      },
      {
        action: "eks:TagResource",
        resource: eksArn("podidentityassociation/c/made-by-this-request"),
        context: { "aws:RequestTag/team": "builds", "aws:TagKeys": ["team"] },
      },
    ]);
    const association = eksArn("podidentityassociation/c/a-1");
    assert.equal((await authorizationsFor("eks", `DELETE ${path}/a-1`, {}))?.[0]?.resource, association);
    const untagged = await authorizationsFor("eks", `DELETE /tags/${encodeURIComponent(association)}?tagKeys=team`, {});
    const context = { "aws:TagKeys": ["team"] };
    assert.deepEqual(untagged, [{ action: "eks:UntagResource", resource: association, context }]);
  });

  it("to STS is for the role and the tags of its session; GetCallerIdentity needs none", async () => {
    const session = { Action: "AssumeRole", RoleArn: arn("role/r"), RoleSessionName: "s" };
    const tags = { "Tags.member.1.Key": "team", "Tags.member.1.Value": "builds" };
    const assumed = await authorizationsFor("sts", "POST /", { ...session, ...tags });
    assert.deepEqual(
      assumed?.map(({ action, resource }) => [action, resource]),
      [
        ["sts:AssumeRole", arn("role/r")],
        ["sts:TagSession", arn("role/r")],
      ],
    );
    assert.deepEqual(await authorizationsFor("sts", "GET /?Action=GetCallerIdentity", {}), []);
  });

  it("is unknown for operations without a rule", async () => {
    assert.equal(await iam("CreateAccessKey"), undefined, "the user is who asks");
    assert.equal(await iam("CreateGroup", { GroupName: "g" }), undefined);
    assert.equal(await iam("NoAction", { UserName: "u" }), undefined);
    assert.equal(await authorizationsFor("sts", "POST /", { Action: "GetSessionToken" }), undefined);
    assert.equal(await authorizationsFor("eks", "POST /clusters/c/addons", {}), undefined);
  });
});
